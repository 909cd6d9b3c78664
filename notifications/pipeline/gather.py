"""Notifications join the open digest of their key, or open one.

The open digest is a row of which a unique constraint allows one for each key and recipient; who
joins holds it until the end of the transaction that stores the notification. So who closes it finds
all that have joined, and whoever comes later opens the next.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from ..messages import DigestRule, Draft
from ..models import Digest, Notification, Tenant
from ..suppression import fold
from . import database


class Place(NamedTuple):
    """What digests are apart by, within a tenant; `recipient` is folded."""

    channel: str
    recipient: str
    key: str


def join(
    tenant: Tenant, now: datetime, drafts: Sequence[Draft], passed_over: Collection[int]
) -> Mapping[int, UUID]:
    """The digest that each draft which asks for one is to be stored in, by its place in the list.

    Those `passed_over` do not join, nor do those whose key has stored them before. Call inside the
    transaction that stores them.
    """
    asking = {n: d for n, d in enumerate(drafts) if d.digest and n not in passed_over}
    known = _known_keys(tenant, asking.values())
    waiting: dict[Place, list[int]] = defaultdict(list)
    for n, draft in asking.items():
        if draft.idempotency_key not in known:
            waiting[_place(draft)].append(n)
    joined: dict[int, UUID] = {}
    while waiting:
        rules = {place: _rule(drafts[numbers[0]]) for place, numbers in waiting.items()}
        digests = _open(tenant, now, rules)
        for place, digest in digests.items():
            joined |= dict.fromkeys(_fill(digest, now, waiting[place]), digest.pk)
        Digest.objects.bulk_update(digests.values(), ["count", "closes_at", "is_open"])
        waiting = {place: numbers for place, numbers in waiting.items() if numbers}
    return joined


def _place(draft: Draft) -> Place:
    return Place(draft.channel.value, fold(draft.channel, draft.to), _rule(draft).key)


def _rule(draft: Draft) -> DigestRule:
    assert draft.digest is not None  # noqa: S101 - only those are asked that have one
    return draft.digest


def _known_keys(tenant: Tenant, drafts: Collection[Draft]) -> set[str | None]:
    keys = [draft.idempotency_key for draft in drafts if draft.idempotency_key]
    if not keys:
        return set()
    found = Notification.objects.filter(tenant=tenant, idempotency_key__in=keys)
    return set(found.values_list("idempotency_key", flat=True))


def _open(tenant: Tenant, now: datetime, rules: Mapping[Place, DigestRule]) -> dict[Place, Digest]:
    """The open digests of these places, locked; none at all where one is closed at this moment."""
    # Always in the same order, for the sake of locks: an INSERT waits for another's of the same.
    new = [_new(tenant, now, place, rules[place]) for place in sorted(rules)]
    rows = Digest.objects.open().filter(
        tenant=tenant,
        recipient__in={place.recipient for place in rules},
        key__in={place.key for place in rules},
    )
    try:
        with database.atomic():
            Digest.objects.bulk_create(new, ignore_conflicts=True)
            locked = rows.order_by("pk").lock(wait=True)
            found = {Place(d.channel, d.recipient, d.key): d for d in locked}
            return {place: found[place] for place in rules}
    except KeyError:
        # Rolled back: whoever asks again, and holds others of them, would be in the others' way.
        return {}


def _new(tenant: Tenant, now: datetime, place: Place, rule: DigestRule) -> Digest:
    return Digest(
        tenant=tenant,
        **place._asdict(),
        template=rule.template,
        window=rule.window,
        is_sliding=rule.sliding,
        max_count=rule.max_count,
        created_at=now,
        closes_at=now + timedelta(seconds=rule.window),
    )


def _fill(digest: Digest, now: datetime, waiting: list[int]) -> list[int]:
    """Take from those `waiting` as many as there is room for; nobody joins a full one any more."""
    room = digest.max_count - digest.count
    taken, waiting[:] = waiting[:room], waiting[room:]
    digest.count += len(taken)
    if digest.is_sliding:
        digest.closes_at = now + timedelta(seconds=digest.window)
    if digest.count >= digest.max_count:
        digest.closes_at, digest.is_open = now, False
    return taken
