"""The `OPTIONS` of the backend, read into a frozen value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured

EXAMPLE = "redis://localhost:6379/0"
SCHEMES = ("redis://", "rediss://", "unix://")


@dataclass(frozen=True, slots=True)
class Options:
    """`local_share` is above 0 and at most 1: the part of each rate a process has on its own."""

    url: str
    prefix: str = "notifications"
    local_share: float = 0.1

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> "Options":
        """The options in `raw`; raises ImproperlyConfigured with all that is wrong with them."""
        if found := cls.problems(raw):
            raise ImproperlyConfigured(f"The OPTIONS of GATES: {' '.join(found)}")
        return cls(**{name.lower(): value for name, value in raw.items()})

    @classmethod
    def problems(cls, raw: Mapping[str, Any]) -> list[str]:
        """What is wrong with `raw`, a sentence each."""
        missing = [] if "URL" in raw else [f'The option "URL" is missing, such as "{EXAMPLE}".']
        return [*missing, *(text for name in raw if (text := _problem(name, raw[name])))]


def _problem(name: str, value: Any) -> str:
    if name not in KNOWN:
        return f'The option "{name}" is not known; known are: {", ".join(sorted(KNOWN))}.'
    must = KNOWN[name](value)
    return f'The option "{name}" is unusable: it must be {must}.' if must else ""


def _url(value: Any) -> str:
    usable = isinstance(value, str) and value.startswith(SCHEMES)
    return "" if usable else f'a URL such as "{EXAMPLE}"'


def _prefix(value: Any) -> str:
    usable = isinstance(value, str) and value and not set(value) & set("{}")
    return "" if usable else "a text without braces, not empty"


def _share(value: Any) -> str:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1
    return "" if usable else "a number above 0 and at most 1"


KNOWN: Mapping[str, Callable[[Any], str]] = {
    "URL": _url,
    "PREFIX": _prefix,
    "LOCAL_SHARE": _share,
}
"""Each option with what says how it must be, or nothing when it is so."""
