"""What a worker costs while there is nothing to do, beside a stock Celery worker.

Both have a parent and two processes, on PostgreSQL and Redis; the product's looks for what is due
every second. They idle at the same time, and what counts is their own CPU time.
"""

import time

import psutil
from tqdm import tqdm

from . import bare_celery
from .report import Bar, Row
from .stack import Stack

CONCURRENCY = 2
SETTLING_SECONDS, SECONDS = 10, 40
QUICK_SECONDS = 1
BASELINE_IS = "a stock Celery worker with one task and as many processes"


def run(stack: Stack, repeat: int, quick: bool = False) -> list[Row]:
    settling, seconds = (0, QUICK_SECONDS) if quick else (SETTLING_SECONDS, SECONDS)
    row = Row(
        "idle: CPU of a worker with its processes",
        "% of a core",
        BASELINE_IS,
        Bar(1, at_most=True),
    )
    bar = tqdm(total=settling + repeat * seconds, unit="s", desc="idle")
    with bar, stack.database() as ours, stack.database() as bare:
        product = _family(stack.processes.worker(stack.on_redis(ours), "-c", str(CONCURRENCY)).pid)
        env = stack.on_redis(bare) | bare_celery.environment(stack.directory / "bare.ledger")
        baseline = _family(bare_celery.worker(stack, env, CONCURRENCY).pid)
        _sleep(settling, bar)
        for _ in range(repeat):
            before = _cpu_seconds(product), _cpu_seconds(baseline)
            _sleep(seconds, bar)
            after = _cpu_seconds(product), _cpu_seconds(baseline)
            row.product.append(100 * (after[0] - before[0]) / seconds)
            row.baseline.append(100 * (after[1] - before[1]) / seconds)
    return [row]


def _family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    family = [parent, *parent.children(recursive=True)]
    assert len(family) == 1 + CONCURRENCY, family
    return family


def _cpu_seconds(family: list[psutil.Process]) -> float:
    """Raises psutil.NoSuchProcess when one of them has ended."""
    times = [process.cpu_times() for process in family]
    return float(sum(spent.user + spent.system for spent in times))


def _sleep(seconds: int, bar: "tqdm[None]") -> None:
    for _ in range(seconds):
        time.sleep(1)
        bar.update()
