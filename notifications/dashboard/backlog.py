"""What waits, for what, and since when, read from at most `SAMPLE` rows of each lane.

A lane that has more is counted in its index up to `COUNTED`, and beyond that as PostgreSQL's own
statistics say. The reasons and the oldest of such a lane are those of its sample: the rows that
its dispatcher would take first.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Count, Q
from django.db.models.functions import Now

from ..enums import Channel, Priority, State, WaitReason
from ..lifecycle import FRESH, IN_FLIGHT, TRIED
from ..models import Notification, Tenant
from ..pipeline import database, explain

SAMPLE = 5_000
COUNTED = 100_000

KINDS: Mapping[str, frozenset[State]] = {
    "waiting": FRESH,
    "retrying": TRIED,
    "unknown": frozenset({State.UNKNOWN}),
}
"""Sets of states that each have a partial index by lane."""

COLUMNS = (
    "channel",
    "priority",
    "tenant_id",
    "state",
    "wait_reason",
    "wait_scope",
    "provider",
    "was_ambiguous",
    "error_code",
    "template_version_id",
)
"""What `explain` tells the reason from."""

CLOCK = {
    "postgresql": "STATEMENT_TIMESTAMP()",
    "sqlite": "STRFTIME('%Y-%m-%d %H:%M:%f', 'NOW')",  # as Django writes its times there
}

ORDER = {"waiting": "tenant_id, publish_at", "retrying": "tenant_id, publish_at", "unknown": ""}


class Lane(NamedTuple):
    channel: Channel
    priority: Priority


class Reason(NamedTuple):
    """What some of a channel wait for; `code` is what the last attempt of retries came to."""

    channel: Channel
    reason: WaitReason
    scope: str
    code: str = ""


@dataclass(slots=True)
class Held:
    """What a lane has of each kind; `is_sampled` where the oldest and reasons are a sample's."""

    waiting: int = 0
    retrying: int = 0
    unknown: int = 0
    in_flight: int = 0
    lapsed: int = 0
    scheduled: int = 0
    due_for: float | None = None
    is_sampled: bool = False
    is_estimate: bool = False

    @property
    def unfinished(self) -> int:
        return self.waiting + self.retrying + self.unknown + self.in_flight


@dataclass(frozen=True, slots=True)
class Backlog:
    lanes: Mapping[Lane, Held]
    reasons: Sequence[tuple[Reason, int]]

    def total(self, channel: Channel | None = None) -> int:
        """How many are not finished."""
        return sum(
            held.unfinished
            for lane, held in self.lanes.items()
            if channel is None or lane.channel == channel
        )

    @property
    def is_estimate(self) -> bool:
        return any(held.is_estimate for held in self.lanes.values())

    @property
    def is_sampled(self) -> bool:
        return any(held.is_sampled for held in self.lanes.values())

    @property
    def due_for(self) -> float:
        """The seconds for which the oldest has been due."""
        return max((held.due_for or 0.0 for held in self.lanes.values()), default=0.0)


def look() -> Backlog:
    """All lanes as they are now: three statements, and two more where one of them is long."""
    lanes = {Lane(channel, priority): Held() for channel in Channel for priority in Priority}
    reasons = _read_samples(lanes)
    _count_in_flight(lanes)
    _count_long_ones(lanes)
    return Backlog(lanes, reasons.most_common())


def _read_samples(lanes: Mapping[Lane, Held]) -> Counter[Reason]:
    rows = _run(_samples_sql())
    tenants = Tenant.objects.in_bulk({row[COLUMNS.index("tenant_id")] for row in rows})
    reasons: Counter[Reason] = Counter()
    holds = explain.Holds()
    for *values, kind, count, first, clock in rows:
        group = dict(zip(COLUMNS, values, strict=True))
        lane = Lane(Channel(group["channel"]), Priority(group["priority"]))
        held = lanes[lane]
        setattr(held, kind, getattr(held, kind) + count)
        if group["state"] == State.SCHEDULED:
            held.scheduled += count
        oldest, now = _as_time(first), _as_time(clock)
        if oldest and now and oldest <= now and kind != "unknown":
            held.due_for = max((now - oldest).total_seconds(), held.due_for or 0.0)
        row = Notification(**group, due_at=oldest or holds.now, tenant=tenants[group["tenant_id"]])
        found = explain.waiting(row, holds, ahead=count - 1)
        if found:
            code = group["error_code"] if found.reason is WaitReason.BACKOFF else ""
            reasons[Reason(lane.channel, found.reason, found.scope, code)] += count
    return reasons


