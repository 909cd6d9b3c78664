"""What happened in each minute, counted for the dashboard: a handful of rows, however much it was.

Each process gathers its counts, and a thread of its own adds them to the rows of the current minute
every few seconds. A process that is killed takes its last few seconds of them along: the charts
are there to be looked at, the notifications' own rows are the record. Nothing personal is
counted, nor which tenant it was.
"""

import atexit
import logging
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from django.db import DatabaseError, connections, models, router, transaction
from django.db.models import Sum
from django.db.models.functions import Now

from ..enums import AttemptOutcome, Counted, Priority
from ..messages import Outcome
from ..models import MinuteCount, Notification

logger = logging.getLogger(__name__)

FLUSH_SECONDS = 5.0
PRUNE_SECONDS = 3600.0
KEEP = timedelta(hours=48)
LABEL_MAX = 110
KEYS_MAX = 2000
"""Kinds held at most while the database is away; the labels of errors come from providers."""

BUCKETS_PER_OCTAVE = 2
LEAST_BUCKET, MOST_BUCKET = -14, 40
"""From 8 ms to 12 days, each 1.4 times the one before."""

UPSERT = """
    INSERT INTO {table} AS kept (minute, what, channel, label, count) VALUES {rows}
    ON CONFLICT (minute, what, channel, label) DO UPDATE SET count = kept.count + excluded.count
"""
MINUTE = {
    "postgresql": "date_trunc('minute', statement_timestamp())",
    "sqlite": "STRFTIME('%%Y-%%m-%%d %%H:%%M:00', 'NOW')",
}


class Key(NamedTuple):
    what: str
    channel: str
    label: str


