"""The embedded mode: `manage.py serve` on SQLite, against the same on Celery's `memory://`."""

import random
import statistics
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
from tqdm import tqdm

from .api import Api, message
from .ledger import on_ledger, wait_for
from .report import Bar, Row
from .stack import Environment, Stack

PRODUCT, BASELINE = "embedded://localhost", "memory://"
BASELINE_IS = "the same process on Celery's own memory:// broker"


@dataclass(frozen=True, slots=True)
class Size:
    batch: int
    singles: int
    settling_seconds: float
    idle_seconds: float


FULL, QUICK = Size(1000, 10, 2.0, 15.0), Size(50, 1, 0.0, 0.5)


def run(stack: Stack, repeat: int, quick: bool = False) -> list[Row]:
    """One process at a time, on a database that stays the same over the rounds."""
    size = QUICK if quick else FULL
    rows = [
        Row(f"embedded: a call of {size.batch:,} delivered", "/s", BASELINE_IS, Bar(300)),
        Row("embedded: accepted to delivered, p50", "ms", BASELINE_IS, Bar(60, at_most=True)),
        Row("embedded: POST to provider, p50", "ms", BASELINE_IS, Bar(40, at_most=True)),
        Row("embedded: POST to seen delivered, p50", "ms", BASELINE_IS),
        Row("embedded: CPU when idle", "% of a core", BASELINE_IS, Bar(1, at_most=True)),
    ]
    product, baseline = (_Server(stack, url) for url in (PRODUCT, BASELINE))
    with tqdm(total=2 * repeat * 4, unit="step") as bar:
        for _ in range(repeat):
            for row, figure in zip(rows, product.measure(size, bar), strict=True):
                row.product.append(figure)
            for row, figure in zip(rows, baseline.measure(size, bar), strict=True):
                row.baseline.append(figure)
    return rows


class _Server:
    """`manage.py serve` on one broker and an SQLite file of its own."""

    def __init__(self, stack: Stack, broker: str) -> None:
        self.stack = stack
        self.name = broker.partition("/")[0]
        path = stack.directory / f"{self.name.strip(':')}.sqlite3"
        env = stack.environment(f"sqlite:///{path}", CELERY_BROKER_URL=broker)
        self.ledger = path.with_suffix(".ledger")
        self.env: Environment = on_ledger(env, self.ledger)
        stack.processes.manage(self.env, "migrate")
        self.key = stack.make_key(self.env)

    def measure(self, size: Size, bar: "tqdm[Any]") -> tuple[float, ...]:
        """Batch rate (1/s), three latencies (ms), idle CPU (%), of a process started for it."""
        process, url = self.stack.processes.serve(self.env)
        api = Api(url, self.key)
        bar.set_description(f"{self.name} one by one")
        delivered, seen = _latencies(api, size.singles)
        bar.update()
        called = _to_provider(api, self.ledger, size.singles)
        bar.update()
        bar.set_description(f"{self.name} a call of {size.batch}")
        rate = _batch_rate(api, size.batch)
        bar.update()
        bar.set_description(f"{self.name} idle")
        idle = _idle_percent(process.pid, size)
        bar.update()
        assert process.stop() == 0
        return rate, delivered, called, seen, idle


def _latencies(api: Api, count: int) -> tuple[float, float]:
    """The medians, in milliseconds: by the row's own times, and as this client saw it."""
    delivered, seen = [], []
    for _ in range(count):
        time.sleep(random.uniform(0, 0.5))  # at any moment between two turns of whatever polls
        began = time.monotonic()
        posted = api.post("notify", message())
        shown = api.poll(posted["url"], lambda row: row["status"] == "delivered")
        seen.append(time.monotonic() - began)
        delivered.append(_seconds(shown["created_at"], shown["settled_at"]))
    return statistics.median(delivered) * 1000, statistics.median(seen) * 1000


def _to_provider(api: Api, ledger: Path, count: int) -> float:
    """The median in milliseconds, from sending the POST; nobody asks for it in between."""
    took = []
    for _ in range(count):
        time.sleep(random.uniform(0, 0.5))
        began = time.monotonic()
        id = api.post("notify", message())["id"]
        took.append(wait_for(ledger, [id])[id] - began)
    return statistics.median(took) * 1000


def _batch_rate(api: Api, count: int) -> float:
    """Notifications a second, from the batch's own times: stored to the last delivered."""
    posted = api.post("notify/batch", {"notifications": [message() for _ in range(count)]})
    assert posted["accepted"] == count, posted
    batch = api.poll(posted["url"], lambda batch: batch["finished_at"] is not None)
    assert batch["counts"]["delivered"] == count, batch
    return count / _seconds(batch["created_at"], batch["finished_at"])


def _idle_percent(pid: int, size: Size) -> float:
    """How much of a core the process uses while nothing is asked of it."""
    time.sleep(size.settling_seconds)
    process = psutil.Process(pid)
    before = process.cpu_times()
    time.sleep(size.idle_seconds)
    after = process.cpu_times()
    used = (after.user - before.user) + (after.system - before.system)
    return float(100 * used / size.idle_seconds)


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
