"""Signals about many rows at once, and about each of them where somebody wants it so."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from ..enums import Channel, Priority, ReceiptState, Status
from ..models import Notification, Receipt
from ..signals import (
    notification_settled,
    notifications_settled,
    receipt_received,
    receipts_received,
)


class Stored(NamedTuple):
    """A notification that was just accepted, of the tenant of this name."""

    notification_id: UUID
    tenant: str
    channel: Channel
    priority: Priority


class Settled(NamedTuple):
    """A notification that has come to a status it stays in."""

    notification_id: UUID
    channel: Channel
    status: Status


class Received(NamedTuple):
    """A receipt; `applied` when the notification changed by it."""

    notification_id: UUID
    provider: str
    kind: ReceiptState
    applied: bool
    code: str = ""


def tell_settled(found: Iterable[Settled]) -> None:
    settled: Sequence[Settled] = list(found)
    if not settled:
        return
    notifications_settled.send_robust(sender=Notification, settled=settled)
    if notification_settled.has_listeners(Notification):
        for each in settled:
            notification_settled.send_robust(sender=Notification, **each._asdict())


def tell_received(found: Iterable[Received]) -> None:
    received: Sequence[Received] = list(found)
    if not received:
        return
    receipts_received.send_robust(sender=Receipt, received=received)
    if receipt_received.has_listeners(Receipt):
        for each in received:
            receipt_received.send_robust(sender=Receipt, **each._asdict())
