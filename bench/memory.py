"""Whether a worker grows: what its processes hold after 10,000 notifications, and 100,000 later.

RSS of each process has the pages that it shares with the others in it, the PSS of all together has
them once. There is no noise in either: one long pass shows more than several short ones.
"""

from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Size:
    """In megabytes."""

    rss: float
    pss: float


Sizes = dict[psutil.Process, Size]


def run(stack: Stack, repeat: int, quick: bool = False) -> list[Row]:
    """One pass, whatever `repeat` says; no process may have been replaced in it."""
    warm_up, count = (QUICK_WARM_UP, QUICK_COUNT) if quick else (WARM_UP, COUNT)
    with (
        fill.originals(stack) as template,
        tqdm(total=warm_up + count, unit="row", desc="memory") as bar,
    ):
        before, after = _measure(stack, template, (warm_up, count), bar)
    most = max(before, key=lambda process: after[process].rss / before[process].rss)

    def row(name: str, bar: Bar, figure: Callable[[Sizes], float]) -> Row:
        name = f"memory: after {count:,} more, {name}"
        is_after = f"the same after {warm_up:,}"
        return Row(name, "MB", is_after, bar, [figure(after)], [figure(before)])

    flat = Bar(1.05, of="ratio", at_most=True)
    return [
        row("the largest process, RSS", Bar(150, at_most=True), _largest),
        row("the process that grew most, RSS", flat, lambda sizes: sizes[most].rss),
        row("the whole worker, PSS", flat, lambda sizes: sum(size.pss for size in sizes.values())),
    ]


def _largest(sizes: Sizes) -> float:
    return max(size.rss for size in sizes.values())


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
    return {process: _size(process) for process in [parent, *parent.children(recursive=True)]}


def _size(process: psutil.Process) -> Size:
    info: Any = process.memory_full_info()
    return Size(info.rss / MEGABYTE, info.pss / MEGABYTE)
