"""What there is to do and who does it, from queries that never touch what is finished."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from django.db.models import Count, DurationField, ExpressionWrapper, F, Min
from django.db.models.functions import Now

from ..enums import Channel, Priority, ReceiptState, State, Status
from ..lifecycle import FRESH, IN_FLIGHT, TRIED, status_of
from ..models import Notification, Worker

UNFINISHED = (
    Status.SCHEDULED,
    Status.QUEUED,
    Status.SENDING,
    Status.RETRYING,
    Status.UNKNOWN,
)
"""The statuses of the backlog."""

PARTIAL_INDEXES = (
    FRESH,
    TRIED,
    IN_FLIGHT,
    frozenset({State.UNKNOWN}),
    frozenset({State.IN_DIGEST}),
)
"""Sets of states that each have a partial index: one query for each, none over the whole table."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many notifications of a channel and priority have a status that is not final."""

    channel: Channel
    priority: Priority
    status: Status
    count: int


@dataclass(frozen=True, slots=True)
class OldestDue:
    """The notification of a channel and priority that has been due for longest."""

    channel: Channel
    priority: Priority
    due_at: datetime
    seconds: float


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """A worker and how long ago it showed itself."""

    name: str
    seen_at: datetime
    seconds: float


def backlog() -> list[Backlog]:
    """What is not finished, by channel, priority and status; rows of zero are left out."""
    counted = sorted(
        (row[0], row[1], status_of(State(row[2]), ReceiptState.NONE), row[3])
        for states in PARTIAL_INDEXES
        for row in _counts(states)
    )
    return [
        Backlog(Channel(channel), Priority(priority), status, sum(row[3] for row in rows))
        for (channel, priority, status), rows in groupby(counted, lambda row: row[:3])
    ]


def oldest_due() -> list[OldestDue]:
    """How far each channel and priority is behind, by the database's clock."""
    oldest: dict[tuple[str, int], OldestDue] = {}
    for due in (*_oldest(FRESH), *_oldest(TRIED)):
        lane = due.channel, due.priority
        oldest[lane] = max(due, oldest.get(lane, due), key=lambda d: d.seconds)
    return [oldest[lane] for lane in sorted(oldest)]


def workers_seen(within: float = 60.0) -> list[WorkerSeen]:
    """Workers that have shown themselves in the last `within` seconds, by name."""
    age = ExpressionWrapper(Now() - F("seen_at"), output_field=DurationField())
    workers = Worker.objects.seen_within(within).annotate(age=age).order_by("name")
    return [
        WorkerSeen(name, seen_at, age.total_seconds())
        for name, seen_at, age in workers.values_list("name", "seen_at", "age")
    ]


def _counts(states: frozenset[State]) -> list[tuple[str, int, str, int]]:
    rows = Notification.objects.in_states(states)
    return list(
        rows.values_list("channel", "priority", "state").annotate(count=Count("pk")).order_by()
    )


def _oldest(states: frozenset[State]) -> Iterator[OldestDue]:
    rows = Notification.objects.due(states).values("channel", "priority")
    for row in rows.annotate(
        oldest=Min("due_at"),
        age=ExpressionWrapper(Now() - Min("due_at"), output_field=DurationField()),
    ).order_by():
        lane = Channel(row["channel"]), Priority(row["priority"])
        yield OldestDue(*lane, row["oldest"], row["age"].total_seconds())
