"""What recipients want to have, and when: kept here, looked up as suppressions are.

What they have opted out of ends, when it is accepted or before it is sent. What comes in their
quiet hours is put off until these end. Neither holds for what is transactional, and what is urgent
goes at any hour. A tenant that never had a preference is not asked about.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from ..enums import Channel, Priority, WaitReason
from ..messages import Draft
from ..models import Notification, Preference, Tenant
from ..preference import ERROR_CODE, Wish, detail_of
from . import database, suppress
from .lease import Lease
from .suppress import Target, Why, targets_of


class Kept(NamedTuple):
    """A preference as it is now; `created` when the recipient had none before."""

    preference: Preference
    created: bool


def put(tenant: Tenant, wish: Wish) -> Kept:
    """Keep what a recipient wants in place of whatever was kept before."""

    def write(row: Preference) -> None:
        hours = wish.quiet_hours
        row.opt_outs = sorted(wish.opt_outs)
        row.quiet_from, row.quiet_until = (hours.start, hours.end) if hours else (None, None)
        row.time_zone = hours.zone if hours else ""

    return _write(tenant, Target(tenant.pk, wish.channel.value, wish.recipient), write)


def opt_out(tenant: Tenant, channel: Channel, recipient: str, category: str) -> Kept:
    """Add a category to those that a recipient, folded, does not want."""

    def write(row: Preference) -> None:
        row.opt_outs = sorted({*row.opt_outs, category})

    return _write(tenant, Target(tenant.pk, channel.value, recipient), write)


def held_drafts(tenant: Tenant, drafts: Sequence[Draft]) -> Mapping[int, Why]:
    """Those whose recipients do not want them, by their place in the list."""
    if not tenant.has_preferences:
        return {}
    asked = {n: d for n, d in enumerate(drafts) if d.category}
    targets = {n: targets_of(tenant.pk, draft) for n, draft in asked.items()}
    found = _find(targets.values())
    return {
        n: Why(ERROR_CODE, detail_of(draft.category))
        for n, draft in asked.items()
        if len(_unwilling(draft, targets[n], found)) == len(targets[n])
    }


def respect(lease: Lease, rows: Sequence[Notification]) -> Sequence[Notification]:
    """End or put off what the recipients do not want, or not now; returns what may be sent.

    Of several recipients those who do not want it are in the row's `withheld`, as suppressed ones.
    The hours are those of `to` alone: one of many is always asleep.
    """
    asked = [row for row in rows if row.tenant.has_preferences and not row.is_transactional]
    targets = {row: targets_of(row.tenant_id, row) for row in asked}
    found = _find(targets.values())
    unwanted = set()
    for row in asked if found else ():
        row.withheld |= _unwilling(row, targets[row], found)
        if len(row.withheld) == len(targets[row]):
            unwanted.add(row)
    _end(lease, unwanted)
    wishes = {row: found.get(targets[row].get(row.to)) for row in asked if row not in unwanted}
    delays = _delays(wishes)
    if delays:
        lease.put_off({row.pk: s for row, s in delays.items()}, WaitReason.QUIET_HOURS, "")
    return [row for row in rows if row not in unwanted and row not in delays]


def quiet_until(row: Notification, moment: datetime) -> datetime | None:
    """When the quiet hours end that its recipient has at `moment`; None where it may go."""
    if not row.tenant.has_preferences or row.is_transactional or row.priority == Priority.URGENT:
        return None
    target = targets_of(row.tenant_id, row)[row.to]
    wish = _find([{row.to: target}]).get(target)
    return wish.quiet_hours.until(moment) if wish and wish.quiet_hours else None


def _write(tenant: Tenant, target: Target, write: Callable[[Preference], None]) -> Kept:
    """Change the row of a recipient under its lock, or make it."""
    new = Preference(**target._asdict())
    with database.atomic():
        Preference.objects.bulk_create([new], ignore_conflicts=True)
        row = Preference.objects.select_for_update().get(**target._asdict())
        write(row)
        row.save(update_fields=["opt_outs", "quiet_from", "quiet_until", "time_zone"])
        Tenant.objects.filter(pk=tenant.pk, has_preferences=False).update(has_preferences=True)
    tenant.has_preferences = True
    return Kept(row, row.pk == new.pk)


Found = Mapping[Target | None, Preference]


def _find(targets: Iterable[Mapping[str, Target]]) -> Found:
    """What the targets want: one statement, however many there are."""
    wanted = {target for each in targets for target in each.values()}
    if not wanted:
        return {}
    tenants = {target.tenant_id for target in wanted}
    tenant_id = next(iter(tenants)) if len(tenants) == 1 else None
    found = Preference.objects.on(list({target.recipient for target in wanted}), tenant_id)
    return {Target(row.tenant_id, row.channel, row.recipient): row for row in found}


def _unwilling(
    wanted: Draft | Notification, targets: Mapping[str, Target], found: Found
) -> frozenset[str]:
    """Those of its recipients who do not want it."""
    return frozenset(
        to
        for to, target in targets.items()
        if target in found and wanted.category in found[target].opt_outs
    )


def _end(lease: Lease, unwanted: Collection[Notification]) -> None:
    if unwanted:
        why = {row: Why(ERROR_CODE, detail_of(row.category)) for row in unwanted}
        suppress.end(lease.token, why)
        lease.report.settled += len(unwanted)


def _delays(wishes: Mapping[Notification, Preference | None]) -> Mapping[Notification, float]:
    """Those that must not go at this hour, with the seconds for which that is so."""
    if not any(wishes.values()):
        return {}
    now, delays = database.recent_now(), dict[Notification, float]()
    for row, wish in wishes.items():
        hours = wish.quiet_hours if wish and row.priority != Priority.URGENT else None
        if hours and (until := hours.until(now)):
            delays[row] = (until - now).total_seconds()
    return delays
