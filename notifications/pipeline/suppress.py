"""What is meant for a suppressed recipient: found when it is accepted, and before it is sent.

A tenant that never had a suppression is not asked about. Its row says so: a worker reads it with
each claim, so that nothing goes out after the first one; a web process may remember for some
seconds that there was none, and what it accepts meanwhile is held by the worker.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple
from uuid import UUID

from ..enums import Channel, Status, SuppressionReason
from ..messages import Draft, recipients_of
from ..models import Notification, Suppression, Tenant
from ..suppression import ERROR_CODE, detail_of, fold, holds_for
from . import database
from .told import Settled, tell_settled


class Target(NamedTuple):
    """Whom a tenant wants to reach; `recipient` is folded."""

    tenant_id: int
    channel: str
    recipient: str


class Why(NamedTuple):
    """The error of a notification that is not sent."""

    code: str
    detail: str


def held_drafts(tenant: Tenant, drafts: Sequence[Draft]) -> Mapping[int, Why]:
    """Those that must not be sent, by their place in the list."""
    if not tenant.has_suppressions:
        return {}
    targets = [targets_of(tenant.pk, draft) for draft in drafts]
    found = _find(chain.from_iterable(each.values() for each in targets))
    reasons = {
        index: _reason(_withheld(draft, wanted, found), wanted)
        for index, (draft, wanted) in enumerate(zip(drafts, targets, strict=True))
    }
    return {index: _why(reason) for index, reason in reasons.items() if reason}


def count_withheld(tenant: Tenant, draft: Draft) -> int:
    """Of how many of its recipients it would be kept."""
    if not tenant.has_suppressions:
        return 0
    targets = targets_of(tenant.pk, draft)
    return len(_withheld(draft, targets, _find(targets.values())))


def withhold(token: UUID, rows: Sequence[Notification]) -> list[Notification]:
    """End those rows of a lease that must not be sent; returns those that may be.

    Where a row goes to several, those of them that it must not be sent to are in its `withheld`.
    """
    wanted = {row: targets_of(row.tenant_id, row) for row in rows if row.tenant.has_suppressions}
    found = _find(chain.from_iterable(each.values() for each in wanted.values())) if wanted else {}
    held = {}
    for row, targets in wanted.items() if found else ():
        withheld = _withheld(row, targets, found)
        row.withheld = frozenset(withheld)
        if reason := _reason(withheld, targets):
            held[row] = _why(reason)
    if held:
        end(token, held)
    return [row for row in rows if row not in held]


def targets_of(tenant_id: int, wanted: Draft | Notification) -> dict[str, Target]:
    """All whom it goes to."""
    channel = wanted.channel
    recipients = recipients_of(wanted.to, wanted.content)
    return {to: Target(tenant_id, channel, fold(channel, to)) for to in recipients}


def end(token: UUID, held: Mapping[Notification, Why]) -> None:
    """End rows of a lease, each for its reason, and tell of those that were still held."""
    by_reason: dict[Why, list[UUID]] = defaultdict(list)
    for row, why in held.items():
        by_reason[why].append(row.pk)
    with database.atomic():
        for why, ids in by_reason.items():
            moved = Notification.objects.suppress(ids, token, *why)
            ended = [(row.pk, row.channel) for row in held if row.pk in moved]
            database.on_commit(partial(tell_suppressed, ended))


def tell_suppressed(ended: Iterable[tuple[UUID, str]]) -> None:
    """Tell of notifications, each with its channel, that they have come to their end."""
    tell_settled(Settled(id, Channel(channel), Status.SUPPRESSED) for id, channel in ended)


def _find(targets: Iterable[Target]) -> Mapping[Target, SuppressionReason]:
    """Which of the targets are suppressed, and why: one statement, however many there are."""
    wanted = set(targets)
    tenants = {target.tenant_id for target in wanted}
    tenant_id = next(iter(tenants)) if len(tenants) == 1 else None
    recipients = list({target.recipient for target in wanted})
    found = Suppression.objects.on(recipients, tenant_id)
    reasons = {Target(tenant, channel, to): reason for tenant, channel, to, reason in found}
    return {target: reason for target, reason in reasons.items() if target in wanted}


def _withheld(
    wanted: Draft | Notification,
    targets: Mapping[str, Target],
    found: Mapping[Target, SuppressionReason],
) -> dict[str, SuppressionReason]:
    """Those of its recipients that it must not be sent to."""
    transactional = wanted.is_transactional
    return {
        to: found[target]
        for to, target in targets.items()
        if target in found and holds_for(found[target], is_transactional=transactional)
    }


def _reason(
    withheld: Mapping[str, SuppressionReason], targets: Mapping[str, Target]
) -> SuppressionReason | None:
    """Why it is not to be sent at all: nobody is left."""
    return next(iter(withheld.values())) if len(withheld) == len(targets) else None


def _why(reason: SuppressionReason) -> Why:
    return Why(ERROR_CODE, detail_of(reason))
