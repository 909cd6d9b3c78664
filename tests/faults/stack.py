"""One scenario's stage, and what can be done on it."""

import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
from kombu import Connection
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from tests.faults.fake import Fake
from tests.faults.verdict import OPEN, Row, Verdict, judge
from tests.processes import Processes
from tests.racing.client import Client
from tests.racing.stack import Product
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis

Told = Callable[[int, int], object]
"""Hears how many are settled, and how many there are."""


class Stack(Product):
    """One scenario's stage; `faults` counts what was done to it."""

    def __init__(
        self,
        processes: Processes,
        env: dict[str, str],
        notifications: dict[str, Any],
        provider: Fake,
        broker: Redis | RabbitMQ,
        told: Told,
    ) -> None:
        super().__init__(processes, env, notifications, "tests.faults.settings")
        self.provider, self.broker = provider, broker
        self.answered: set[str] = set()
        self.faults = 0
        self._told = told
        self._healed_at = time.monotonic()

    def accept(self, count: int, **more: str) -> list[str]:
        ids = super().accept(count, **more)
        self.answered.update(ids)
        return ids

    @contextmanager
    def every(self, seconds: float, hurt: Callable[[], object]) -> Iterator[None]:
        """Within the block, `hurt` again and again."""
        done = threading.Event()

        def loop() -> None:
            while not done.wait(seconds):
                hurt()
                self.hurt()

        with ThreadPoolExecutor(1) as pool:
            loops = pool.submit(loop)
            try:
                yield
            finally:
                done.set()
        loops.result()

    @contextmanager
    def clients(self, client: Client, count: int = 4) -> Iterator[None]:
        """Within the block, so many clients post, each with a new key when one is answered."""
        done = threading.Event()

        def loop(number: int) -> None:
            posted = 0
            while not done.is_set():
                client.post_until_answered(f"key-{number}-{posted}")
                posted += 1

        with ThreadPoolExecutor(count) as pool:
            loops = [pool.submit(loop, number) for number in range(count)]
            try:
                yield
            finally:
                done.set()
            for running in loops:
                running.result()
        self.answered.update(client.accepted)

    def hurt(self) -> None:
        """Count a fault; recovery is timed from the last one on."""
        self.faults += 1
        self.heal()

    def heal(self) -> None:
        """Recovery is timed from here on."""
        self._healed_at = time.monotonic()

    def finish(self, timeout: float) -> None:
        """Until all is settled, or for so long: what is open then is stuck."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self._is_any_open():
            time.sleep(0.2)
        self._recovery = time.monotonic() - self._healed_at

    def judge(self, *, may_end: Collection[str] = (), may_repeat: bool = False) -> Verdict:
        log, rows = self.provider.lines(), self.rows()
        verdict = judge(self.answered, log, rows, may_end=may_end, may_repeat=may_repeat)
        verdict.faults, verdict.recovery = self.faults, self._recovery
        return verdict

    def rows(self) -> list[Row]:
        found = self.query(
            "SELECT n.id::text, n.state, n.attempt_count, n.duplicate_risk,"
            " coalesce(array_agg(a.outcome) FILTER (WHERE a.outcome IS NOT NULL), '{}')"
            " FROM notifications_notification n"
            " LEFT JOIN notifications_attempt a ON a.notification_id = n.id GROUP BY n.id"
        )
        return [Row(id, *values, tuple(outcomes)) for id, *values, outcomes in found]

    def fenced(self) -> float:
        """The counter of late writes refused, over all processes that ever were."""
        registry = CollectorRegistry()
        MultiProcessCollector(registry, self.env["PROMETHEUS_MULTIPROC_DIR"])
        return registry.get_sample_value("notifications_fenced_total") or 0.0

    def empty_broker(self) -> None:
        if isinstance(self.broker, Redis):
            self.broker.flush()
            return
        with Connection(self.broker.url) as connection, connection.channel() as channel:
            for name in ("operations", "sms.urgent", "sms.normal", "sms.bulk"):
                channel.queue_purge(f"notifications.{name}")

    def _is_any_open(self) -> bool:
        try:
            states = self.states()
        except psycopg.OperationalError:
            return True
        waiting = sum(states[state] for state in OPEN)
        self._told(sum(states.values()) - waiting, sum(states.values()))
        return waiting > 0
