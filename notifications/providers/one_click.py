"""The headers by which mail programs offer to unsubscribe with one click (RFC 8058)."""

from collections.abc import Mapping


def one_click(url: str) -> Mapping[str, str]:
    """The headers for a link that takes a POST; none where there is no link."""
    if not url:
        return {}
    return {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def as_lines(headers: Mapping[str, str]) -> bytes:
    """The headers as they go over the wire.

    Not by `email`: its newer policies, Django's from 6.0 on, write a link of this length as encoded
    words, which no mail program takes for a link (seen with Python 3.11, 2026-11).
    """
    return b"".join(f"{name}: {value}\r\n".encode() for name, value in headers.items())