def _samples_sql() -> str:
    columns, clock = ", ".join(COLUMNS), CLOCK[database.connection().vendor]
    samples = " UNION ALL ".join(
        f"SELECT * FROM ({_lane_sql(kind, lane, f'{columns}, due_at, cancel_requested', SAMPLE)}) "  # noqa: S608 - words of our own
        f"AS {kind}_{lane.channel.value}_{lane.priority.value}"
        for kind in KINDS
        for lane in _lanes()
    )
    return (
        f"SELECT {columns}, kind, COUNT(*), "  # noqa: S608 - of our own names
        f"MIN(CASE WHEN NOT cancel_requested THEN due_at END), {clock} "
        f"FROM ({samples}) AS sample GROUP BY {columns}, kind, due_at > {clock}"
    )


def _lane_sql(kind: str, lane: Lane, columns: str, most: int) -> str:
    table = database.connection().ops.quote_name(Notification._meta.db_table)
    order = f"ORDER BY {ORDER[kind]}" if ORDER[kind] else ""
    return (
        f"SELECT {columns}, '{kind}' AS kind FROM {table} "  # noqa: S608 - of our own names
        f"WHERE state IN ({_words(KINDS[kind])}) AND channel = '{lane.channel.value}' "
        f"AND priority = {lane.priority.value} {order} LIMIT {most}"
    )


def _count_in_flight(lanes: Mapping[Lane, Held]) -> None:
    held = Notification.objects.in_states(IN_FLIGHT).values_list("channel", "priority")
    counted = held.annotate(rows=Count("pk"), late=Count("pk", filter=Q(lease_until__lt=Now())))
    for channel, priority, count, lapsed in counted.order_by():
        lane = lanes[Lane(Channel(channel), Priority(priority))]
        lane.in_flight, lane.lapsed = count, lapsed


def _count_long_ones(lanes: Mapping[Lane, Held]) -> None:
    """Count those on that fill their sample: in the index, and beyond that by the statistics."""
    long = [(kind, lane) for lane, h in lanes.items() for kind in KINDS if _is_full(h, kind)]
    if not long:
        return
    for kind, lane in long:
        lanes[lane].is_sampled |= kind != "unknown"
    counts = _count([f"({_counted_sql(*each)})" for each in long])
    longer = [each for each, count in zip(long, counts, strict=True) if count > COUNTED]
    estimates = dict(zip(longer, _estimate(longer), strict=True))
    for (kind, lane), count in zip(long, counts, strict=True):
        setattr(lanes[lane], kind, max(count, estimates.get((kind, lane), 0)))
        lanes[lane].is_estimate |= (kind, lane) in estimates


def _is_full(held: Held, kind: str) -> bool:
    return int(getattr(held, kind)) >= SAMPLE


def _counted_sql(kind: str, lane: Lane) -> str:
    return f"SELECT COUNT(*) FROM ({_lane_sql(kind, lane, '1', COUNTED + 1)}) AS counted"  # noqa: S608 - of our own names


def _count(queries: Sequence[str]) -> list[int]:
    return [int(count) for count in _run(f"SELECT {', '.join(queries)}")[0]]


def _estimate(long: Sequence[tuple[str, Lane]]) -> Iterator[int]:
    """How many PostgreSQL expects; SQLite, which expects nothing, counts."""
    if not long:
        return iter(())
    queries = [_lane_sql(*each, "1", 2**31) for each in long]
    if database.connection().vendor != "postgresql":
        counted = (f"(SELECT COUNT(*) FROM ({sql}) AS counted)" for sql in queries)  # noqa: S608 - of our own names
        return iter(_count(list(counted)))
    union = " UNION ALL ".join(f"({sql})" for sql in queries)
    [[plan]] = _run(f"EXPLAIN (FORMAT JSON) {union}")
    root = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
    parts = root["Plans"] if root["Node Type"] == "Append" else [root]
    return (int(part["Plan Rows"]) for part in parts)


def _lanes() -> Iterator[Lane]:
    return (Lane(channel, priority) for channel in Channel for priority in Priority)


def _run(sql: str) -> list[tuple[Any, ...]]:
    with database.connection().cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def _as_time(value: Any) -> datetime | None:
    """A time as the database gives it to raw SQL: SQLite as a text in UTC."""
    if isinstance(value, str):
        return datetime.fromisoformat(value + "+00:00")
    return value if isinstance(value, datetime) else None


def _words(states: Collection[State]) -> str:
    """As the indexes' own conditions have them: SQLite recognises one by its words alone."""
    return ", ".join(f"'{state.value}'" for state in sorted(states))
