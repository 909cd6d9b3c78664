"""The message of a notification as its recipient gets it, shown where it can do no harm."""

import re
from collections.abc import Mapping
from typing import Any

from django.template.defaultfilters import filesizeformat

from ..models import Notification
from .words import masked, pretty

ALONE = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
)
"""Goes before a message that is shown: it loads nothing, and nobody learns that it was seen."""

SHOWN_APART = frozenset({"html", "attachments", "mime"})
FURTHER = ("cc", "bcc")

ADDRESS = re.compile(r"[^\s<>,;\"']+@[^\s<>,;\"']+")


def shown(notification: Notification, *, hide: bool) -> dict[str, Any]:
    """Its parts as text, and its HTML as a document; with `hide`, the recipients in it masked."""
    content = notification.content if isinstance(notification.content, dict) else {}
    masks = _masks(notification, content) if hide else {}
    parts = {name: value for name, value in content.items() if name not in SHOWN_APART}
    document = content.get("html")
    return {
        "parts": pretty(_hidden(parts, masks)),
        "attachments": [
            f"{file['filename']} ({filesizeformat(file['size'])})"
            for file in content.get("attachments", ())
        ],
        "source": content.get("mime") or "",
        "is_hidden": hide,
        "document": ALONE + _hidden(document, masks) if isinstance(document, str) else "",
    }


def _masks(notification: Notification, content: Mapping[str, Any]) -> dict[str, str]:
    """Each recipient with what is shown in its place, the longest first."""
    further = ADDRESS.findall(" ".join(str(content.get(name, "")) for name in FURTHER))
    recipients = sorted({notification.to, *further}, key=len, reverse=True)
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
