"""May they go now, and to which provider: the gates of one task's rows.

What every provider of its route refuses is put off, each with its reason and free of charge.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from ..conf import get_settings
from ..enums import Scope, WaitReason
from ..gates import get_limiter
from ..messages import Grant, Pace, Want
from ..models import Notification
from ..retry import backoff
from . import pace, policy, preferences, route, suppress
from .circuit import Circuit
from .lease import Lease

PAUSE_RECHECK_SECONDS = 2.0
"""How long a row met by a pause is put off; the dispatcher holds it while the pause lasts."""

SPREAD = 0.25
"""The part by which some are put off longer than others, so that they do not come as a herd."""

Admitted = dict[str, list[Notification]]
"""Rows that may go now, by provider."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a provider cannot have a row now, and for how many seconds that holds."""

    reason: WaitReason
    scope: str
    delay: float

    @property
    def leaves_others(self) -> bool:
        """Whether it is about this provider alone."""
        return self.scope.startswith(f"{Scope.PROVIDER}:")


Verdicts = Iterable[tuple[Notification, Refusal | None]]


def admit(lease: Lease, rows: Sequence[Notification]) -> Admitted:
    """The rows that may go now; the others are put off, or end here as suppressed."""
    rows = _withhold(lease, rows)
    admitted: Admitted = defaultdict(list)
    refused: dict[UUID, Refusal] = {}
    routes = [(row, route.candidates(row)) for row in rows]
    while routes:
        routes = _ask(routes, admitted, refused)
    _put_off(lease, [row for row in rows if row.pk in refused], refused)
    return admitted


def _withhold(lease: Lease, rows: Sequence[Notification]) -> Sequence[Notification]:
    left = suppress.withhold(lease.token, rows)
    lease.report.settled += len(rows) - len(left)
    return preferences.respect(lease, left)


Routes = list[tuple[Notification, tuple[str, ...]]]


def _ask(routes: Routes, admitted: Admitted, refused: dict[UUID, Refusal]) -> Routes:
    """Ask the first provider of each route; what is left of the routes it cannot take now."""
    rests = {row.pk: names[1:] for row, names in routes}
    queues: dict[str, list[Notification]] = defaultdict(list)
    for row, names in routes:
        queues[names[0]].append(row)
    further: Routes = []
    for provider, queue in queues.items():
        for row, refusal in _verdicts(provider, queue):
            if refusal is None:
                admitted[provider].append(row)
                refused.pop(row.pk, None)
                continue
            earlier = refused.get(row.pk, refusal)
            refused[row.pk] = min(earlier, refusal, key=lambda r: r.delay)
            if refusal.leaves_others and rests[row.pk]:
                further.append((row, rests[row.pk]))
    return further


def _verdicts(provider: str, rows: list[Notification]) -> Verdicts:
    """Each row with what keeps it from `provider`: a pause, its circuit, its pace, a limit."""
    snapshot = policy.current()
    unpaused: list[Notification] = []
    for row in rows:
        scope = snapshot.pause_on(row.channel, provider, row.tenant.name, row.template_version_id)
        if scope is None:
            unpaused.append(row)
        else:
            yield row, Refusal(WaitReason.PAUSED, scope, PAUSE_RECHECK_SECONDS)
    yield from _by_health(provider, unpaused) if unpaused else ()


def _by_health(provider: str, rows: list[Notification]) -> Verdicts:
    scope = route.scope_of(provider)
    if wait := Circuit(provider).wait():
        return [(row, Refusal(WaitReason.CIRCUIT_OPEN, scope, _spread(wait))) for row in rows]
    speed = pace.current(provider)
    if speed.held:
        return [(row, Refusal(WaitReason.RATE_LIMIT, scope, _spread(speed.held))) for row in rows]
    return _by_limits(provider, rows, speed)


def _by_limits(provider: str, rows: list[Notification], speed: Pace) -> Verdicts:
    by_tenant: dict[str, list[Notification]] = defaultdict(list)
    for row in rows:
        by_tenant[row.tenant.name].append(row)
    snapshot, slowed = policy.current(), pace.limits(provider, speed)
    wants = [
        Want((*snapshot.limits_on(queue[0].channel, provider, tenant), *slowed), len(queue))
        for tenant, queue in by_tenant.items()
    ]
    for queue, grant in zip(by_tenant.values(), get_limiter().take(wants), strict=True):
        yield from ((row, None) for row in queue[: grant.units])
        yield from _limited(queue[grant.units :], grant)


def _limited(rows: Sequence[Notification], grant: Grant) -> Verdicts:
    """Spread what the limit refused over the time that it will take, instead of a herd."""
    gap = 1 / grant.rate if grant.rate else 0.0
    for index, row in enumerate(rows):
        delay = grant.retry_after + index * gap
        yield row, Refusal(WaitReason.RATE_LIMIT, grant.limited_by, delay)


def _spread(seconds: float) -> float:
    return seconds * random.uniform(1, 1 + SPREAD)  # noqa: S311 - no secret


def _put_off(lease: Lease, rows: list[Notification], refused: dict[UUID, Refusal]) -> None:
    delays: dict[tuple[WaitReason, str], dict[UUID, float]] = defaultdict(dict)
    for row in rows:
        refusal = refused[row.pk]
        delays[refusal.reason, refusal.scope][row.pk] = _delay(row, refusal)
    for (reason, scope), found in delays.items():
        lease.put_off(found, reason, scope)


def _delay(row: Notification, refusal: Refusal) -> float:
    """After it the round begins again, with the provider that has already refused the row."""
    if not route.is_pointed(row):
        return refusal.delay
    retry = get_settings().channel(row.channel).retry
    return max(refusal.delay, backoff(row.spent_attempts, retry))
