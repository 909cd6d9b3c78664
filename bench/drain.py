"""Draining a backlog with two workers, against a loop of the same SQL in two processes.

Both find the same rows in a copy of one database. They are held back by locks, which workers
pass over, until both processes are ready; what counts is from the first to the last settled.
"""

import sys
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from tests.processes import Process

from .backlog import PROCESSES, backlog, check, held_back, wait, workers
from .report import Bar, Row
from .stack import Environment, Stack

COUNT, QUICK_COUNT = 20_000, 600

Start = Callable[[Stack, Environment], list[Process]]


def run(stack: Stack, repeat: int, quick: bool = False) -> list[Row]:
    """Every notification must be delivered once: one attempt, one receipt."""
    count = QUICK_COUNT if quick else COUNT
    row = Row(
        f"drain: {count:,} notifications, {PROCESSES} workers",
        "/s",
        f"the same SQL in the same batches, {PROCESSES} processes of psycopg alone",
        Bar(0.45, of="ratio"),
    )
    with backlog(stack, count) as template, tqdm(total=2 * repeat * count, unit="row") as bar:
        for _ in range(repeat):
            row.product.append(_measure(stack, template, count, workers, "product", bar))
            row.baseline.append(_measure(stack, template, count, _loops, "baseline", bar))
    return [row]


def _measure(
    stack: Stack, template: str, count: int, start: Start, name: str, bar: "tqdm[Any]"
) -> float:
    """Notifications settled a second."""
    bar.set_description(f"drain, {name}")
    stack.empty_redis()
    with stack.database(template) as url:
        with held_back(url):
            processes = start(stack, stack.on_redis(url))
        seconds = wait(url, count, bar)
        check(url, count)
        for process in processes:
            process.stop()
    return count / seconds


def _loops(stack: Stack, env: Environment) -> list[Process]:
    command = [sys.executable, "-m", "bench.sql_loop", env["DATABASE_URL"]]
    loops = [stack.processes.start("sql", command, env) for _ in range(PROCESSES)]
    for loop in loops:
        loop.wait_for_text("ready")
    return loops
