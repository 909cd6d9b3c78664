"""Receipts: stored once each, applied by rank, never regressing, whatever the order."""

from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from .. import prepared
from ..enums import Channel, ReceiptState, State
from ..lifecycle import MOVES, Move, status_of
from ..messages import ProviderReceipt
from ..models import Notification, Receipt
from ..settlements import PROVEN
from . import database, events, told
from .suppressions import learn_from_receipts
from .told import Received, Settled


@dataclass(frozen=True, slots=True)
class Arrival:
    """A receipt that has come in for a notification of ours."""

    notification_id: UUID
    provider: str
    receipt: ProviderReceipt


def receive(arrivals: Sequence[Arrival]) -> None:
    """Store and apply receipts; those seen before change nothing."""
    with database.atomic():
        record(arrivals)


def record(arrivals: Sequence[Arrival]) -> None:
    """As `receive`, within the caller's transaction."""
    store(arrivals)
    by_kind: dict[ReceiptState, list[Arrival]] = defaultdict(list)
    for arrival in arrivals:
        by_kind[arrival.receipt.kind].append(arrival)
    for kind, found in sorted(by_kind.items()):
        rising = Notification.objects.raise_receipt([a.notification_id for a in found], kind)
        events.record([row.pk for row in rising])
        database.on_commit(partial(_tell, kind, found, rising))
    # Notifications are locked before suppressions, as where attempts are settled.
    learn_from_receipts((a.notification_id, a.receipt.code) for a in arrivals)


def store(arrivals: Sequence[Arrival]) -> None:
    """Write receipts down, once for each event, without applying them."""
    timed = [a for a in arrivals if a.receipt.occurred_at is not None]
    untimed = [a for a in arrivals if a.receipt.occurred_at is None]
    for rows in (
        [_row(a) | {"occurred_at": a.receipt.occurred_at} for a in timed],
        [_row(a) for a in untimed],
    ):
        if rows:
            prepared.insert(database.alias(), Receipt, rows, ignore_conflicts=True)


def tell_received(arrivals: Iterable[Arrival], risen: Container[UUID]) -> None:
    """Tell of receipts; `risen` are the notifications that changed by them."""
    told.tell_received(
        Received(a.notification_id, a.provider, a.receipt.kind, a.notification_id in risen)
        for a in arrivals
    )


def _row(arrival: Arrival) -> dict[str, Any]:
    return {
        "notification_id": arrival.notification_id,
        "provider": arrival.provider,
        "event_id": arrival.receipt.event_id,
        "kind": arrival.receipt.kind,
        "code": arrival.receipt.code,
    }


def _tell(kind: ReceiptState, found: Sequence[Arrival], rising: Sequence[Notification]) -> None:
    tell_received(found, {row.pk for row in rising})
    ended = {State.SENT, *MOVES[Move.EVIDENCE][0]} if kind in PROVEN else set()
    told.tell_settled(
        Settled(row.pk, Channel(row.channel), status_of(State.SENT, kind))
        for row in rising
        if row.state in ended
    )
