"""Whether a worker grows: what its processes hold after 10,000 notifications, and 100,000 later.

RSS of each process has the pages it shares with the others in it; the PSS of all together has
them once.
"""

from typing import Any

import psutil
import psycopg
from tqdm import tqdm

from tests.processes import wait_until

from . import fill
from .backlog import LEFT_OVER, attempts, stop, wait_for_attempts
from .report import Bar, Row
from .stack import Stack

WARM_UP, COUNT = 10_000, 100_000
QUICK_WARM_UP, QUICK_COUNT = 200, 400
CONCURRENCY = 2
MEGABYTE = 1_000_000
ALL_SENT = "SELECT bool_and(state = 'sent') FROM notifications_notification"

Sizes = dict[psutil.Process, tuple[float, float]]
"""RSS and PSS of each process, in megabytes."""


def run(stack: Stack, repeat: int, quick: bool = False) -> list[Row]:
    """Each notification must be delivered once, and no process may have been replaced."""
    warm_up, count = (QUICK_WARM_UP, QUICK_COUNT) if quick else (WARM_UP, COUNT)
    baseline_is = f"the same process after {warm_up:,}"
    grown, flat = f"memory: after {count:,} more,", Bar(1.05, of="ratio", at_most=True)
    largest = Row(f"{grown} the largest process, RSS", "MB", baseline_is, Bar(150, at_most=True))
    worst = Row(f"{grown} the process that grew most, RSS", "MB", baseline_is, flat)
    whole = Row(f"{grown} the whole worker, PSS", "MB", baseline_is, flat)
    total = repeat * (warm_up + count)
    with fill.originals(stack) as template, tqdm(total=total, unit="row", desc="memory") as bar:
        for _ in range(repeat):
            before, after = _measure(stack, template, (warm_up, count), bar)
            for row, sizes in ((largest.baseline, before), (largest.product, after)):
                row.append(max(rss for rss, _ in sizes.values()))
            most = max(before, key=lambda process: after[process][0] / before[process][0])
            worst.baseline.append(before[most][0])
            worst.product.append(after[most][0])
            whole.baseline.append(sum(pss for _, pss in before.values()))
            whole.product.append(sum(pss for _, pss in after.values()))
    return [largest, worst, whole]


def _measure(
    stack: Stack, template: str, counts: tuple[int, int], bar: "tqdm[Any]"
) -> tuple[Sizes, Sizes]:
    stack.empty_redis()
    with stack.database(template) as url:
        worker = stack.processes.worker(stack.on_redis(url), "-c", str(CONCURRENCY))
        before, after = (_after(url, count, worker.pid, bar) for count in counts)
        assert before.keys() == after.keys(), "a process was replaced"
        with psycopg.connect(url) as connection:
            found = connection.execute(LEFT_OVER).fetchone() or ()
        # That of the template is among them.
        assert set(found) == {sum(counts) + 1}, f"stored, attempted, attempts, receipts: {found}"
        stop([worker])
    return before, after


def _after(url: str, count: int, pid: int, bar: "tqdm[Any]") -> Sizes:
    """The sizes of the worker's processes once so many more were delivered."""
    with psycopg.connect(url, autocommit=True) as connection:
        target = attempts(connection) + count
        with tqdm(total=count, unit="row", desc="memory, filling", leave=False) as filling:
            fill.add_waiting(url, count, filling)
        wait_for_attempts(connection, target, bar)
        wait_until(lambda: connection.execute(ALL_SENT).fetchone() == (True,), 30, "all sent")
    parent = psutil.Process(pid)
    return {process: _megabytes(process) for process in [parent, *parent.children(recursive=True)]}


def _megabytes(process: psutil.Process) -> tuple[float, float]:
    info: Any = process.memory_full_info()
    return info.rss / MEGABYTE, info.pss / MEGABYTE
