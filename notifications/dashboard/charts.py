"""The last hours as lines to draw, each with the table that says the same."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ..enums import AttemptOutcome, Channel, Counted, Status
from ..observability.minutes import Point, percentile

RANGES: Mapping[int, int] = {1: 60, 6: 300, 24: 1200}
"""Hours that can be looked at, with the seconds of a step."""

FAILED = (Status.FAILED, Status.UNDELIVERED, Status.EXPIRED)
PERCENTILES = (50, 95, 99)

MEANT: Mapping[str, Callable[[Point], bool]] = {
    "accepted": lambda p: p.what == Counted.ACCEPTED,
    "sent": lambda p: is_sent(p),
    "failed": lambda p: p.what == Counted.SETTLED and p.label in FAILED,
    "retried": lambda p: p.what == Counted.RETRY,
}

Value = float | None


@dataclass(frozen=True, slots=True)
class Row:
    """A step: when it begins (seconds since 1970), and the value of each line."""

    at: int
    values: Sequence[Value]

    @property
    def when(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    @property
    def is_empty(self) -> bool:
        return not any(self.values)


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines over the same steps; `unit` is that of all values."""

    name: str
    title: str
    unit: str
    lines: Sequence[str]
    rows: Sequence[Row]

    @property
    def is_empty(self) -> bool:
        return all(row.is_empty for row in self.rows)

    @property
    def told(self) -> Sequence[Row]:
        """The rows that say something, the newest first."""
        return [row for row in reversed(self.rows) if not row.is_empty]


def is_sent(point: Point) -> bool:
    """Whether a provider has accepted it."""
    accepted = point.label.endswith(f":{AttemptOutcome.ACCEPTED.value}")
    return point.what == Counted.ATTEMPT and accepted


def draw(points: Iterable[Point], hours: int, now: float) -> list[Chart]:
    """All charts of the last `hours`, in numbers per minute and in seconds.

    The step that has only begun would look like a fall; it is shown where there is nothing else.
    """
    found, step = list(points), RANGES[hours]
    begun = int(now) // step * step
    end = begun if any(point.at < begun for point in found) else begun + step
    steps = range(end - hours * 3600, end, step)
    counts = [
        Chart(name, name.capitalize(), "per minute", list(Channel.values), rows)
        for name, rows in ((name, _rates(found, meant, steps)) for name, meant in MEANT.items())
    ]
    return [*counts, _latency(found, steps)]


def _rates(
    points: Sequence[Point], meant: Callable[[Point], bool], steps: Sequence[int]
) -> list[Row]:
    counts: Counter[tuple[int, str]] = Counter()
    for point in points:
        if meant(point):
            counts[point.at, point.channel] += point.times
    minutes = (steps[1] - steps[0]) / 60
    return [Row(at, [counts[at, c] / minutes for c in Channel.values]) for at in steps]


def _latency(points: Sequence[Point], steps: Sequence[int]) -> Chart:
    by_step: dict[int, list[Point]] = defaultdict(list)
    for point in points:
        if point.what == Counted.WAIT:
            by_step[point.at].append(point)
    rows = [Row(at, percentiles(by_step[at])) for at in steps]
    lines = [f"p{percent}" for percent in PERCENTILES]
    return Chart("latency", "Time to send", "seconds", lines, rows)


def percentiles(points: Iterable[Point], channel: str = "") -> list[Value]:
    """How long it took until a provider had it; None where nothing was sent."""
    buckets: Counter[int] = Counter()
    for point in points:
        if point.what == Counted.WAIT and channel in ("", point.channel):
            buckets[int(point.label)] += point.times
    return [percentile(buckets, percent) for percent in PERCENTILES]
