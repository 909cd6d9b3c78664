"""Where in a part a variable stands, and what is done to its value there.

A tracker is fed the text of a template in its order and says at each variable how it is escaped.
Its state must be the same at both ends of every branch and loop: then it holds whichever is taken.
"""

import re
from collections.abc import Callable, Hashable
from html import escape
from typing import Protocol

from ..addresses import UNSAFE_TEXT
from .errors import Unusable

Escape = Callable[[str], str]

SMS_UNSAFE = re.compile(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class Tracker(Protocol):
    def feed(self, text: str) -> None:
        """Go on over static text; raises Unusable for what may not stand there."""

    def place(self) -> Escape:
        """How a value is escaped that stands here; raises Unusable where none may."""

    @property
    def state(self) -> Hashable: ...


class PlainTracker:
    """A part without markup: a value stands as it is, once `check` has let it through."""

    state = None

    def __init__(self, check: Escape) -> None:
        self._check = check

    def feed(self, text: str) -> None:
        self._check(text)

    def place(self) -> Escape:
        return self._check


def line(text: str) -> str:
    """A part of a header: one line."""
    if UNSAFE_TEXT.search(text):
        raise Unusable("control_character", "must be one line without control characters")
    return text


def text(text: str) -> str:
    """Plain text: anything."""
    return text


def sms(text: str) -> str:
    """Plain text whose only control characters are line breaks."""
    if SMS_UNSAFE.search(text):
        raise Unusable("control_character", "must have no control characters but line breaks")
    return text


def html(text: str) -> str:
    """Text between tags, or within a quoted attribute."""
    return escape(text, quote=True)
