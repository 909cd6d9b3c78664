"""A backlog of notifications that were accepted, workers that drain it, and whether they did."""

import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
from tqdm import tqdm

from tests.processes import ROOT, Process

from .stack import Environment, Stack

PROCESSES = 2
TIMEOUT_SECONDS = 300
STALLED_SECONDS = 60
POLL_SECONDS = 0.25

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
ATTEMPTS = """
    SELECT last_value FROM pg_sequences
    WHERE format('%I.%I', schemaname, sequencename)::regclass
        = pg_get_serial_sequence('notifications_attempt', 'id')::regclass
"""
"""About how many there are, without a look at the table."""


@contextmanager
def backlog(stack: Stack, count: int) -> Iterator[str]:
    """The name of a database with so many notifications accepted."""
    with stack.database() as url:
        accept(stack.on_redis(url), count)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        yield urlsplit(url).path.removeprefix("/")


def accept(env: Environment, count: int) -> list[str]:
    """The ids of so many text messages, accepted in calls of 1,000."""
    command = [sys.executable, "-m", "tests.racing.accept", str(count)]
    done = subprocess.run(command, env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.split()


@contextmanager
def held_back(url: str) -> Iterator[None]:
    """Nothing that waits can be taken meanwhile: locks are on it, and workers pass over them."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "SELECT FROM notifications_notification WHERE state = 'queued' FOR UPDATE"
        )
        yield


def workers(stack: Stack, env: Environment, concurrency: int = 1) -> list[Process]:
    """Two workers that take messages, with so many processes each."""
    options = ("-c", str(concurrency))
    started = [stack.processes.worker(env, *options, wait=False) for _ in range(PROCESSES)]
    for worker in started:
        worker.wait_for_text(" ready.", timeout=60)
    time.sleep(2)  # the first tick and what it loads
    return started


def stop(processes: Iterable[Process]) -> None:
    """Let them finish what they have in hand; AssertionError when one does not end well."""
    for process in processes:
        assert process.stop() == 0, process.text()[-4000:]


def wait(url: str, count: int, bar: "tqdm[Any]") -> float:
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


def attempts(connection: "psycopg.Connection[Any]") -> int:
    """How many were made ever; a few more, perhaps, but at no cost in however large a table."""
    [last] = connection.execute(ATTEMPTS).fetchone() or (0,)
    return int(last or 0)


def wait_for_attempts(connection: "psycopg.Connection[Any]", target: int, bar: "tqdm[Any]") -> None:
    """Until `attempts` has come to `target`, however long that takes while it goes on."""
    before, since = attempts(connection), time.monotonic()
    while before < target:
        assert time.monotonic() - since < STALLED_SECONDS, f"{target - before} are not tried"
        time.sleep(POLL_SECONDS)
        now = min(attempts(connection), target)
        if now > before:
            since = time.monotonic()
        bar.update(now - before)
        before = now


def check(url: str, count: int) -> None:
    with psycopg.connect(url) as connection:
        found = connection.execute(LEFT_OVER).fetchone()
    assert found == (count,) * 4, f"notifications, attempted, attempts, receipts: {found}"
