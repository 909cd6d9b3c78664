"""Dates as people read them, in English whatever language the process speaks."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

LETTERS: Mapping[str, Callable[[datetime], str]] = {
    "d": lambda when: f"{when.day:02}",
    "j": lambda when: f"{when.day}",
    "D": lambda when: DAYS[when.weekday()][:3],
    "l": lambda when: DAYS[when.weekday()],
    "m": lambda when: f"{when.month:02}",
    "n": lambda when: f"{when.month}",
    "M": lambda when: MONTHS[when.month - 1][:3],
    "F": lambda when: MONTHS[when.month - 1],
    "y": lambda when: f"{when.year % 100:02}",
    "Y": lambda when: f"{when.year:04}",
    "H": lambda when: f"{when.hour:02}",
    "G": lambda when: f"{when.hour}",
    "g": lambda when: f"{when.hour % 12 or 12}",
    "i": lambda when: f"{when.minute:02}",
    "s": lambda when: f"{when.second:02}",
    "A": lambda when: "AM" if when.hour < 12 else "PM",
}
"""As in Django's own filter and PHP's date()."""

FORMAT_MAX = 50
FORMAT = re.compile(rf"(?:[^A-Za-z\\]|[{''.join(LETTERS)}]|\\.)*")
PIECE = re.compile(r"\\(.)|([A-Za-z])")
ISO_MAX = 40


def is_format(text: str) -> bool:
    """Whether every letter of `text` is one of LETTERS or stands behind a backslash."""
    return 1 <= len(text) <= FORMAT_MAX and bool(FORMAT.fullmatch(text))


def format_date(value: str, format: str) -> str:
    """The date or time in ISO 8601, as its own offset has it; raises ValueError for anything else.

    A date alone is its midnight.
    """
    if len(value) > ISO_MAX:
        raise ValueError("too long")
    when = datetime.fromisoformat(value)
    return PIECE.sub(lambda piece: piece[1] or LETTERS[piece[2]](when), format)
