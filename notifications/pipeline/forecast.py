"""When what waits will have gone, if nothing changes: by the limits, and by what was seen to go.

Work is counted as the dispatcher serves it: what is more urgent first, tenants in turns. It is
divided by the slowest of what holds it: a limit of the channel, of its providers or of the
tenant, a pace that a provider has asked for, or what the workers have lately done of it.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Count, F, Max, Min, Q
from django.db.models.functions import Now

from ..conf import get_settings
from ..enums import AttemptOutcome, Channel, Priority, State, WaitReason
from ..lifecycle import FRESH, IN_FLIGHT, TRIED, WAITING
from ..models import Attempt, Batch, Notification, Tenant
from . import capacity
from .capacity import Bound
from .holds import Holds, Waiting
from .route import providers_of
from .scopes import in_words

OBSERVED_SECONDS = 120.0
"""How far back it is looked for what the workers have done."""

OBSERVED_LEAST = 2.0
"""For how long at least something must have waited, for their speed to show."""

OBSERVED_ATTEMPTS = 2_000
"""How many attempts are looked at, the newest."""

RECENT_SECONDS = 5.0
"""For how long a count of what waits is good enough for batches."""

COUNTED_MAX = 50_000
"""How many of its own tenant are counted one by one before a batch."""

DONE = (AttemptOutcome.ACCEPTED, AttemptOutcome.PERMANENT, AttemptOutcome.AMBIGUOUS)
"""Outcomes after which a notification waits no longer."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """`waiting` notifications will have gone at `done_at`, at `rate` a second.

    Without a `done_at` nobody can tell, and `detail` says why; otherwise it says what decides.
    """

    waiting: int
    done_at: datetime | None
    rate: float | None
    detail: str


class Line(NamedTuple):
    """What is due of a tenant at a priority: how many, and since when the oldest and the newest."""

    rows: int
    since: datetime
    latest: datetime


Lines = Mapping[tuple[int, int], Line]
"""By priority and tenant."""


def forecast_of_backlog(channel: Channel, priority: Priority | None = None) -> Forecast:
    """When all that is due now of `channel` will have gone, or of it what is so urgent or more.

    Its cost grows with the backlog, as counting it does.
    """
    holds = Holds()
    lines = _lines(channel, priority)
    names = _names(tenant for _, tenant in lines)
    open_, held = _apart(holds, channel, lines, names)
    total = sum(line.rows for line in lines.values())
    if held and not open_:
        return Forecast(total, None, None, held.detail)
    by_tenant: dict[int, int] = {}
    for (_, tenant), line in open_.items():
        by_tenant[tenant] = by_tenant.get(tenant, 0) + line.rows
    bounds = [(bound, sum(by_tenant.values())) for bound in capacity.of_channel(holds, channel)]
    own = [(b, count) for t, count in by_tenant.items() for b in capacity.of_tenant(names[t])]
    if own:  # the slowest alone is asked what it has left: there may be very many tenants
        bounds.append(max(own, key=lambda pair: pair[1] / pair[0].rate))
    found = _forecast(holds, channel, open_, bounds, priority)
    return Forecast(total, found.done_at, found.rate, found.detail)


def forecast_of_batch(batch: Batch) -> Forecast | None:
    """When all of `batch` will have gone; None where nothing of it can still be sent."""
    rows = Notification.objects.filter(batch=batch)
    waiting = list(
        rows.filter(state__in=sorted(WAITING))
        .values("channel", "priority")
        .annotate(count=Count("pk"), last=Max("publish_at"), due=Max("due_at"))
        .order_by()
    )
    others = rows.filter(state__in=sorted(IN_FLIGHT | {State.UNKNOWN}))
    unsettled = dict(others.values_list("state").annotate(count=Count("pk")).order_by())
    left = sum(group["count"] for group in waiting) + sum(unsettled.values())
    if not left:
        return None
    holds = Holds()
    tenant = Tenant.objects.get(pk=batch.tenant_id)
    found = [_of_group(holds, tenant, group) for group in waiting]
    if unsettled.get(State.UNKNOWN):
        detail = f"{unsettled[State.UNKNOWN]:,} of unknown outcome wait for a receipt, or a person"
        found.append(Forecast(0, None, None, detail))
    found = found or [Forecast(0, holds.now, None, "what is left is being sent now")]
    last = max(found, key=lambda each: (each.done_at is None, each.done_at or holds.now))
    return Forecast(left, last.done_at, last.rate, last.detail)


def _of_group(holds: Holds, tenant: Tenant, group: Mapping[str, Any]) -> Forecast:
    """Of what a batch has at one priority of one channel."""
    channel, priority = Channel(group["channel"]), Priority(group["priority"])
    last, due, count = group["last"], group["due"], group["count"]
    held = _stopped(holds, channel, tenant.name)
    if held:
        return Forecast(count, None, None, held.detail)
    lines = _recent_lines(channel, priority)
    lines, _ = _apart(holds, channel, lines, _names(tenant for _, tenant in lines))
    own = max(count, _standing(channel, priority, tenant, last, lines))
    work = own + sum(_before(key, line, (priority, tenant.pk), own) for key, line in lines.items())
    bounds = [(bound, work) for bound in capacity.of_channel(holds, channel)]
    bounds += [(bound, own) for bound in capacity.of_tenant(tenant.name)]
    found = _forecast(holds, channel, lines, bounds, priority, work)
    if found.done_at and found.done_at < due:
        return Forecast(count, due, found.rate, "the last of it is not due before then")
    return found


def _before(key: tuple[int, int], line: Line, own_key: tuple[int, int], own: int) -> int:
    """How many of another line go before `own` are gone: the more urgent, others by turns."""
    if key == own_key:
        return 0
    return line.rows if key[0] < own_key[0] else min(line.rows, own)


def _standing(
    channel: Channel, priority: Priority, tenant: Tenant, last: datetime, lines: Lines
) -> int:
    """How many of the tenant stand in the lane up to the one that is owed a message at `last`.

    Of very many it is reckoned from their times, as if they had come evenly.
    """
    lane = {"channel": channel, "priority": priority, "tenant": tenant, "publish_at__lte": last}
    found = sum(
        Notification.objects.in_states(kind).filter(**lane)[:COUNTED_MAX].count()
        for kind in (FRESH, TRIED)
    )
    line = lines.get((priority, tenant.pk))
    if found < COUNTED_MAX or line is None or line.latest <= line.since:
        return found
    return max(found, round(line.rows * min(1.0, (last - line.since) / (line.latest - line.since))))


def forget() -> None:
    """Count what waits anew next time."""
    _recent.clear()


_recent: dict[tuple[Channel, Priority], tuple[float, Lines]] = {}


def _recent_lines(channel: Channel, priority: Priority) -> Lines:
    """As `_lines` were some seconds ago: to count a million for each who asks takes too long."""
    until, lines = _recent.get((channel, priority), (0.0, {}))
    if time.monotonic() > until:
        lines = _lines(channel, priority)
        _recent[channel, priority] = time.monotonic() + RECENT_SECONDS, lines
    return lines


def _lines(channel: Channel, priority: Priority | None) -> Lines:
    """What is due, or has been handed to the broker; read from the partial indexes alone."""
    soon = Now() + timedelta(seconds=get_settings().hint_seconds)
    found: dict[tuple[int, int], Line] = {}
    for kind in (FRESH, TRIED):
        rows = Notification.objects.in_states(kind).filter(channel=channel, publish_at__lte=soon)
        if priority is not None:
            rows = rows.filter(priority__lte=priority)
        counted = rows.values_list("priority", "tenant").annotate(
            Count("pk"), Min("publish_at"), Max("publish_at")
        )
        for own_priority, tenant, count, since, latest in counted.order_by():
            before = found.get((own_priority, tenant), Line(0, since, latest))
            line = Line(before.rows + count, min(before.since, since), max(before.latest, latest))
            found[own_priority, tenant] = line
    return found


def _apart(
    holds: Holds, channel: Channel, lines: Lines, names: Mapping[int, str]
) -> tuple[Lines, Waiting | None]:
    """The lines that move, and what holds up one of the others."""
    lines = {key: line for key, line in lines.items() if key[1] in names}  # some may be gone since
    held = {tenant: _stopped(holds, channel, names[tenant]) for _, tenant in lines}
    moving = {key: line for key, line in lines.items() if not held[key[1]]}
    return moving, next((waiting for waiting in held.values() if waiting), None)


def _stopped(holds: Holds, channel: Channel, tenant: str) -> Waiting | None:
    """What holds it up nobody knows for how long: a pause, a circuit. A limit is only slow."""
    held = holds.stops_all(channel, providers_of(channel), tenant)
    return held if held and held.reason in (WaitReason.PAUSED, WaitReason.CIRCUIT_OPEN) else None


def _names(tenants: Iterable[int]) -> dict[int, str]:
    return dict(Tenant.objects.filter(pk__in=set(tenants)).values_list("pk", "name"))


def _forecast(
    holds: Holds,
    channel: Channel,
    lines: Lines,
    bounds: Sequence[tuple[Bound, int]],
    priority: Priority | None,
    work: int | None = None,
) -> Forecast:
    """When `work` is done, which is all of `lines` if it is not given, at the slowest rate."""
    work = sum(line.rows for line in lines.values()) if work is None else work
    if not work:
        return Forecast(0, holds.now, None, "nothing is due")
    if not holds.has_worker(channel, Priority.BULK if priority is None else priority):
        return Forecast(work, None, None, "no worker is there for it")
    rate = _observed(holds, channel, lines)
    found = [
        (bound.seconds(holds, units), bound.rate, f"the limit {in_words(bound.key)}")
        for bound, units in bounds
    ]
    if rate:
        found.append((work / rate, rate, f"about {rate:.3g} a second went lately"))
    if rate == 0 and not any(_is_slow(bound) for bound, _ in bounds):
        return Forecast(work, None, 0.0, "nothing of it has gone lately, although it is due")
    if not found:
        return Forecast(work, None, None, "it has only just begun to go: too early to tell")
    seconds, rate, detail = max(found)
    rest = _rest(holds, channel)
    return Forecast(work, holds.now + timedelta(seconds=seconds + rest), rate, detail)


def _is_slow(bound: Bound) -> bool:
    """Whether that nothing went lately may be its doing."""
    return bound.rate * OBSERVED_SECONDS < 1


def _rest(holds: Holds, channel: Channel) -> float:
    """Seconds for which all its providers have asked to be left alone."""
    return min(holds.pace(provider).held for provider in providers_of(channel))


def _observed(holds: Holds, channel: Channel, lines: Lines) -> float | None:
    """How many a second went while others waited; None where nothing has waited for long enough.

    Without a backlog it would tell how much there was to do, and not how much can be done.
    """
    begin = holds.now - timedelta(seconds=OBSERVED_SECONDS)
    oldest = min((line.since for line in lines.values()), default=holds.now)
    if oldest > holds.now:  # in the broker, all of it; released as long before that
        oldest -= timedelta(seconds=get_settings().hint_seconds)
    since = max(begin, oldest)
    newest = Attempt.objects.order_by("-id").annotate(via=F("notification__channel"))
    lately = Q(finished_at__gte=since)
    seen = newest[:OBSERVED_ATTEMPTS].aggregate(
        count=Count("pk", filter=lately & Q(via=channel, outcome__in=DONE)),
        first=Min("finished_at", filter=lately),
        all=Count("pk", filter=lately),
    )
    if seen["all"] >= OBSERVED_ATTEMPTS:
        since = seen["first"]
    seconds = (holds.now - since).total_seconds()
    if seconds <= 0 or (seconds < OBSERVED_LEAST and seen["all"] < OBSERVED_ATTEMPTS):
        return None
    return float(seen["count"]) / seconds
