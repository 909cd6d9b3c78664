"""Draining to a provider that answers after 200 ms, with one worker process.

What counts is what the provider's own record says: from the first request to the last answer.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
from tqdm import tqdm

from tests.processes import ROOT, Process, wait_until

from .report import Bar, Row
from .slow_http import SlowProvider
from .stack import Environment, Stack

COUNT, QUICK_COUNT = 2000, 96
ONE_BY_ONE_COUNT, QUICK_ONE_BY_ONE_COUNT = 50, 5
TIMEOUT_SECONDS = 300

NOT_SENT = "SELECT count(*) FROM notifications_notification WHERE state <> 'sent'"


def run(stack: Stack, repeat: int, quick: bool = False) -> list[Row]:
    """Every notification must have been posted once."""
    many, few = (QUICK_COUNT, QUICK_ONE_BY_ONE_COUNT) if quick else (COUNT, ONE_BY_ONE_COUNT)
    row = Row(
        f"slow: {many:,} notifications to a provider of 200 ms, 1 process",
        "/s",
        "the same provider, one by one (CONCURRENCY 1)",
        Bar(100),
    )
    for _ in tqdm(range(repeat), unit="round", desc="slow"):
        row.product.append(_measure(stack, many, SlowProvider.concurrency))
        row.baseline.append(_measure(stack, few, 1))
    return [row]


def _measure(stack: Stack, count: int, concurrency: int) -> float:
    """Answers a second."""
    stack.empty_redis()
    record = stack.directory / f"slow-{len(stack.processes.started)}"
    server = stack.processes.start(
        "slow", [sys.executable, "-m", "bench.slow_http", str(record)], stack.environment("")
    )
    server.wait_for_text("port ")
    with stack.database() as url:
        env = _environment(stack, url, int(server.text().split()[1]), concurrency)
        command = [sys.executable, "-m", "tests.racing.accept", str(count)]
        subprocess.run(command, env=env, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
        worker = stack.processes.worker(env, "--concurrency", "1")
        _wait_until_sent(url)
        _end(worker, server)
    return _rate(record, count)


def _environment(stack: Stack, url: str, port: int, concurrency: int) -> Environment:
    notifications: dict[str, Any] = {
        "CHANNELS": {"sms": {"PROVIDERS": ["slow"]}},
        "PROVIDERS": {
            "slow": {
                "BACKEND": f"{SlowProvider.__module__}.{SlowProvider.__qualname__}",
                "OPTIONS": {"PORT": port},
                "CONCURRENCY": concurrency,
            }
        },
        "GATES": {"BACKEND": "notifications.gates.redis", "OPTIONS": {"URL": stack.redis_url}},
    }
    return stack.on_redis(
        url,
        DJANGO_SETTINGS_MODULE="tests.racing.settings",
        TEST_NOTIFICATIONS=json.dumps(notifications),
    )


def _wait_until_sent(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        wait_until(
            lambda: connection.execute(NOT_SENT).fetchone() == (0,),
            TIMEOUT_SECONDS,
            "all are sent",
            every=0.25,
        )


def _end(*processes: Process) -> None:
    for process in processes:
        process.stop()


def _rate(record: Path, count: int) -> float:
    lines = [line.split() for line in record.read_text().splitlines()]
    times = Counter(key for _, _, key in lines)
    assert len(times) == count, f"{len(times)} of {count} were posted"
    assert set(times.values()) == {1}, "some were posted more than once"
    first, last = min(float(line[0]) for line in lines), max(float(line[1]) for line in lines)
    return count / (last - first)
