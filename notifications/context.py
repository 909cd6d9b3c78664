"""What belongs to the work at hand without being an argument of it: the id of the request."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple


class Origin(NamedTuple):
    """Where the work comes from: the id of an HTTP request, and its W3C `traceparent` header."""

    request_id: str = ""
    traceparent: str = ""


NOWHERE = Origin()

_origin: ContextVar[Origin] = ContextVar("notifications_origin", default=NOWHERE)


def origin() -> Origin:
    """Of the request at hand; empty outside of one."""
    return _origin.get()


@contextmanager
def within(origin: Origin) -> Iterator[None]:
    token = _origin.set(origin)
    try:
        yield
    finally:
        _origin.reset(token)
