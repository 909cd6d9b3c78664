"""The tree of errors; a class exists only where a caller acts on it.

NotificationError
├── InvalidNotification      the request is wrong: `errors` says where and why
├── IdempotencyConflict      the key is taken by other content
├── Busy                     another request holds the same key right now: try again
├── NotPossible              the notification's status does not allow the action
├── TenantUnavailable        no such tenant, or it is disabled
├── TransientFailure         some rows of a task are to be tried again
├── BrokerUnavailable        a message could not be published
├── NotReceipts              the provider reads no receipts, or is not set up to
├── NotAuthentic             a receipt is not signed by whom it claims to come from
└── NotJudged                whether a receipt is authentic cannot be told now: send it again

ContentError                 a ValueError: a value is unusable for its field; becomes a FieldError
└── ContentErrors            several parts of it are
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing wrong with a request; `pointer` is an RFC 6901 JSON pointer, never a value."""

    pointer: str
    code: str
    detail: str

    def under(self, prefix: str) -> "FieldError":
        return FieldError(prefix + self.pointer, self.code, self.detail)

    def as_dict(self) -> dict[str, str]:
        return {"pointer": self.pointer, "code": self.code, "detail": self.detail}


class NotificationError(Exception):
    """The root of everything this package raises on purpose."""


class InvalidNotification(NotificationError):
    """The request cannot be accepted; `errors` lists every reason at once."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(f"{e.pointer or '/'}: {e.detail}" for e in errors))
        self.errors = tuple(errors)


class IdempotencyConflict(NotificationError):
    """The idempotency key was used before, with other content."""


class Busy(NotificationError):
    """Another request with the same idempotency key is being stored; try again in a second."""


class NotPossible(NotificationError):
    """The status of the notification does not allow what was asked."""

    def __init__(self, status: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class TenantUnavailable(NotificationError):
    """The tenant does not exist or is disabled."""


class TransientFailure(NotificationError):
    """Some notifications of a task are to be tried again after `delay` seconds."""

    def __init__(self, ids: Sequence[UUID], delay: float) -> None:
        super().__init__(f"{len(ids)} to be tried again in {delay:.1f} s")
        self.ids = list(ids)
        self.delay = delay

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.ids, self.delay)


class BrokerUnavailable(NotificationError):
    """A message could not be published; the rows stay due and the dispatcher finds them."""


class NotReceipts(NotificationError):
    """The provider reads no receipts, or lacks an option that it takes to trust them."""


class NotAuthentic(NotificationError):
    """The request does not prove that it comes from the provider."""


class NotJudged(NotificationError):
    """What it takes to judge a receipt cannot be had now: the provider is to send it again."""


class ContentError(ValueError):
    """A piece of content is unusable: a code and a sentence without the value."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class ContentErrors(ContentError):
    """Parts of a piece of content are unusable: each by its path of names and indexes."""

    def __init__(self, found: Mapping[tuple[str, ...], ContentError]) -> None:
        first = next(iter(found.values()))
        super().__init__(first.code, first.detail)
        self.found = found
