"""Everything the dashboard shows, gathered from a handful of bounded statements."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..conf import get_settings
from ..enums import AttemptOutcome, Channel, CircuitState, Counted, Scope
from ..gates import get_breaker, get_limiter
from ..messages import Circuit, Limit
from ..observability import minutes, stats
from ..observability.minutes import Point
from ..observability.readiness import Part, check_broker
from ..pipeline import pace, policy
from . import backlog, charts
from .backlog import Backlog
from .charts import Chart, Value

RECENT_MINUTES = 15
RATE_MINUTES = 5
"""Over how long the present rate is taken."""

STEADY_SHARE = 0.05
"""A backlog that grows by less of what leaves it is as good as steady."""

ERRORS_SHOWN = 8
FULL_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider that channels use; its circuit is None where the settings give it none."""

    name: str
    channels: Sequence[str]
    circuit: Circuit | None
    held: float
    rate: float | None
    attempts: int
    accepted: int
    is_paused: bool

    @property
    def success(self) -> float | None:
        return self.accepted / self.attempts if self.attempts else None

    @property
    def is_open(self) -> bool:
        return self.circuit is not None and self.circuit.state is CircuitState.OPEN


@dataclass(frozen=True, slots=True)
class Fullness:
    """A limit and how much of it is spent; `used` is None where the backend does not tell."""

    scope: str
    name: str
    rates: str
    used: float | None
    is_set_here: bool

    @property
    def percent(self) -> int | None:
        return None if self.used is None else min(100, round(self.used * 100))


@dataclass(frozen=True, slots=True)
class Failure:
    """What attempts at a provider came to, that were not accepted."""

    channel: str
    provider: str
    code: str
    times: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """When a channel's backlog is done, at the rates of the last minutes; per minute.

    `minutes` is None while nothing leaves it, or more comes than leaves.
    """

    channel: Channel
    waiting: int
    comes: float
    leaves: float
    is_held: bool

    @property
    def minutes(self) -> float | None:
        keeps_up = self.leaves > 0 and self.grows <= self.leaves * STEADY_SHARE
        return self.waiting / self.leaves if keeps_up and not self.is_held else None

    @property
    def grows(self) -> float:
        return self.comes - self.leaves


@dataclass(frozen=True, slots=True)
class Overview:
    hours: int
    backlog: Backlog
    charts: Sequence[Chart]
    latency: Mapping[str, Sequence[Value]]
    forecasts: Sequence[Forecast]
    providers: Sequence[Provider]
    limits: Sequence[Fullness]
    pauses: Mapping[tuple[str, str], str]
    disabled: Sequence[str]
    failures: Sequence[Failure]
    recent: Mapping[str, int]
    workers: Sequence[stats.WorkerSeen]
    broker: Part

    @property
    def is_new(self) -> bool:
        """Whether nothing has happened yet, as far as can be seen from here."""
        return not self.backlog.total() and all(chart.is_empty for chart in self.charts)

    @property
    def is_drained(self) -> bool:
        """Whether all channels are paused, and nothing is with a provider."""
        return self.is_draining and not self.in_flight

    @property
    def is_draining(self) -> bool:
        return all((Scope.CHANNEL, channel) in self.pauses for channel in Channel.values)

    @property
    def in_flight(self) -> int:
        return sum(held.in_flight for held in self.backlog.lanes.values())


def gather(hours: int = 1) -> Overview:
    """All of it as it is now; `hours` is one of those in `charts.RANGES`."""
    now = time.time()
    points = minutes.read(hours, charts.RANGES[hours])
    of_an_hour = points if hours == 1 else minutes.read(1, charts.RANGES[1])
    recent = [p for p in of_an_hour if p.at >= now - RECENT_MINUTES * 60]
    waiting, current = backlog.look(), policy.current()
    return Overview(
        hours=hours,
        backlog=waiting,
        charts=charts.draw(points, hours, now),
        latency={
            channel.value: charts.percentiles(recent, channel.value)
            for channel in Channel
            if any(p.channel == channel and p.what == Counted.WAIT for p in recent)
        },
        forecasts=list(_forecasts(waiting, recent, current, now)),
        providers=list(_providers(recent, current)),
        limits=list(_limits(current)),
        pauses=current.pauses,
        disabled=sorted(current.disabled),
        failures=_failures(of_an_hour),
        recent=_sums(recent),
        workers=stats.workers_seen(),
        broker=check_broker(),
    )


