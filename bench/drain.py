"""Draining a backlog with two workers, against a loop of the same SQL in two processes.

Both find the same rows in a copy of one database. They are held back by locks, which workers
pass over, until both processes are ready; what counts is from the first to the last settled.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
from tqdm import tqdm

from tests.processes import ROOT, Process

from .report import Bar, Row
from .stack import Environment, Stack

COUNT, QUICK_COUNT = 20_000, 600
PROCESSES = 2
TIMEOUT_SECONDS = 300
POLL_SECONDS = 0.25

Start = Callable[[Stack, Environment], list[Process]]

SPAN = """
    SELECT count(*), extract(epoch FROM max(settled_at) - min(settled_at))::float
    FROM notifications_notification WHERE state = 'sent' AND receipt_state = 30
"""
LEFT_OVER = """
    SELECT (SELECT count(*) FROM notifications_notification),
           (SELECT count(DISTINCT notification_id) FROM notifications_attempt),
           (SELECT count(*) FROM notifications_attempt),
           (SELECT count(*) FROM notifications_receipt)
"""


def run(stack: Stack, repeat: int, quick: bool = False) -> list[Row]:
    """Every notification must be delivered once: one attempt, one receipt."""
    count = QUICK_COUNT if quick else COUNT
    row = Row(
        f"drain: {count:,} notifications, {PROCESSES} workers",
        "/s",
        f"the same SQL in the same batches, {PROCESSES} processes of psycopg alone",
        Bar(0.45, of="ratio"),
    )
    with _backlog(stack, count) as template, tqdm(total=2 * repeat * count, unit="row") as bar:
        for _ in range(repeat):
            row.product.append(_measure(stack, template, count, _workers, "product", bar))
            row.baseline.append(_measure(stack, template, count, _loops, "baseline", bar))
    return [row]


@contextmanager
def _backlog(stack: Stack, count: int) -> Iterator[str]:
    """The name of a database with so many notifications accepted."""
    with stack.database() as url:
        command = [sys.executable, "-m", "tests.racing.accept", str(count)]
        env = stack.on_redis(url)
        subprocess.run(command, env=env, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        yield urlsplit(url).path.removeprefix("/")


def _measure(
    stack: Stack, template: str, count: int, start: Start, name: str, bar: "tqdm[Any]"
) -> float:
    """Notifications settled a second."""
    bar.set_description(f"drain, {name}")
    stack.empty_redis()
    with stack.database(template) as url:
        with _held_back(url):
            processes = start(stack, stack.on_redis(url))
        seconds = _wait(url, count, bar)
        _check(url, count)
        for process in processes:
            process.stop()
    return count / seconds


@contextmanager
def _held_back(url: str) -> Iterator[None]:
    with psycopg.connect(url) as connection:
        connection.execute("SELECT FROM notifications_notification FOR UPDATE")
        yield


def _workers(stack: Stack, env: Environment) -> list[Process]:
    workers = [stack.processes.worker(env, "-c", "1", wait=False) for _ in range(PROCESSES)]
    for worker in workers:
        worker.wait_for_text(" ready.", timeout=60)
    time.sleep(2)  # the first tick and what it loads
    return workers


def _loops(stack: Stack, env: Environment) -> list[Process]:
    command = [sys.executable, "-m", "bench.sql_loop", env["DATABASE_URL"]]
    loops = [stack.processes.start("sql", command, env) for _ in range(PROCESSES)]
    for loop in loops:
        loop.wait_for_text("ready")
    return loops


def _wait(url: str, count: int, bar: "tqdm[Any]") -> float:
    """Seconds between the first and the last settled."""
    deadline, before = time.monotonic() + TIMEOUT_SECONDS, 0
    with psycopg.connect(url, autocommit=True) as connection:
        while before < count:
            assert time.monotonic() < deadline, f"{before} of {count} are settled"
            time.sleep(POLL_SECONDS)
            done, seconds = connection.execute(SPAN).fetchone() or (0, 0.0)
            bar.update(done - before)
            before = done
    return float(seconds)


def _check(url: str, count: int) -> None:
    with psycopg.connect(url) as connection:
        found = connection.execute(LEFT_OVER).fetchone()
    assert found == (count,) * 4, f"notifications, attempted, attempts, receipts: {found}"
