"""The bytes of an e-mail, made by filling in another one of the same shape.

To build a message takes Django longer than to send it, and nearly all of it comes out as it did
before. So Django builds one of each shape from samples, once a second because of its Date, and
other words in the places of the samples make the rest of that second's. What that would not
make exactly as Django does is left to Django.
"""

import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from random import randrange
from typing import Any

from django.core.mail import EmailMessage

Compose = Callable[[Mapping[str, Any], str, str], EmailMessage]
"""Makes Django's message of a content, a recipient and a key."""

END_OF_LINE = re.compile(rb"\r\n|\r|\n")

KEY = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
RECIPIENT = re.compile(r"(?=.{1,60}\Z)[\w+-]+(\.[\w+-]+)*@[\w-]+(\.[\w-]+)*", re.ASCII)
SUBJECT = re.compile(r"(?!.*=\?)[!-~]([ -~]{0,58}[!-~])?")
"""What any header holds unchanged, in one line."""

SHORT_LINE, LONGEST_LINE = 78, 998
"""In bytes: where Django, or Python's own policy, may take to another encoding."""

PARTS = ("body", "html")

SAMPLE_KEY = "5ca1ab1e-0000-7000-8000-5ca1ab1e5ca1"
SAMPLE_RECIPIENT = "sample-recipient@example.org"
SAMPLE_SUBJECT = "sample-subject"
SUBJECT_LINE = f"Subject: {SAMPLE_SUBJECT}\r\n".encode()


@dataclass(frozen=True, slots=True)
class Form:
    """What decides how the text of a part is written."""

    part: str
    is_ascii: bool
    is_short: bool
    ends_in_newline: bool

    @property
    def sample(self) -> str:
        """Such a text without its newline; an encoding would change it, and so be noticed."""
        letter, filling = "" if self.is_ascii else "é", "" if self.is_short else "-" * SHORT_LINE
        return f"sample={self.part}{letter}{filling}"

    @property
    def whole_sample(self) -> str:
        return self.sample + ("\n" if self.ends_in_newline else "")


@dataclass(frozen=True, slots=True)
class Text:
    """The text of a part as it goes over the wire, without a newline at its end."""

    form: Form
    data: bytes


Shape = tuple[Form, ...]


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A message in pieces, of which some are places to fill, and Django's form of it.

    `boundary` is empty for a message that has one part.
    """

    message: Any
    boundary: bytes
    pieces: list[bytes]

    def fill(self, subject: str, recipient: str, key: str, texts: Sequence[Text]) -> bytes | None:
        boundary = self.boundary and _new_boundary()
        if boundary and any(boundary in text.data for text in texts):
            return None
        places = {
            SUBJECT_LINE: self._subject_line(subject),
            SAMPLE_RECIPIENT.encode(): recipient.encode(),
            SAMPLE_KEY.encode(): key.encode(),
            **{text.form.sample.encode(): text.data for text in texts},
        }
        if boundary:
            places[self.boundary] = boundary
        return b"".join([places.get(piece, piece) for piece in self.pieces])

    def _subject_line(self, subject: str) -> bytes:
        """Encoded and folded as the message itself would do it."""
        if SUBJECT.fullmatch(subject):
            return f"Subject: {subject}\r\n".encode()
        message = copy(self.message)
        del message["Subject"]  # gives it a list of headers of its own
        message["Subject"] = subject
        name, value = list(message.raw_items())[-1]
        return to_wire(message.policy.fold_binary(name, value))


def _new_boundary() -> bytes:
    return b"=" * 15 + b"%019d" % randrange(sys.maxsize) + b"=="  # noqa: S311 - no secret


class Skeletons:
    """One for each shape that was met; shared by the threads of a process."""

    def __init__(self, compose: Compose) -> None:
        self._compose = compose
        self._made: dict[Shape, tuple[int, Skeleton | None]] = {}

    def fill(self, content: Mapping[str, Any], recipient: str, key: str) -> bytes | None:
        """The bytes for SMTP, or None for a message that Django has to build itself.

        Raises what Django raises for a subject that no header can hold.
        """
        subject, texts = content.get("subject") or "", _texts(content)
        if not (texts and isinstance(subject, str) and KEY.fullmatch(key)):
            return None
        skeleton = RECIPIENT.fullmatch(recipient) and self._of(tuple(text.form for text in texts))
        return skeleton.fill(subject, recipient, key, texts) if skeleton else None

    def _of(self, shape: Shape) -> Skeleton | None:
        second = int(time.time())
        made_at, skeleton = self._made.get(shape, (0, None))
        if made_at != second:
            skeleton = self._make(shape)
            self._made[shape] = second, skeleton
        return skeleton

    def _make(self, shape: Shape) -> Skeleton | None:
        """None when the samples are not found as they were given, each in its places alone."""
        content = {"subject": SAMPLE_SUBJECT, **{form.part: form.whole_sample for form in shape}}
        message = self._compose(content, SAMPLE_RECIPIENT, SAMPLE_KEY).message()
        data = to_wire(message.as_bytes())
        boundary = (message.get_boundary() or "").encode()
        places = {
            SUBJECT_LINE: 1,
            SAMPLE_RECIPIENT.encode(): 1,
            SAMPLE_KEY.encode(): 2,
            **{form.sample.encode(): 1 for form in shape},
            **({boundary: 4} if boundary else {}),
        }
        pieces = re.split(b"(%s)" % b"|".join(map(re.escape, places)), data)
        found = all(pieces.count(place) == times for place, times in places.items())
        return Skeleton(message, boundary, pieces) if found else None


def to_wire(data: bytes) -> bytes:
    """With the line ends of SMTP."""
    return END_OF_LINE.sub(b"\r\n", data)


def _texts(content: Mapping[str, Any]) -> list[Text]:
    """The texts there are; none at all when there is one that must be encoded."""
    texts = [_text(part, content[part]) for part in PARTS if content.get(part)]
    return [text for text in texts if text] if all(texts) else []


def _text(part: str, text: Any) -> Text | None:
    try:
        data = to_wire(text.encode())
    except (AttributeError, UnicodeEncodeError):  # no text; Django says so in its own words
        return None
    longest = max(map(len, data.split(b"\r\n")))
    form = Form(part, data.isascii(), longest <= SHORT_LINE, data.endswith(b"\r\n"))
    return Text(form, data.removesuffix(b"\r\n")) if longest <= LONGEST_LINE else None
