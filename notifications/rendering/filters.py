"""What a value may be put through: none makes it longer than a few times its length."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .dates import LETTERS, format_date, is_format
from .errors import Unusable

TRUNCATE_MAX = 200
ELLIPSIS = "..."  # the character … would make a text message of 160 letters one of 70

DATE_FORMAT = "Y-m-d"

NUMBER_MAX = 10**300

WORD = re.compile(r"\S+")

Argument = str | int | None


class Missing:
    """Stands for what the context does not have, so that `default` can take its place."""


MISSING = Missing()


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter with its argument; one that is not `lenient` is not asked about missing values."""

    apply: Callable[[Any], Any]
    lenient: bool = False


def make_filter(name: str, argument: Argument) -> Filter:
    """The filter of a template; raises Unusable for an unknown one or a wrong argument."""
    if name not in FILTERS:
        raise Unusable("unknown_filter", f"there is no such filter; use {', '.join(FILTERS)}")
    return FILTERS[name](argument)


def text_of(value: Any) -> str:
    """How a value reads; raises Unusable for lists, objects and null."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case int():
            if abs(value) > NUMBER_MAX:
                raise Unusable("invalid_value", "is a number out of range")
            return str(value)
        case float():
            return repr(value)
        case None:
            raise Unusable("null", 'is null; give a value, or write |default:"…"')
        case list():
            raise Unusable("invalid_type", "is a list; go through it with {% for … in … %}")
        case _:
            raise Unusable("invalid_type", "is no text, number or boolean; name a part of it")


def _upper(argument: Argument) -> Filter:
    _no_argument(argument)
    return Filter(lambda value: text_of(value).upper())


def _lower(argument: Argument) -> Filter:
    _no_argument(argument)
    return Filter(lambda value: text_of(value).lower())


def _title(argument: Argument) -> Filter:
    _no_argument(argument)
    return Filter(lambda value: WORD.sub(lambda word: word[0].capitalize(), text_of(value)))


def _date(argument: Argument) -> Filter:
    format = DATE_FORMAT if argument is None else argument
    if not isinstance(format, str) or not is_format(format):
        raise Unusable(
            "invalid_argument",
            f'write a format such as date:"{DATE_FORMAT}"; letters: {"".join(LETTERS)}, '
            "others behind a backslash",
        )
    return Filter(lambda value: _formatted(value, format))


def _formatted(value: Any, format: str) -> str:
    try:
        return format_date(value if isinstance(value, str) else "", format)
    except ValueError as error:
        detail = "is no date; write 2030-01-31 or 2030-01-31T08:00:00Z"
        raise Unusable("invalid_date", detail) from error


def _default(argument: Argument) -> Filter:
    if argument is None:
        raise Unusable("invalid_argument", 'write what to take instead: default:"there"')
    empty = (MISSING, None, "")
    return Filter(lambda v: argument if any(v is e or v == e for e in empty) else v, lenient=True)


def _truncate(argument: Argument) -> Filter:
    if not isinstance(argument, int) or not len(ELLIPSIS) < argument <= TRUNCATE_MAX:
        least = len(ELLIPSIS) + 1
        raise Unusable("invalid_argument", f"write a length from {least} to {TRUNCATE_MAX}")
    return Filter(lambda value: _cut(text_of(value), argument))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - len(ELLIPSIS)] + ELLIPSIS


def _no_argument(argument: Argument) -> None:
    if argument is not None:
        raise Unusable("invalid_argument", "this filter takes nothing after a colon")


FILTERS: Mapping[str, Callable[[Argument], Filter]] = {
    "upper": _upper,
    "lower": _lower,
    "title": _title,
    "date": _date,
    "default": _default,
    "truncate": _truncate,
}
