"""What an operator wants to know first, gathered from cheap queries."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from celery import current_app
from django.db.models import BooleanField, Count, ExpressionWrapper, Min, Q
from django.db.models.functions import Now

from ..conf import get_settings
from ..enums import Channel, CircuitState, Priority, Scope, State, WaitReason
from ..gates import get_breaker
from ..lifecycle import FRESH, IN_FLIGHT, TRIED
from ..models import Notification, Pause, Tenant
from ..observability import readiness, stats
from ..pipeline import database, explain, forecast, pace, policy

LATE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class WaitingOn:
    """So many of a channel wait for the same thing."""

    channel: Channel
    reason: WaitReason
    scope: str
    count: int


@dataclass(frozen=True, slots=True)
class InFlight:
    """Held by workers now; `lapsed` of them past their lease, to be rescued within seconds."""

    count: int
    lapsed: int


@dataclass(frozen=True, slots=True)
class ProviderSeen:
    """Whether a provider is asked now: its circuit, and how far it has slowed us down.

    It is not asked for `held` seconds more, then at most at `rate` a second, None for any.
    """

    name: str
    circuit: CircuitState
    since: datetime | None
    reason: str
    held: float
    rate: float | None


@dataclass(frozen=True, slots=True)
class LimitSet:
    scope: str
    name: str
    rates: str


@dataclass(frozen=True, slots=True)
class PauseSet:
    scope: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class GoneIn:
    """When what is due of a channel, so urgent or more, will have gone; None if nobody knows."""

    channel: Channel
    priority: Priority
    waiting: int
    seconds: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class Report:
    parts: list[readiness.Part]
    backlog: list[stats.Backlog]
    oldest_due: list[stats.OldestDue]
    waiting_on: list[WaitingOn]
    forecasts: list[GoneIn]
    in_flight: InFlight
    providers: list[ProviderSeen]
    limits: list[LimitSet]
    pauses: list[PauseSet]
    workers: list[stats.WorkerSeen]
    advice: list[str]


def gather() -> Report:
    """All of it as it is now; needs the database."""
    parts, backlog, waiting = readiness.check_all(), stats.backlog(), waiting_on()
    workers, oldest = stats.workers_seen(), stats.oldest_due()
    return Report(
        parts=parts,
        backlog=backlog,
        oldest_due=oldest,
        waiting_on=waiting,
        forecasts=list(forecasts(oldest)),
        in_flight=in_flight(),
        providers=list(providers()),
        limits=list(limits()),
        pauses=list(pauses()),
        workers=workers,
        advice=[
            *_about_parts(parts),
            *_about_waiting(waiting),
            *_about_lateness(oldest, waiting, bool(workers)),
        ],
    )


def waiting_on() -> list[WaitingOn]:
    """Why the backlog has not gone yet, the largest share first."""
    told_by = ("wait_reason", "wait_scope", "provider", "was_ambiguous", "error_code")
    kinds = ("channel", "tenant", "state", "priority", *told_by, "is_later")
    is_later = ExpressionWrapper(Q(due_at__gt=Now()), output_field=BooleanField())
    # A query each: they have partial indexes of their own, which one for all could not use.
    sets = (Notification.objects.in_states(states) for states in (FRESH, TRIED, {State.UNKNOWN}))
    counted = (
        rows.annotate(is_later=is_later)
        .values(*kinds)
        .annotate(rows=Count("pk"), first=Min("due_at"))
        .order_by()
        for rows in sets
    )
    groups = list(chain.from_iterable(counted))
    tenants = Tenant.objects.in_bulk({group["tenant"] for group in groups})
    counts: Counter[tuple[Channel, WaitReason, str]] = Counter()
    holds = explain.Holds()
    for group in groups:
        rows, tenant = group.pop("rows"), tenants[group.pop("tenant")]
        del group["is_later"]
        row = Notification(due_at=group.pop("first"), **group, tenant=tenant)
        found = explain.waiting(row, holds, ahead=rows - 1)
        if found:
            counts[Channel(group["channel"]), found.reason, found.scope] += rows
    return [WaitingOn(*kind, count) for kind, count in counts.most_common()]


def forecasts(oldest: Sequence[stats.OldestDue]) -> Iterator[GoneIn]:
    """For each lane in which something is due."""
    now = database.now()
    for due in oldest:
        found = forecast.forecast_of_backlog(due.channel, due.priority)
        seconds = (found.done_at - now).total_seconds() if found.done_at else None
        yield GoneIn(
            due.channel,
            due.priority,
            found.waiting,
            None if seconds is None else max(0.0, seconds),
            found.detail,
        )


def in_flight() -> InFlight:
    held = Notification.objects.in_states(IN_FLIGHT)
    return InFlight(held.count(), held.filter(lease_until__lt=Now()).count())


def providers() -> Iterator[ProviderSeen]:
    """Those that channels use, each as all processes see it."""
    names = {name for channel in get_settings().channels.values() for name in channel.providers}
    for name in sorted(names):
        circuit, speed = get_breaker().state(name), pace.current(name)
        yield ProviderSeen(
            name, circuit.state, circuit.since, circuit.reason, speed.held, speed.rate
        )


def limits() -> Iterator[LimitSet]:
    """What holds now: of the settings, or what was set in their place while running."""
    current, settings = policy.current(), get_settings()
    subjects = {(Scope.CHANNEL.value, channel.value) for channel in settings.channels}
    subjects |= {(Scope.PROVIDER.value, name) for name in settings.providers}
    for scope, name in sorted(subjects | set(current.rates)):
        keys = [limit.key for limit in current.limits_of(Scope(scope), name)]
        if keys:
            yield LimitSet(scope, name, ", ".join(key.rpartition(":")[2] for key in keys))


def pauses() -> Iterator[PauseSet]:
    for pause in Pause.objects.all():
        yield PauseSet(pause.scope, pause.subject, pause.reason)
    for tenant in Tenant.objects.filter(is_active=False):
        yield PauseSet(Scope.TENANT.value, tenant.name, "switched off")


def _about_parts(parts: list[readiness.Part]) -> Iterator[str]:
    for part in parts:
        if part.name == "worker" and not part.ok:
            yield f"No worker: {part.detail}. Start one: celery -A {current_app.main} worker"
        elif not part.ok:
            yield f"The {part.name} {part.detail}. Nothing accepted is lost meanwhile."


def _about_waiting(waiting: list[WaitingOn]) -> Iterator[str]:
    for group in waiting:
        if group.reason is WaitReason.PAUSED:
            yield f"{group.count} {group.channel} held by {group.scope}: end it in the admin."
        elif group.reason is WaitReason.CIRCUIT_OPEN:
            yield (
                f"{group.count} {group.channel} held by the open circuit of {group.scope}: see why "
                "it fails. They go by themselves when a probe succeeds."
            )
        elif group.reason is WaitReason.RECONCILE:
            yield (
                f"{group.count} {group.channel} of unknown outcome ({group.scope}): a receipt may "
                "settle them; or retry them in the admin, if a duplicate does no harm."
            )


def _about_lateness(
    oldest: list[stats.OldestDue], waiting: list[WaitingOn], has_worker: bool
) -> Iterator[str]:
    queued = {group.channel for group in waiting if group.reason is WaitReason.QUEUE}
    for due in oldest:
        if has_worker and due.channel in queued and due.seconds > LATE_SECONDS:
            yield (
                f"{due.channel}, {due.priority.label}: due for {due.seconds:.0f} s although a "
                "worker lives. Start more workers, or look into their log."
            )
