"""Receipts: stored once each, applied by rank, never regressing, whatever the order."""

from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from typing import Any
from uuid import UUID

from .. import prepared
from ..enums import Channel, ReceiptState, State
from ..lifecycle import MOVES, Move, status_of
from ..messages import ProviderReceipt, ReportedReceipt
from ..models import Notification, Receipt
from ..settlements import PROVEN
from ..signals import receipt_dismissed
from . import database, events, told
from .parties import Parties, read_parties
from .suppressions import learn_from_receipts
from .told import Received, Settled

CODE_MAX = 50
ID_MAX = 255
RECIPIENT_MAX = 320
LOCK_TIMEOUT = "2s"
"""A provider that is told to come back does so; one that is kept waiting hangs up."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A receipt of a provider; without a notification it is an orphan.

    `parties` are the recipients of the notification, where the receipt names one.
    """

    notification_id: UUID | None
    provider: str
    receipt: ProviderReceipt
    parties: Parties | None = None

    @property
    def weight(self) -> ReceiptState:
        """What it says of the notification as a whole."""
        return self.parties.weigh(self.receipt) if self.parties else self.receipt.kind

    @property
    def recipient(self) -> str:
        """Whom it is about: of several the one, of an orphan the one that is named."""
        named = self.receipt.recipient
        if self.parties:
            named = self.parties.meant(named) if self.parties.are_several else ""
        return named[:RECIPIENT_MAX]


def receive(provider: str, reported: Sequence[ReportedReceipt]) -> None:
    """Store and apply what a provider reports; what was seen before changes nothing.

    A notification is found by our id or by the provider's own, and only when this provider has
    tried it. What belongs to none is kept as an orphan: see `adopt`.
    """
    _dismiss(provider, [r for r in reported if not r.kind], "ignored")
    storable = (_storable(receipt) for receipt in reported if receipt.kind)
    # One that a call holds twice counts once; all processes go through them in the same order.
    telling = sorted({r.event_id: r for r in storable}.values(), key=lambda r: r.event_id)
    if not telling:
        return
    with database.atomic():
        database.now(lock_timeout=LOCK_TIMEOUT)
        # Locked before anything is stored: a row that is pruned meanwhile must not be pointed at.
        arrivals = _addressed(provider, telling)
        known = _known(provider, [receipt.event_id for receipt in telling])
        store([a for a in arrivals if a.receipt.event_id not in known])
        apply([a for a in arrivals if a.notification_id], known)
        orphans = [a.receipt for a in arrivals if not a.notification_id]
        database.on_commit(lambda: _dismiss(provider, orphans, "orphaned"))


def store(arrivals: Iterable[Arrival]) -> None:
    """Write receipts down, once for each event, without applying them."""
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for arrival in arrivals:
        row = _row(arrival)
        alike[tuple(row)].append(row)
    for rows in alike.values():
        prepared.insert(database.alias(), Receipt, rows, ignore_conflicts=True)


def apply(arrivals: Sequence[Arrival], known: Container[str] = ()) -> None:
    """Let receipts speak, the lowest first; those of `known` events have done so before."""
    by_weight: dict[ReceiptState, list[Arrival]] = defaultdict(list)
    for arrival in arrivals:
        by_weight[arrival.weight].append(arrival)
    for kind, found in sorted(by_weight.items()):
        new = [a.notification_id for a in found if a.receipt.event_id not in known]
        ids = [id for id in new if id is not None]
        rising = Notification.objects.raise_receipt(ids, kind) if ids else []
        if rising:
            events.record([row.pk for row in rising])
        database.on_commit(partial(_tell, kind, found, rising))
    # Notifications are locked before suppressions, as where attempts are settled.
    learn_from_receipts(
        (a.notification_id, a.receipt.code, a.receipt.recipient)
        for a in arrivals
        if a.notification_id and a.receipt.event_id not in known
    )


