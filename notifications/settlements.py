"""What an attempt does to its row: one guarded UPDATE for all rows that go the same way."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from django.db import models
from django.db.models import Case, F, Value, When
from django.db.models.functions import Now

from . import prepared
from .columns import Among, Column, InState, OfRow, Slot
from .enums import ReceiptState, State, WaitReason
from .lifecycle import MOVES, Move
from .retry import FAST_RETRY_SECONDS

RETRY_GRACE_SECONDS = 5.0
"""How long after `due_at` the dispatcher leaves a short delay to Celery's own countdown."""

PROVEN = tuple(r for r in ReceiptState if r >= ReceiptState.DELIVERED)
"""Receipts that prove the provider took the message, whatever became of it then."""

Each = Callable[[str, "models.Field[Any, Any]"], OfRow]
"""What in a statement stands for the value of this name, another one for each row."""


class Way(NamedTuple):
    """All in which the statements of settling differ.

    `free` attempts do not use up the budget, `final` ones end in `sent` for good, `risky` ones
    may lead to a duplicate; `receipt` is what the provider said of delivery in the same breath.
    `fails_over` leads straight on to another provider.
    """

    move: Move
    free: bool = False
    final: bool = True
    ambiguous: bool = False
    risky: bool = False
    receipt: ReceiptState = ReceiptState.NONE
    fails_over: bool = False


@dataclass(frozen=True, slots=True)
class Settlement:
    """How one notification is to move after its attempt; `delay` is in seconds.

    `next_scope` is whom it fails over to, as `provider:smtp`.
    """

    id: UUID
    way: Way
    delay: float = 0.0
    next_scope: str = ""
    provider_message_id: str = ""
    code: str = ""
    detail: str = ""

    @property
    def delay_span(self) -> timedelta:
        return timedelta(seconds=self.delay)

    @property
    def publish_span(self) -> timedelta:
        grace = RETRY_GRACE_SECONDS if self.delay <= FAST_RETRY_SECONDS else 0.0
        return timedelta(seconds=self.delay + grace)


def settle(
    rows: models.QuerySet[Any], using: str, token: UUID, settlements: Sequence[Settlement]
) -> int:
    """Move what the holder of `token` still holds of `settlements`; how many rows moved.

    `rows` is the whole table: the statements are kept, whatever it is filtered by.
    """
    by_way: dict[Way, list[Settlement]] = defaultdict(list)
    for item in settlements:
        by_way[item.way].append(item)
    return sum(_settle(rows, using, token, way, items) for way, items in by_way.items())


def _settle(
    rows: models.QuerySet[Any], using: str, token: UUID, way: Way, items: Sequence[Settlement]
) -> int:
    values = _Values(token, items)
    return prepared.update(using, ("settle", way), values, len(items), partial(_build, rows, way))


class _Values(dict[str, Any]):
    """The token, and of all items whatever a statement asks for."""

    def __init__(self, token: UUID, items: Sequence[Settlement]) -> None:
        super().__init__(token=token)
        self._items = items

    def __missing__(self, name: str) -> list[Any]:
        column = self[name] = [getattr(item, name) for item in self._items]
        return column


def _build(
    rows: models.QuerySet[Any], way: Way, count: int
) -> tuple[models.QuerySet[Any], dict[str, Any]]:
    ids = Column("id", models.UUIDField(), count)
    start, _ = MOVES[way.move]
    held = rows.filter(Among(ids), InState(start), lease_token=Slot("token", models.UUIDField()))

    def each(name: str, field: "models.Field[Any, Any]") -> OfRow:
        return OfRow(ids, Column(name, field, count))

    values = {
        "error_code": each("code", models.CharField()),
        "error_detail": each("detail", models.CharField()),
        "cancel_requested": False,
    } | _VALUES[way.move](way, each)
    if way.free:
        values["uncounted_attempts"] = F("uncounted_attempts") + 1
    if way.ambiguous:
        values["was_ambiguous"] = True
    return held, values


def _accepted(way: Way, each: Each) -> dict[str, Any]:
    values: dict[str, Any] = {
        "state": State.SENT,
        "sent_at": Now(),
        "settled_at": Now() if way.final or way.receipt in PROVEN else _when_proven(),
        "provider_message_id": each("provider_message_id", models.CharField()),
        "error_code": "",
        "error_detail": "",
    }
    if way.receipt:
        outranked = When(receipt_state__lt=way.receipt.floor, then=Value(way.receipt.value))
        values["receipt_state"] = Case(
            outranked, default=F("receipt_state"), output_field=models.SmallIntegerField()
        )
    return values


def _to_be_retried(way: Way, each: Each) -> dict[str, Any]:
    risk = {"duplicate_risk": True} if way.risky else {}
    cancelled = When(cancel_requested=True, then=Value(State.CANCELLED.value))
    if way.fails_over:
        scope = each("next_scope", models.CharField())
        wait = {"wait_reason": WaitReason.QUEUE, "wait_scope": scope}
    else:
        wait = {"wait_reason": WaitReason.BACKOFF}
    return (
        risk
        | wait
        | {
            "state": _unless_proven(State.RETRY_WAIT, cancelled),
            "settled_at": _when_proven(When(cancel_requested=True, then=Now())),
            "due_at": Now() + each("delay_span", models.DurationField()),
            "publish_at": Now() + each("publish_span", models.DurationField()),
        }
    )


def _failed(way: Way, each: Each) -> dict[str, Any]:
    return {"state": _unless_proven(State.FAILED), "settled_at": Now()}


def _parked(way: Way, each: Each) -> dict[str, Any]:
    # Whatever the provider has said of it, it has it.
    told = When(receipt_state__gt=ReceiptState.NONE, then=Value(State.SENT.value))
    return {
        "state": Case(told, default=Value(State.UNKNOWN.value)),
        "settled_at": _when_proven(),
        "wait_reason": WaitReason.RECONCILE,
        "look_up_note": "",
    }


def _abandoned(way: Way, each: Each) -> dict[str, Any]:
    cancelled = When(cancel_requested=True, then=Value(State.CANCELLED.value))
    tried_before = When(attempt_count__gt=1, then=Value(State.RETRY_WAIT.value))
    return {
        "state": Case(cancelled, tried_before, default=Value(State.QUEUED.value)),
        "settled_at": Case(When(cancel_requested=True, then=Now()), default=None),
        "attempt_count": F("attempt_count") - 1,
        "due_at": Now(),
        "publish_at": Now(),
    }


_VALUES = {
    Move.ACCEPT: _accepted,
    Move.RETRY: _to_be_retried,
    Move.FAIL: _failed,
    Move.PARK: _parked,
    Move.ABANDON: _abandoned,
}


def _unless_proven(state: State, *whens: When) -> Case:
    """The state to move to, unless a receipt or the wish to cancel says otherwise."""
    proven = When(receipt_state__in=PROVEN, then=Value(State.SENT.value))
    return Case(proven, *whens, default=Value(state.value))


def _when_proven(*whens: When) -> Case:
    """The time of settling, for rows that a receipt (or one of `whens`) has already decided."""
    return Case(When(receipt_state__in=PROVEN, then=Now()), *whens, default=None)
