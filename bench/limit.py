"""A limit of the whole cluster, with far more due than it lets go.

Two workers with two processes each share 50 a second. The provider's own record says how many
came in the fullest second and how much of the limit was used; Redis's own count of what was
pushed says how many messages it took.
"""

import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
import redis
from tqdm import tqdm

from tests.processes import wait_until

from .backlog import accept, stop, workers
from .ledger import calls, on_ledger
from .report import Bar, Row
from .stack import Stack

PER_SECOND = 50
BURST = PER_SECOND
"""What may go at once after a rest: a second's worth."""

CONCURRENCY = 2
FIRST_SECOND = 1.0
"""Left out of the share: the burst is in it."""


@dataclass(frozen=True, slots=True)
class Size:
    backlog: int
    seconds: int


FULL, QUICK = Size(5000, 30), Size(2000, 3)

STATES = "SELECT count(*) FILTER (WHERE state = 'sent'), count(*) FROM notifications_notification"
UPDATES = """
    SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'notifications_notification'
"""


def run(stack: Stack, repeat: int, quick: bool = False) -> list[Row]:
    """What the provider got must be what is stored as sent, each once; the rest still waits."""
    size = QUICK if quick else FULL
    name = f"limit: {PER_SECOND}/s, 2 workers with {CONCURRENCY} processes"
    rows = [
        Row(f"{name}, fullest second", "sent", bar=Bar(PER_SECOND + BURST, at_most=True)),
        Row(f"{name}, share used", "%", bar=Bar(95)),
        Row(f"{name}, messages for each sent", "messages", bar=Bar(1.2, at_most=True)),
        Row(f"{name}, updates for each sent", "rows"),
    ]
    with tqdm(total=repeat * size.seconds, unit="s", desc="limit") as bar:
        for _ in range(repeat):
            for row, figure in zip(rows, _measure(stack, size, bar), strict=True):
                row.product.append(figure)
    return rows


def _measure(stack: Stack, size: Size, bar: "tqdm[None]") -> tuple[float, ...]:
    stack.empty_redis()
    path = stack.directory / "limit.ledger"
    with stack.database() as url:
        channel = {"RATE_LIMIT": f"{PER_SECOND}/s"}
        env = on_ledger(stack.on_redis(url), path, channel=channel)
        ids = accept(env, size.backlog)
        before = _pushed(stack)
        started = workers(stack, env, CONCURRENCY)
        wait_until(lambda: calls(path), 30, "something at the provider")
        for _ in range(size.seconds):
            time.sleep(1)
            bar.update()
        stop(started)
        messages = _pushed(stack) - before
        times = _checked(url, ids, calls(path))
        updates = _updates(url)
    share = _between(times, FIRST_SECOND, size.seconds) / (size.seconds - FIRST_SECOND) / PER_SECOND
    return _fullest_second(times), 100 * share, messages / len(times), updates / len(times)


def _checked(url: str, ids: Sequence[str], called: dict[str, float]) -> list[float]:
    """When the provider was called, in order."""
    with psycopg.connect(url) as connection:
        found = connection.execute(STATES).fetchone()
    assert found == (len(called), len(ids)), f"sent, stored: {found}; the provider: {len(called)}"
    assert called.keys() <= set(ids)
    assert len(called) < len(ids), "the backlog was too small"
    return sorted(called.values())


def _fullest_second(times: Sequence[float]) -> int:
    return max(bisect_left(times, at + 1) - i for i, at in enumerate(times))


def _between(times: Sequence[float], start: float, end: float) -> int:
    """How many there were between so many seconds after the first."""
    return bisect_left(times, times[0] + end) - bisect_left(times, times[0] + start)


def _pushed(stack: Stack) -> int:
    with redis.Redis.from_url(stack.redis_url) as client:
        told = client.info("commandstats").get("cmdstat_lpush", {"calls": 0})
    return int(told["calls"])


def _updates(url: str) -> int:
    """How many row versions it took so far; what a process counts, it tells when it ends."""
    with psycopg.connect(url) as connection:
        [count] = connection.execute(UPDATES).fetchone() or (0,)
    return int(count)
