"""What is meant for a suppressed recipient: found when it is accepted, and before it is sent.

A tenant that never had a suppression is not asked about. Its row says so: a worker reads it with
each claim, so that nothing goes out after the first one; a web process may remember for some
seconds that there was none, and what it accepts meanwhile is held by the worker.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple
from uuid import UUID

from ..enums import Channel, Status, SuppressionReason
from ..messages import Draft
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
    targets = [Target(tenant.pk, d.channel, fold(d.channel, d.to)) for d in drafts]
    found = _find(targets)
    return {
        index: _why(found[target])
        for index, (draft, target) in enumerate(zip(drafts, targets, strict=True))
        if target in found and _holds(found[target], draft)
    }


def withhold(token: UUID, rows: Sequence[Notification]) -> list[Notification]:
    """End those rows of a lease that must not be sent; returns those that may be."""
    targets = {
        row.pk: Target(row.tenant_id, row.channel, fold(row.channel, row.to))
        for row in rows
        if row.tenant.has_suppressions
    }
    found = _find(targets.values()) if targets else {}
    held = {
        row: _why(found[targets[row.pk]])
        for row in rows
        if targets.get(row.pk) in found and _holds(found[targets[row.pk]], row)
    }
    if held:
        end(token, held)
    return [row for row in rows if row not in held]


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


def _holds(reason: SuppressionReason, wanted: Draft | Notification) -> bool:
    return holds_for(reason, is_transactional=wanted.is_transactional)


def _why(reason: SuppressionReason) -> Why:
    return Why(ERROR_CODE, detail_of(reason))
