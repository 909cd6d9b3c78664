"""No pattern of ours takes long with what was made to hold it up, from its beginning on.

Those that are searched for anywhere in a text are sets of characters, or bounded.
"""

import pkgutil
import re
import time
from collections.abc import Iterator
from importlib import import_module

import pytest

import notifications

LENGTH = 20_000
SECONDS = 5.0
"""A hundred times what it takes; one that tries all ways to read a text would take minutes."""

PIECES = (
    *("a", "1", " ", "\n", "\t", ".", "-", "_", "/", "\\", '"', "'", "&", "<", ">", "%", "@", ","),
    *("a.", "a-", "-a", "1.", "::", "{{", "{%", "{{ a", "{% if a", "a|upper", "| a", "\\a", "=?"),
    *("http://a", "mailto:", "a@", "://", "</", "<!--", "a=", "a b ", "\r\n", "2030-", "nk_a_"),
)
ENDS = ("", "!", "\x00", "}}", "\n")


def modules() -> Iterator[str]:
    for found in pkgutil.walk_packages(notifications.__path__, "notifications."):
        if ".migrations" not in found.name and ".management" not in found.name:
            yield found.name


def patterns() -> list[object]:
    found = {}
    for name in modules():
        for label, value in vars(import_module(name)).items():
            if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
                found.setdefault(value, f"{name}.{label}")
    return [pytest.param(pattern, id=label) for pattern, label in found.items()]


def test_there_are_patterns() -> None:
    assert len(patterns()) > 20


@pytest.mark.parametrize("pattern", patterns())
def test_it_is_quick_with_the_worst_of_texts(pattern: re.Pattern[str]) -> None:
    started = time.monotonic()
    for piece in PIECES:
        for end in ENDS:
            text = piece * (LENGTH // len(piece)) + end
            pattern.match(text)
            pattern.fullmatch(text)
    assert time.monotonic() - started < SECONDS