def _sums(recent: Sequence[Point]) -> Mapping[str, int]:
    """How often each of what is drawn happened of late."""
    return {
        name: sum(point.times for point in recent if meant(point))
        for name, meant in charts.MEANT.items()
    }


def _forecasts(
    waiting: Backlog, recent: Sequence[Point], current: policy.Policy, now: float
) -> Iterator[Forecast]:
    since = (int(now) // 60 - RATE_MINUTES) * 60
    span = (now - since) / 60
    comes: Counter[str] = Counter()
    leaves: Counter[str] = Counter()
    for point in recent:
        if point.at >= since and point.what == Counted.ACCEPTED:
            comes[point.channel] += point.times
        elif point.at >= since and (charts.is_sent(point) or charts.MEANT["failed"](point)):
            leaves[point.channel] += point.times
    for channel in Channel:
        held = [h for lane, h in waiting.lanes.items() if lane.channel == channel]
        left = sum(h.waiting - h.scheduled + h.retrying + h.in_flight for h in held)
        if left:
            is_held = (Scope.CHANNEL, channel.value) in current.pauses
            rates = comes[channel.value] / span, leaves[channel.value] / span
            yield Forecast(channel, left, *rates, is_held)


def _providers(recent: Sequence[Point], current: policy.Policy) -> Iterator[Provider]:
    settings = get_settings()
    used: defaultdict[str, list[str]] = defaultdict(list)
    for channel, values in settings.channels.items():
        for name in values.providers:
            used[name].append(channel.value)
    watched = [name for name in sorted(used) if settings.providers[name].circuit]
    circuits = get_breaker().states(watched)
    outcomes = _outcomes(recent)
    for name in sorted(used):
        speed = pace.current(name)
        yield Provider(
            name=name,
            channels=used[name],
            circuit=circuits.get(name),
            held=speed.held,
            rate=speed.rate,
            attempts=sum(times for (n, _), times in outcomes.items() if n == name),
            accepted=outcomes[name, AttemptOutcome.ACCEPTED.value],
            is_paused=(Scope.PROVIDER, name) in current.pauses,
        )


def _outcomes(recent: Sequence[Point]) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for point in recent:
        if point.what == Counted.ATTEMPT:
            name, _, outcome = point.label.rpartition(":")
            found[name, outcome] += point.times
    return found


def _limits(current: policy.Policy) -> Iterator[Fullness]:
    """The fullest first; those of tenants where they were set while running."""
    subjects = _limited(current)
    by_subject = {each: current.limits_of(*each) for each in subjects}
    every = [limit for limits in by_subject.values() for limit in limits]
    told = get_limiter().used(every)
    found = [
        _fullness(scope, name, limits, told, (scope.value, name) in current.rates)
        for (scope, name), limits in by_subject.items()
        if limits
    ]
    yield from sorted(found, key=lambda f: -(f.used or 0.0))[:FULL_SHOWN]


def _limited(current: policy.Policy) -> list[tuple[Scope, str]]:
    settings = get_settings()
    subjects = [(Scope.CHANNEL, channel.value) for channel in settings.channels]
    subjects += [(Scope.PROVIDER, name) for name in settings.providers]
    more = [(Scope(scope), name) for scope, name in current.rates]
    return [*subjects, *(each for each in more if each not in subjects)]


def _fullness(
    scope: Scope, name: str, limits: Sequence[Limit], told: Mapping[str, float], is_set_here: bool
) -> Fullness:
    shares = [told[limit.key] / limit.burst for limit in limits if limit.key in told]
    rates = ", ".join(limit.key.rpartition(":")[2] for limit in limits)
    return Fullness(scope.value, name, rates, max(shares, default=None), is_set_here)


def _failures(points: Sequence[Point]) -> list[Failure]:
    counts: Counter[tuple[str, str]] = Counter()
    for point in points:
        if point.what == Counted.ERROR:
            counts[point.channel, point.label] += point.times
    return [
        Failure(channel, *_split(label), times)
        for (channel, label), times in counts.most_common(ERRORS_SHOWN)
    ]


def _split(label: str) -> tuple[str, str]:
    provider, _, code = label.partition(":")
    return provider, code
