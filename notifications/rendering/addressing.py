"""Variables within the address of a link or an image.

`href="{{ url }}"` takes a whole address, which has to be http, https or mailto. Behind a host that
is written out, a value is one percent-encoded piece, and cannot lead anywhere else.
"""

import re
from html import escape
from urllib.parse import quote

from ..addresses import UNSAFE_TEXT
from .errors import Unusable
from .places import Escape

START_MAX = 300
BEHIND_HOST = re.compile(r"https?://[^/?#\s\\&@]+[/?#]", re.IGNORECASE)
MAILTO = re.compile("mailto:", re.IGNORECASE)
WHOLE = re.compile(r"(?:https?://[^\s/?#\\]|mailto:[^\s])[^\s\\]*", re.IGNORECASE)

UNKNOWN_HOST = "https://x"
"""What an address is taken for that began with a variable: its host may not be over yet."""


class Address:
    """How far the address is that is being read."""

    def __init__(self) -> None:
        self.state = ""

    def feed(self, text: str) -> None:
        if self.state in ("host", "mailto"):
            return
        self.state = (self.state + text)[:START_MAX]
        if BEHIND_HOST.match(self.state):
            self.state = "host"
        elif MAILTO.match(self.state):
            self.state = "mailto"

    def place(self) -> Escape:
        match self.state:
            case "":
                self.state = UNKNOWN_HOST
                return whole_url
            case "host":
                return url_part
            case "mailto":
                return mailto_part
        raise Unusable(
            "unsafe_url",
            "begin the address with {{ a variable }}, mailto:, or https://, a host and a slash",
        )


def whole_url(text: str) -> str:
    """An address of its own."""
    if not WHOLE.fullmatch(text) or UNSAFE_TEXT.search(text):
        raise Unusable("unsafe_url", "must be an address that begins with https://, or mailto:")
    return escape(text, quote=True)


def url_part(text: str) -> str:
    """One piece of a path or a query."""
    return quote(text, safe="", errors="replace")


def mailto_part(text: str) -> str:
    """One piece of a mailto address."""
    return quote(text, safe="@", errors="replace")
