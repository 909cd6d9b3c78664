"""What an attempt does to its row: one guarded UPDATE for all rows that go the same way."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import models
from django.db.models import Case, F, Value, When
from django.db.models.functions import Now

from . import prepared
from .enums import ReceiptState, State, WaitReason
from .lifecycle import MOVES, Move
from .prepared import Slot
from .retry import FAST_RETRY_SECONDS

RETRY_GRACE_SECONDS = 5.0
"""How long after `due_at` the dispatcher leaves a short delay to Celery's own countdown."""

PROVEN = tuple(r for r in ReceiptState if r >= ReceiptState.DELIVERED)
"""Receipts that prove the provider took the message, whatever became of it then."""


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
    statement = prepared.update(
        using, ("settle", way, len(items)), lambda: _build(rows, way, len(items))
    )
    values: dict[str, Any] = {"token": token}
    for index, item in enumerate(items):
        grace = RETRY_GRACE_SECONDS if item.delay <= FAST_RETRY_SECONDS else 0.0
        values |= {
            f"id{index}": item.id,
            f"code{index}": item.code,
            f"detail{index}": item.detail,
            f"provider_message_id{index}": item.provider_message_id,
            f"next_scope{index}": item.next_scope,
            f"delay{index}": timedelta(seconds=item.delay),
            f"publish_delay{index}": timedelta(seconds=item.delay + grace),
        }
    return statement.run(using, values)


def _build(
    rows: models.QuerySet[Any], way: Way, count: int
) -> tuple[models.QuerySet[Any], dict[str, Any]]:
    ids = [Slot(f"id{index}", models.UUIDField()) for index in range(count)]
    start, _ = MOVES[way.move]
    held = rows.filter(
        pk__in=ids, state__in=sorted(start), lease_token=Slot("token", models.UUIDField())
    )
    values = {
        "error_code": _each(ids, "code", models.CharField()),
        "error_detail": _each(ids, "detail", models.CharField()),
        "cancel_requested": False,
    } | _VALUES[way.move](way, ids)
    if way.free:
        values["uncounted_attempts"] = F("uncounted_attempts") + 1
    if way.ambiguous:
        values["was_ambiguous"] = True
    return held, values


def _accepted(way: Way, ids: Sequence[Slot]) -> dict[str, Any]:
    values: dict[str, Any] = {
        "state": State.SENT,
        "sent_at": Now(),
        "settled_at": Now() if way.final or way.receipt in PROVEN else _when_proven(),
        "provider_message_id": _each(ids, "provider_message_id", models.CharField()),
        "error_code": "",
        "error_detail": "",
    }
    if way.receipt:
        outranked = When(receipt_state__lt=way.receipt.floor, then=Value(way.receipt.value))
        values["receipt_state"] = Case(
            outranked, default=F("receipt_state"), output_field=models.SmallIntegerField()
        )
    return values


def _to_be_retried(way: Way, ids: Sequence[Slot]) -> dict[str, Any]:
    risk = {"duplicate_risk": True} if way.risky else {}
    cancelled = When(cancel_requested=True, then=Value(State.CANCELLED.value))
    if way.fails_over:
        scope = _each(ids, "next_scope", models.CharField())
        wait = {"wait_reason": WaitReason.QUEUE, "wait_scope": scope}
    else:
        wait = {"wait_reason": WaitReason.BACKOFF}
    return (
        risk
        | wait
        | {
            "state": _unless_proven(State.RETRY_WAIT, cancelled),
            "settled_at": _when_proven(When(cancel_requested=True, then=Now())),
            "due_at": Now() + _each(ids, "delay", models.DurationField()),
            "publish_at": Now() + _each(ids, "publish_delay", models.DurationField()),
        }
    )


def _failed(way: Way, ids: Sequence[Slot]) -> dict[str, Any]:
    return {"state": _unless_proven(State.FAILED), "settled_at": Now()}


def _parked(way: Way, ids: Sequence[Slot]) -> dict[str, Any]:
    return {
        "state": _unless_proven(State.UNKNOWN),
        "settled_at": _when_proven(),
        "wait_reason": WaitReason.RECONCILE,
    }


def _abandoned(way: Way, ids: Sequence[Slot]) -> dict[str, Any]:
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


def _each(ids: Sequence[Slot], name: str, field: "models.Field[Any, Any]") -> Any:
    """The value of this name for the row at hand."""
    if len(ids) == 1:
        return Slot(f"{name}0", field)
    return Case(*(When(pk=id, then=Slot(f"{name}{i}", field)) for i, id in enumerate(ids)))