def tell_received(arrivals: Iterable[Arrival], risen: Container[UUID | None]) -> None:
    """Tell of receipts; `risen` are the notifications that changed by them."""
    told.tell_received(
        Received(
            a.notification_id,
            a.provider,
            a.receipt.kind,
            a.notification_id in risen,
            a.receipt.code,
        )
        for a in arrivals
        if a.notification_id
    )


def owners(provider: str, message_ids: Collection[str]) -> Mapping[str, UUID]:
    """The notifications, locked, that `provider` took under these ids of its own."""
    named = Notification.objects.taken_as(provider, message_ids).lock_in_order()
    return dict(named.values_list("provider_message_id", "pk"))


def _addressed(provider: str, receipts: Sequence[ReportedReceipt]) -> list[Arrival]:
    """Each receipt with its notification, which is locked from now on."""
    ids = {r.notification_id for r in receipts if r.notification_id}
    tried = Notification.objects.tried_by(provider, ids).lock_in_order()
    ours = set(tried.values_list("pk", flat=True)) if ids else set()
    others = {r.provider_message_id for r in receipts if r.notification_id not in ours} - {""}
    theirs = owners(provider, others) if others else {}
    found = [
        (r, r.notification_id if r.notification_id in ours else theirs.get(r.provider_message_id))
        for r in receipts
    ]
    return address(provider, found)


def address(provider: str, found: Sequence[tuple[ProviderReceipt, UUID | None]]) -> list[Arrival]:
    """Receipts with their notifications, and with the recipients of these where that matters."""
    parties = read_parties({id for receipt, id in found if id and receipt.recipient})
    return [
        Arrival(id, provider, receipt, parties.get(id) if id and receipt.recipient else None)
        for receipt, id in found
    ]


def _known(provider: str, event_ids: Sequence[str]) -> set[str]:
    """Those events that have been applied already; an orphan has not."""
    found = Receipt.objects.filter(
        provider=provider, event_id__in=event_ids, notification__isnull=False
    )
    return set(found.values_list("event_id", flat=True))


def _storable(receipt: ReportedReceipt) -> ReportedReceipt:
    return replace(
        receipt,
        event_id=_fitting(receipt.event_id),
        provider_message_id=_fitting(receipt.provider_message_id),
        code=_clean(receipt.code)[:CODE_MAX],
        recipient=_clean(receipt.recipient)[:RECIPIENT_MAX],
    )


def _fitting(id: str) -> str:
    """The id, or where it is too long for the column its digest."""
    clean = _clean(id)
    return clean if len(clean) <= ID_MAX else blake2b(clean.encode(), digest_size=32).hexdigest()


def _clean(text: str) -> str:
    """Without what no database takes: NUL, and halves of surrogate pairs."""
    return text.replace("\x00", "").encode(errors="replace").decode()


def _row(arrival: Arrival) -> dict[str, Any]:
    """What is there of it; the database's defaults stand for the rest."""
    receipt = arrival.receipt
    claims = None if arrival.notification_id else getattr(receipt, "notification_id", None)
    row = {
        "notification_id": arrival.notification_id,
        "claims": claims,
        "provider": arrival.provider,
        "provider_message_id": getattr(receipt, "provider_message_id", ""),
        "event_id": receipt.event_id,
        "kind": receipt.kind,
        "code": receipt.code,
        "recipient": arrival.recipient,
        "occurred_at": receipt.occurred_at,
    }
    return {name: value for name, value in row.items() if value not in (None, "")}


def _dismiss(provider: str, receipts: Sequence[ProviderReceipt], result: str) -> None:
    for receipt in receipts:
        receipt_dismissed.send_robust(
            sender=Receipt, provider=provider, kind=receipt.kind, result=result
        )


def _tell(kind: ReceiptState, found: Sequence[Arrival], rising: Sequence[Notification]) -> None:
    tell_received(found, {row.pk for row in rising})
    ended = {State.SENT, *MOVES[Move.EVIDENCE][0]} if kind in PROVEN else set()
    told.tell_settled(
        Settled(row.pk, Channel(row.channel), status_of(State.SENT, kind))
        for row in rising
        if row.state in ended
    )