class Recorder:
    """The counts of this process; its thread starts with the first of them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._counts: Counter[Key] = Counter()
        self._thread: threading.Thread | None = None

    def add(self, counts: Mapping[Key, int]) -> None:
        with self._changed:
            if len(self._counts) < KEYS_MAX:
                self._counts.update(counts)
            if self._thread is None and is_automatic:
                self._thread = threading.Thread(target=self._run, name="minutes", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self) -> None:
        """Write down what was counted; what the database does not take waits for the next time."""
        with self._writing:
            with self._changed:
                counts, self._counts = self._counts, Counter()
            try:
                _write(counts)
            except DatabaseError as error:
                logger.warning("counts wait: the database failed (%s)", type(error).__name__)
                with self._changed:
                    self._counts.update(counts)

    def discard(self) -> None:
        with self._changed:
            self._counts.clear()

    def _run(self) -> None:
        prune_from = 0.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._counts))
            time.sleep(FLUSH_SECONDS)
            self.flush()
            if time.monotonic() >= prune_from:
                prune_from = time.monotonic() + PRUNE_SECONDS
                with suppress(DatabaseError):
                    prune()
            connections.close_all()  # those of this thread: none is held between two flushes


is_automatic = True
"""Whether the thread runs; without it, whoever wants the counts written calls `flush`."""

recorder = Recorder()


def _start_anew() -> None:
    global recorder
    recorder = Recorder()


os.register_at_fork(after_in_child=_start_anew)
atexit.register(lambda: recorder.flush() if is_automatic else None)


def _write(counts: Mapping[Key, int]) -> None:
    if not counts:
        return
    using = router.db_for_write(MinuteCount)
    connection = connections[using]
    # In one order everywhere, so that no two processes wait for each other.
    ordered = sorted(counts.items())
    minute = MINUTE[connection.vendor]
    sql = UPSERT.format(
        table=connection.ops.quote_name(MinuteCount._meta.db_table),
        rows=", ".join([f"({minute}, %s, %s, %s, %s)"] * len(ordered)),
    )
    values = [value for key, count in ordered for value in (*key, count)]
    with transaction.atomic(using=using), connection.cursor() as cursor:
        cursor.execute(sql, values)


def prune() -> int:
    """Delete what is older than any chart; how many rows that was."""
    return int(MinuteCount.objects.filter(minute__lt=Now() - KEEP).delete()[0])


# Receivers of signals: keyword arguments are those of `signals`.


def count_accepted(counts: Mapping[tuple[str, int], int], **_: Any) -> None:
    recorder.add(
        {
            _key(Counted.ACCEPTED, channel, Priority(priority).label): count
            for (channel, priority), count in counts.items()
        }
    )


def count_attempts(
    provider: str, notifications: Sequence[Notification], outcomes: Sequence[Outcome], **_: Any
) -> None:
    counts: Counter[Key] = Counter()
    now = datetime.now(UTC)
    for row, outcome in zip(notifications, outcomes, strict=True):
        counts[_key(Counted.ATTEMPT, row.channel, f"{provider}:{outcome.kind.value}")] += 1
        if row.attempt_count > 1:
            counts[_key(Counted.RETRY, row.channel, provider)] += 1
        if outcome.kind is AttemptOutcome.ACCEPTED:
            waited = (now - (row.send_at or row.created_at)).total_seconds()
            counts[_key(Counted.WAIT, row.channel, str(bucket_of(waited)))] += 1
        else:
            code = outcome.code or outcome.kind.value
            counts[_key(Counted.ERROR, row.channel, f"{provider}:{code}")] += 1
    recorder.add(counts)


def count_settled(settled: Sequence[Any], **_: Any) -> None:
    recorder.add(Counter(_key(Counted.SETTLED, s.channel, s.status) for s in settled))


def _key(what: Counted, channel: str, label: str) -> Key:
    # Bare strings: those of an enum's members would be bound by their own type.
    return Key(what.value, str.__str__(channel), str.__str__(label)[:LABEL_MAX])


# Percentiles


def bucket_of(seconds: float) -> int:
    """The bucket that so long a time falls into: its bound is the next above it."""
    if seconds <= 0:
        return LEAST_BUCKET
    bucket = math.ceil(math.log2(seconds) * BUCKETS_PER_OCTAVE)
    return min(max(bucket, LEAST_BUCKET), MOST_BUCKET)


def percentile(buckets: Mapping[int, int], percent: float) -> float | None:
    """The seconds that `percent` of the times do not exceed, by the bounds of their buckets.

    It may be up to 1.4 times the true one. None where nothing was counted.
    """
    total = sum(buckets.values())
    wanted = total * percent / 100
    passed = 0
    for bucket in sorted(buckets):
        passed += buckets[bucket]
        if passed >= wanted and total:
            return float(2 ** (bucket / BUCKETS_PER_OCTAVE))
    return None


# Reading


class Slot(models.Func):
    """The number of the step of `seconds` that a time falls into, counted from 1970."""

    output_field = models.BigIntegerField()

    def __init__(self, expression: str, seconds: int) -> None:
        super().__init__(models.F(expression))
        self.seconds = int(seconds)

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return self.as_sql(
            compiler,
            connection,
            template=f"(EXTRACT(EPOCH FROM %(expressions)s)::bigint / {self.seconds})",
        )

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, Any]:
        return self.as_sql(
            compiler,
            connection,
            template=f"(CAST(STRFTIME('%%%%s', %(expressions)s) AS INTEGER) / {self.seconds})",
        )


class Point(NamedTuple):
    """How often `label` was counted in the step that begins at `at` (seconds since 1970)."""

    at: int
    what: str
    channel: str
    label: str
    times: int


def read(hours: float, step: int) -> list[Point]:
    """What was counted in the last `hours`, summed over steps of so many seconds."""
    since = Now() - timedelta(hours=hours, seconds=step)
    rows = MinuteCount.objects.filter(minute__gt=since).annotate(slot=Slot("minute", step))
    found = rows.values_list("slot", "what", "channel", "label").annotate(Sum("count")).order_by()
    return [Point(slot * step, *rest) for slot, *rest in found]
