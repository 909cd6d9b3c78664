"""The metrics of this host's processes, for Prometheus; fed by signals, read by a scrape.

Counters and histograms live in each process, or in files that all share where
PROMETHEUS_MULTIPROC_DIR is set: any process then answers for all of them, the dead included.
Gauges are read from the database when scraped, and are the same whoever is asked. No label
names a tenant or a recipient.
"""

import os
from collections import Counter as Tally
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from ..enums import (
    AttemptOutcome,
    Priority,
    ReceiptState,
    WaitReason,
)
from ..messages import Outcome
from ..models import Notification
from .gauges import Gauges

CONTENT_TYPE = CONTENT_TYPE_LATEST

WAIT_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 21600)
CALL_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

ACCEPTED = Counter(
    "notifications_accepted_total", "Notifications accepted.", ("channel", "priority")
)
ATTEMPTS = Counter(
    "notifications_attempts_total",
    "Delivery attempts, by what they came to.",
    ("channel", "provider", "outcome"),
)
SETTLED = Counter(
    "notifications_settled_total",
    "Notifications that came to a final status.",
    ("channel", "status"),
)
TIME_TO_SEND = Histogram(
    "notifications_time_to_send_seconds",
    "From accept or send_at until the provider accepted.",
    ("channel", "priority"),
    buckets=WAIT_BUCKETS,
)
PROVIDER_SECONDS = Histogram(
    "notifications_provider_seconds",
    "How long the provider took for an attempt.",
    ("provider",),
    buckets=CALL_BUCKETS,
)
RATE_LIMITED = Counter(
    "notifications_rate_limited_total",
    "Times a notification was put off by a rate limit.",
    ("channel", "scope"),
)
RESCUED = Counter(
    "notifications_rescued_total", "Notifications taken back from lost workers.", ("reason",)
)
FENCED = Counter("notifications_fenced_total", "Late writes refused.")
LIMITER_DEGRADED = Counter(
    "notifications_limiter_degraded_total",
    "Times the gates asked for their books in vain, so that local shares of limits apply.",
)
RECEIPTS = Counter(
    "notifications_receipts_total",
    "Receipts of providers, by what they came to.",
    ("provider", "kind", "result"),
)
CONSUMER_RESTARTS = Counter(
    "notifications_consumer_restarts_total",
    "Times a worker that no longer heard its broker took a new connection.",
)

METRICS: tuple[MetricWrapperBase, ...] = (
    ACCEPTED,
    ATTEMPTS,
    SETTLED,
    TIME_TO_SEND,
    PROVIDER_SECONDS,
    RATE_LIMITED,
    RESCUED,
    FENCED,
    LIMITER_DEGRADED,
    RECEIPTS,
    CONSUMER_RESTARTS,
)


def scrape() -> bytes:
    """Everything there is to tell, in the format that CONTENT_TYPE names."""
    registry = CollectorRegistry()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry.register(_Shared())
    else:
        for metric in METRICS:
            registry.register(metric)
    registry.register(Gauges())
    return generate_latest(registry)


class _Shared(Collector):
    """What all processes have counted; what nobody has counted yet is there by its name."""

    def collect(self) -> Iterator[Metric]:
        files: Any = MultiProcessCollector(None)  # type: ignore[no-untyped-call]  # it has no types
        found = {metric.name: metric for metric in files.collect()}
        for ours in METRICS:
            for empty in ours.describe():
                found.setdefault(empty.name, empty)
        yield from found.values()


# Receivers of signals: keyword arguments are those of `signals`.


def count_accepted(counts: Mapping[tuple[str, int], int], **_: Any) -> None:
    for (channel, priority), count in counts.items():
        ACCEPTED.labels(_name(channel), Priority(priority).label).inc(count)


def count_attempts(
    provider: str, notifications: Sequence[Notification], outcomes: Sequence[Outcome], **_: Any
) -> None:
    ended = list(zip(notifications, outcomes, strict=True))
    for (channel, kind), count in Tally((n.channel, o.kind) for n, o in ended).items():
        ATTEMPTS.labels(_name(channel), provider, _name(kind)).inc(count)
    took = PROVIDER_SECONDS.labels(provider)
    for outcome in outcomes:
        took.observe(outcome.seconds)
    _observe_sent([n for n, o in ended if o.kind is AttemptOutcome.ACCEPTED])


def _observe_sent(notifications: Sequence[Notification]) -> None:
    # By this host's clock: the database's, which is on the rows, would cost a statement.
    now = datetime.now(UTC)
    for row in notifications:
        waited = now - (row.send_at or row.created_at)
        labelled = TIME_TO_SEND.labels(_name(row.channel), Priority(row.priority).label)
        labelled.observe(max(0.0, waited.total_seconds()))


def count_settled(settled: Sequence[Any], **_: Any) -> None:
    for (channel, status), count in Tally((s.channel, s.status) for s in settled).items():
        SETTLED.labels(_name(channel), _name(status)).inc(count)


def count_receipts(received: Sequence[Any], **_: Any) -> None:
    kinds = Tally((r.provider, r.kind, r.applied) for r in received)
    for (provider, kind, applied), count in kinds.items():
        result = "applied" if applied else "ignored"
        RECEIPTS.labels(provider, ReceiptState(kind).label, result).inc(count)


def count_dismissed(provider: str, kind: ReceiptState, result: str, **_: Any) -> None:
    RECEIPTS.labels(provider, ReceiptState(kind).label, result).inc()


def count_snoozed(channel: str, reason: str, scope: str, count: int, **_: Any) -> None:
    if reason == WaitReason.RATE_LIMIT:
        # `tenant:shop:50/s` is told as `tenant`: no label names a tenant.
        RATE_LIMITED.labels(_name(channel), scope.partition(":")[0]).inc(count)


def count_rescued(reason: str, count: int, **_: Any) -> None:
    RESCUED.labels(_name(reason)).inc(count)


def count_fenced(count: int, **_: Any) -> None:
    FENCED.inc(count)


def count_limiter_degraded(**_: Any) -> None:
    LIMITER_DEGRADED.inc()


def count_consumer_restart(**_: Any) -> None:
    CONSUMER_RESTARTS.inc()


def _name(word: str) -> str:
    """The bare string of an enum's member or of a column that held one."""
    return str.__str__(word)
