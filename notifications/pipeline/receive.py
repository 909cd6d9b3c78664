"""Receipts: stored once each, applied by rank, never regressing, whatever the order."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models.functions import Now

from ..enums import Channel, ReceiptState, State
from ..lifecycle import MOVES, Move, status_of
from ..messages import ProviderReceipt
from ..models import Notification, Receipt
from ..querysets import PROVEN
from ..signals import notification_settled, receipt_received
from . import database


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
    if not arrivals:
        return
    Receipt.objects.bulk_create([_row(arrival) for arrival in arrivals], ignore_conflicts=True)
    by_kind: dict[ReceiptState, dict[UUID, Arrival]] = defaultdict(dict)
    for arrival in arrivals:
        by_kind[arrival.receipt.kind][arrival.notification_id] = arrival
    for kind, found in sorted(by_kind.items()):
        _apply(kind, found)


def _row(arrival: Arrival) -> Receipt:
    return Receipt(
        notification_id=arrival.notification_id,
        provider=arrival.provider,
        event_id=arrival.receipt.event_id,
        kind=arrival.receipt.kind,
        occurred_at=arrival.receipt.occurred_at or Now(),
        received_at=Now(),
    )


def _apply(kind: ReceiptState, found: dict[UUID, Arrival]) -> None:
    rising = Notification.objects.raise_receipt(list(found), kind)
    database.on_commit(lambda: _tell(kind, found, rising))


def _tell(kind: ReceiptState, found: dict[UUID, Arrival], rising: Sequence[Notification]) -> None:
    risen = {row.pk for row in rising}
    for id, arrival in found.items():
        receipt_received.send_robust(
            sender=Receipt,
            notification_id=id,
            provider=arrival.provider,
            kind=kind,
            applied=id in risen,
        )
    for row in rising if kind in PROVEN else ():
        if row.state == State.SENT or row.state in MOVES[Move.EVIDENCE][0]:
            notification_settled.send_robust(
                sender=Notification,
                notification_id=row.pk,
                channel=Channel(row.channel),
                status=status_of(State.SENT, kind),
            )
