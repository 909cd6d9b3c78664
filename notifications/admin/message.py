"""The message of a notification as its recipient gets it, shown where it can do no harm."""

import re
from collections.abc import Mapping
from typing import Any

from django.template.defaultfilters import filesizeformat

from ..labels import label
from ..messages import recipients_of
from ..models import Notification
from .words import masked, pretty

ALONE = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
)
"""Goes before a message that is shown: it loads nothing, and nobody learns that it was seen."""

NAMES = {
    "from": label("sender"),
    "sender": label("sender"),
    "to": label("to"),
    "cc": label("cc"),
    "bcc": label("bcc"),
    "reply_to": label("reply to"),
    "headers": label("headers"),
    "subject": label("subject"),
    "body": label("text"),
    "event": label("event"),
    "payload": label("payload"),
    "size": label("size"),
}
"""What is shown as text, in this order."""

SHOWN_APART = frozenset({"html", "attachments", "mime", "digest"})
"""HTML, files and a whole e-mail are shown in other ways; the fingerprint of an e-mail is not."""

ADDRESS = re.compile(r"(?<![^\s<>,;\"'])[^\s<>,;\"'@]+@[^\s<>,;\"']+")


def shown(notification: Notification, *, hide: bool) -> dict[str, Any]:
    """Its parts as text, and its HTML as a document; with `hide`, the recipients in it masked."""
    content = notification.content if isinstance(notification.content, dict) else {}
    masks = _masks(notification, content) if hide else {}
    names = [*NAMES, *content.keys() - NAMES.keys() - SHOWN_APART]
    parts = {str(NAMES.get(n, n)): _text(n, content[n]) for n in names if n in content}
    document = content.get("html")
    return {
        "parts": pretty(_hidden(parts, masks)),
        "attachments": [_file(file) for file in content.get("attachments", ())],
        "source": content.get("mime") or "",
        "is_hidden": hide,
        "document": ALONE + _hidden(document, masks) if isinstance(document, str) else "",
    }


def _text(name: str, value: Any) -> Any:
    if name == "size":
        return filesizeformat(value)
    is_list = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return ", ".join(value) if is_list and name != "payload" else value


def _file(file: Mapping[str, Any]) -> str:
    return f"{file['filename']} ({file['content_type']}, {filesizeformat(file['size'])})"


def _masks(notification: Notification, content: Mapping[str, Any]) -> dict[str, str]:
    """Each recipient with what is shown in its place, the longest first."""
    everybody = map(str, recipients_of(notification.to, content))
    bare = {address for each in everybody for address in ADDRESS.findall(each)}
    recipients = sorted({notification.to, *bare}, key=len, reverse=True)
    return {recipient: masked(recipient) for recipient in recipients}


def _hidden(value: Any, masks: Mapping[str, str]) -> Any:
    match value:
        case str():
            for recipient, mask in masks.items():
                value = value.replace(recipient, mask)
            return value
        case dict():
            return {_hidden(k, masks): _hidden(each, masks) for k, each in value.items()}
        case list():
            return [_hidden(each, masks) for each in value]
    return value
