"""What a scrape reads: the same on every host that is asked, so take the maximum, not the sum.

What is not there is told as zeros, so that alerts can compare. What cannot be read is left out.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator

from django.db import DatabaseError
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ..conf import get_settings
from ..enums import Channel, CircuitState, DisabledReason, Priority
from ..gates import get_breaker
from ..providers.registry import get_provider
from . import readiness, stats

logger = logging.getLogger(__name__)

Families = list[GaugeMetricFamily]

CHEAP_SECONDS = 0.1
SHARE = 10
"""Reading that takes longer than CHEAP_SECONDS takes at most one part in so many of the time."""


class Gauges(Collector):
    """The backlog, how late it is, and who and what is there to work on it."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        try:
            found = _kept.read()
        except DatabaseError as error:
            # The counters are most wanted just then.
            logger.warning("no gauges: the database failed (%s)", type(error).__name__)
            found = []
        yield from found
        yield _flag("database_up", "Whether the database answers.", bool(found))
        yield _flag("broker_up", "Whether the broker answers.", readiness.check_broker().ok)
        yield _reporting()

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return []  # without it, registering would query the database once more


class Kept:
    """What was read last: reading that takes long is spared for ten times as long."""

    def __init__(self, read: Callable[[], Families]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._found: Families = []
        self._until = 0.0

    def read(self) -> Families:
        with self._lock:
            began = time.monotonic()
            if began >= self._until:
                self._found = self._read()
                took = time.monotonic() - began
                self._until = began + took * SHARE if took > CHEAP_SECONDS else 0.0
            return self._found


def _read() -> Families:
    return [_backlog(), _oldest_due(), _circuits(), _workers(), _endpoints()]


_kept = Kept(_read)


def _backlog() -> GaugeMetricFamily:
    gauge = _gauge("backlog", "Notifications not finished.", "channel", "priority", "status")
    counts = {(row.channel, row.priority, row.status): row.count for row in stats.backlog()}
    for channel in Channel:
        for priority in Priority:
            for status in stats.UNFINISHED:
                names = [channel.value, priority.label, status.value]
                gauge.add_metric(names, counts.get((channel, priority, status), 0))
    return gauge


def _oldest_due() -> GaugeMetricFamily:
    text = "How long the notification that is due for longest has been due."
    gauge = _gauge("oldest_due_seconds", text, "channel", "priority")
    ages = {(row.channel, row.priority): row.seconds for row in stats.oldest_due()}
    for channel in Channel:
        for priority in Priority:
            names = [channel.value, priority.label]
            gauge.add_metric(names, ages.get((channel, priority), 0))
    return gauge


def _circuits() -> GaugeMetricFamily:
    text = "Whether a provider is asked: 0 closed, 1 half-open, 2 open."
    gauge = _gauge("circuit_state", text, "provider")
    for name, provider in get_settings().providers.items():
        if provider.circuit:
            state = get_breaker().state(name).state
            gauge.add_metric([name], list(CircuitState).index(state))
    return gauge


def _workers() -> GaugeMetricFamily:
    text = "Workers that have shown themselves within a minute."
    gauge = _gauge("workers", text)
    gauge.add_metric([], len(stats.workers_seen(readiness.WORKER_SECONDS)))
    return gauge


def _endpoints() -> GaugeMetricFamily:
    gauge = _gauge("endpoints_disabled", "Endpoints that nothing is sent to, by why.", "reason")
    counts = stats.disabled_endpoints()
    for reason in DisabledReason:
        gauge.add_metric([reason.value], counts.get(reason, 0))
    return gauge


def _reporting() -> GaugeMetricFamily:
    text = "Whether a provider in use tells what becomes of what it took."
    gauge = _gauge("provider_reports_delivery", text, "provider")
    used = {name for channel in get_settings().channels.values() for name in channel.providers}
    for name in sorted(used):
        try:
            gauge.add_metric([name], int(get_provider(name).reports_delivery))
        except Exception as error:  # `manage.py check` tells more of one that cannot be made
            logger.warning("provider %s cannot be used here: %s", name, type(error).__name__)
    return gauge


def _flag(name: str, text: str, is_set: bool) -> GaugeMetricFamily:
    gauge = _gauge(name, text)
    gauge.add_metric([], int(is_set))
    return gauge


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"notifications_{name}", text, labels=labels)
