"""The lists of suppressed recipients: how something comes on one.

A recipient has one entry in each list. What comes on it again replaces the entry only when it lasts
longer or holds more (`strength`): nothing weakens what somebody has asked for but its deletion.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Now

from ..channels import CHANNELS
from ..enums import Channel, SuppressionReason
from ..models import Notification, Suppression, Tenant
from ..suppression import Entry, Strength, strength
from . import database
from .parties import LISTS, parties_of

SOFT_BOUNCES = 3
SOFT_BOUNCE_HOURS = 24
SOFT_BOUNCE_DAYS = 30
"""So many notifications bounced softly within so many hours: nothing is sent for so many days."""

SOFT_BOUNCE, OPT_OUT = "soft_bounce", "unsubscribed"

REASONS = {"bounce": SuppressionReason.HARD_BOUNCE, "complaint": SuppressionReason.COMPLAINT}

TELLING = frozenset({*REASONS, SOFT_BOUNCE, OPT_OUT})
"""The codes of attempts and receipts that say something about the recipient."""

Place = tuple[str, str]
"""A channel and a folded recipient of it."""


class Added(NamedTuple):
    """An entry as it is on the list now; `created` when there was none before."""

    suppression: Suppression
    created: bool


def add(tenant: Tenant, entry: Entry) -> Added:
    """Put one on the list, or find the stronger one that is there."""
    with database.atomic():
        created = add_many(tenant, [entry])
        row = _listed(tenant.pk, [entry]).get(channel=entry.channel)
    return Added(row, bool(created))


def add_many(tenant: Tenant, entries: Sequence[Entry]) -> int:
    """Put many on the list, idempotently; how many recipients were not on it before."""
    with database.atomic():
        created = _add(tenant.pk, entries)
    tenant.has_suppressions = True
    return created


def learn_from_receipts(told: Iterable[tuple[UUID | None, str, str]]) -> None:
    """As `learn`, from ids of notifications with the codes of new receipts."""
    codes = [each for each in told if each[1] in TELLING]
    if not codes:
        return
    rows = Notification.objects.only("tenant_id", "channel", "to", "content")
    by_id = rows.in_bulk([id for id, *_ in codes if id is not None])
    learn((by_id[id], code, named) for id, code, named in codes if id in by_id)


def learn(told: Iterable[tuple[Notification, str, str]]) -> None:
    """Put recipients on the lists of their tenants for the codes of attempts or receipts.

    Each comes with whom the provider named. Of several recipients nobody is put there unless it was
    told which. It belongs into the transaction that stores those: what they say is not lost
    without them.
    """
    entries: dict[int, list[Entry]] = defaultdict(list)
    softly: dict[tuple[int, str, str], set[UUID]] = defaultdict(set)
    for row, code, named in told:
        to = parties_of(row).meant(named) if code in TELLING else ""
        if to and code == SOFT_BOUNCE:
            softly[row.tenant_id, row.channel, to].add(row.pk)
        elif to:
            entries[row.tenant_id].append(_entry(row.channel, to, code))
    for (tenant_id, channel, to), ids in softly.items():
        if len(ids | _softly_bounced(tenant_id, channel, to)) >= SOFT_BOUNCES:
            entries[tenant_id].append(_for_some_days(channel, to))
    for tenant_id in sorted(entries):  # in the same order everywhere, for the sake of locks
        _add(tenant_id, entries[tenant_id])


def _entry(channel: str, to: str, code: str) -> Entry:
    row = CHANNELS[Channel(channel)]
    return Entry(row.channel, row.fold(to), row.opt_out if code == OPT_OUT else REASONS[code])


def _for_some_days(channel: str, to: str) -> Entry:
    row = CHANNELS[Channel(channel)]
    until = database.now() + timedelta(days=SOFT_BOUNCE_DAYS)
    return Entry(row.channel, row.fold(to), SuppressionReason.SOFT_BOUNCE, expires_at=until)


def _softly_bounced(tenant_id: int, channel: str, to: str) -> set[UUID]:
    """The notifications of a recipient of which that was said lately."""
    since = Now() - timedelta(hours=SOFT_BOUNCE_HOURS)
    rows = Notification.objects.filter(tenant_id=tenant_id, channel=channel)
    alone = rows.filter(to=to).exclude(content__has_any_keys=LISTS)
    told = {"receipts__code": SOFT_BOUNCE, "receipts__received_at__gt": since}
    tried = {"attempts__code": SOFT_BOUNCE, "attempts__finished_at__gt": since}
    # The second condition is that of the index.
    one_of_several = {"receipts__recipient": to, "receipts__recipient__gt": ""}
    found = [alone.filter(**told), alone.filter(**tried), rows.filter(**one_of_several, **told)]
    first, *others = [each.values_list("pk", flat=True) for each in found]
    return set(first.union(*others))


def _add(tenant_id: int, entries: Sequence[Entry]) -> int:
    wanted: dict[Place, Entry] = {}
    for entry in entries:
        place = entry.channel.value, entry.recipient
        if place not in wanted or _strength(entry) > _strength(wanted[place]):
            wanted[place] = entry
    kept = {(row.channel, row.recipient): row for row in _listed(tenant_id, entries)}
    new = [wanted[place] for place in sorted(wanted.keys() - kept.keys())]
    _insert(tenant_id, new)
    for there, row in kept.items():
        if there in wanted and _strength(wanted[there]) > _strength(row):
            _replace(row, wanted[there])
    return len(new)


def _listed(tenant_id: int, entries: Sequence[Entry]) -> QuerySet[Suppression]:
    """What is there for the recipients of `entries`, locked."""
    recipients = {entry.recipient for entry in entries}
    rows = Suppression.objects.filter(tenant=tenant_id, recipient__in=recipients)
    return rows.order_by("recipient").select_for_update()


def _strength(held: Entry | Suppression) -> Strength:
    return strength(held.reason, held.expires_at)


def _insert(tenant_id: int, entries: Sequence[Entry]) -> None:
    rows = [Suppression(tenant_id=tenant_id, **_values(entry)) for entry in entries]
    Suppression.objects.bulk_create(rows, ignore_conflicts=True)
    Tenant.objects.filter(pk=tenant_id, has_suppressions=False).update(has_suppressions=True)


def _replace(row: Suppression, entry: Entry) -> None:
    Suppression.objects.filter(pk=row.pk).update(**_values(entry), created_at=Now())


def _values(entry: Entry) -> dict[str, Any]:
    return asdict(entry)
