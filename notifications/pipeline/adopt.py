"""Orphans: receipts that came before the send they tell of was recorded.

Who records a send adopts its orphans in the same transaction. A receipt that is stored at that very
moment sees no send and is not seen by it, so every worker looks for such orphans now and then.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import timedelta
from uuid import UUID

from django.db import connections
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from ..enums import ReceiptState
from ..messages import ProviderReceipt
from ..models import Notification, Receipt
from . import database
from .receive import address, apply, owners

RACE_SECONDS = 600.0
"""How old an orphan may be that a send has missed: longer than any transaction takes."""

KEPT_DAYS = 7
MOST = 1000
"""Orphans taken in hand in one round."""


def adopt(provider: str, ids: Collection[UUID], named: Mapping[str, UUID]) -> int:
    """Give orphans to their notifications and apply them; how many there were.

    They are found by our ids, or by `named`, the provider's own. Call it inside a transaction that
    holds the notifications locked.
    """
    of_them = Q(claims__in=list(ids)) | Q(provider_message_id__in=list(named))
    rows = _locked(_orphans().filter(of_them, provider=provider))
    owned = [row.claims if row.claims in ids else named[row.provider_message_id] for row in rows]
    arrivals = address(provider, list(zip(map(_said, rows), owned, strict=True)))
    for row, arrival in zip(rows, arrivals, strict=True):
        Receipt.objects.filter(pk=row.pk).update(
            notification=arrival.notification_id, recipient=arrival.recipient
        )
    apply(arrivals)
    return len(rows)


def adopt_missed() -> int:
    """Adopt orphans whose send was recorded while they were stored; how many."""
    by_provider: dict[str, list[Receipt]] = defaultdict(list)
    for sends in _sends():
        recent = _orphans().filter(received_at__gt=Now() - timedelta(seconds=RACE_SECONDS))
        for row in recent.filter(Exists(sends)).order_by()[:MOST]:
            by_provider[row.provider].append(row)
    return sum(_adopt_missed(provider, rows) for provider, rows in by_provider.items())


def old_orphans() -> QuerySet[Receipt]:
    """Those that nobody will adopt any more."""
    return _orphans().filter(received_at__lt=Now() - timedelta(days=KEPT_DAYS))


def _sends() -> tuple[QuerySet[Notification], QuerySet[Notification]]:
    """The notifications that an orphan belongs to: by the provider's id, and by ours."""
    of_it = Notification.objects.filter(provider=OuterRef("provider"))
    named = of_it.with_message_id().filter(provider_message_id=OuterRef("provider_message_id"))
    return named, of_it.filter(pk=OuterRef("claims"))


def _adopt_missed(provider: str, rows: Collection[Receipt]) -> int:
    claimed = {row.claims for row in rows if row.claims}
    message_ids = {row.provider_message_id for row in rows} - {""}
    with database.atomic():
        tried = Notification.objects.tried_by(provider, claimed).lock_in_order()
        ids = set(tried.values_list("pk", flat=True))
        return adopt(provider, ids, owners(provider, message_ids))


def _orphans() -> QuerySet[Receipt]:
    return Receipt.objects.filter(notification__isnull=True)


def _locked(rows: QuerySet[Receipt]) -> list[Receipt]:
    """Those that no other process is adopting."""
    skip = connections[rows.db].features.has_select_for_update_skip_locked
    return list(rows.select_for_update(skip_locked=skip).order_by("event_id"))


def _said(row: Receipt) -> ProviderReceipt:
    return ProviderReceipt(
        ReceiptState(row.kind), row.event_id, row.occurred_at, row.code, row.recipient
    )
