"""The message of a notification as its recipient gets it, shown where it can do no harm."""

from typing import Any

from ..models import Notification
from .words import masked, pretty

ALONE = (
    '<meta http-equiv="Content-Security-Policy" '
    "content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">"
)
"""Goes before a message that is shown: it loads nothing, and nobody learns that it was seen."""


def shown(notification: Notification, *, hide: bool) -> dict[str, Any]:
    """Its parts as text, and its HTML as a document; with `hide`, the recipient in it masked."""
    content = notification.content if isinstance(notification.content, dict) else {}
    if hide:
        content = _hidden(content, notification.to, masked(notification.to))
    document = content.get("html")
    parts = {name: value for name, value in content.items() if name != "html"}
    return {
        "parts": pretty(parts),
        "document": ALONE + document if isinstance(document, str) else "",
    }


def _hidden(value: Any, recipient: str, mask: str) -> Any:
    match value:
        case str():
            return value.replace(recipient, mask)
        case dict():
            return {
                _hidden(k, recipient, mask): _hidden(v, recipient, mask) for k, v in value.items()
            }
        case list():
            return [_hidden(each, recipient, mask) for each in value]
    return value
