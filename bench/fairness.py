"""Who waits behind a backlog: another tenant, and an urgent message of the same tenant.

Tenant A posts 20,000 of bulk in calls of 1,000. Until they have gone, tenant B posts one of bulk
each second, and A an urgent one; before that, both do so with nothing else going on. The time is
that from sending the POST to the provider's call. The provider's latency makes it last.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from tqdm import tqdm

from .api import Api, message
from .backlog import POLL_SECONDS, TIMEOUT_SECONDS, stop, workers
from .ledger import calls, on_ledger, wait_for
from .report import Bar, Row, percentile
from .stack import Stack

CONCURRENCY = 2
WEB = ("--workers", "2", "--threads", "4")
LATENCY_MS = 5
LASTS_SECONDS = 20
PERCENT = 95
BASELINE_IS = "the same while nothing else is sent"


@dataclass(frozen=True, slots=True)
class Size:
    calls: int
    call: int
    alone_seconds: float
    gap_seconds: float

    @property
    def backlog(self) -> int:
        return self.calls * self.call


FULL, QUICK = Size(20, 1000, 10, 1), Size(4, 100, 1, 0.2)

Began = dict[str, float]
"""When the POST of each id was sent."""


def run(stack: Stack, repeat: int, quick: bool = False) -> list[Row]:
    """Every notification must reach the provider, once."""
    size = QUICK if quick else FULL
    behind = f"behind {size.backlog:,} bulk, p{PERCENT}"
    rows = [
        Row(f"fairness: another tenant {behind}", "s", BASELINE_IS, Bar(2, at_most=True)),
        Row(f"fairness: urgent {behind}", "s", BASELINE_IS, Bar(1, at_most=True)),
    ]
    lasts = Row(f"fairness: how long they take, {LATENCY_MS} ms each", "s", bar=Bar(LASTS_SECONDS))
    with tqdm(total=repeat * size.backlog, unit="sent", desc="fairness") as bar:
        for _ in range(repeat):
            alone, behind_it, lasted = _measure(stack, size, bar)
            for row, before, after in zip(rows, alone, behind_it, strict=True):
                row.baseline.append(before)
                row.product.append(after)
            lasts.product.append(lasted)
    return [*rows, lasts]


def _measure(stack: Stack, size: Size, bar: "tqdm[None]") -> tuple[list[float], list[float], float]:
    """Seconds of both who wait, alone and behind the backlog, and how long that lasted."""
    ledger = stack.directory / "fairness.ledger"
    stack.empty_redis()
    with stack.database() as url:
        env = on_ledger(stack.on_redis(url), ledger, LATENCY_MS=LATENCY_MS)
        web, address = stack.processes.gunicorn(env, *WEB)
        key_a, key_b = (stack.make_key(env, tenant) for tenant in ("a", "b"))
        lanes = [(Api(address, key_b), "bulk"), (Api(address, key_a), "urgent")]
        started = workers(stack, env, CONCURRENCY)
        alone = _post_while(lanes, size, lambda: time.sleep(size.alone_seconds))
        bulk: list[str] = []
        behind = _post_while(
            lanes, size, lambda: bulk.extend(_drain(Api(address, key_a), size, ledger, bar))
        )
        ids = [*bulk, *(id for began in alone + behind for id in began)]
        seen = wait_for(ledger, ids)
        stop([*started, web])
    assert calls(ledger).keys() == set(ids)
    times = [seen[id] for id in bulk]
    return _percentiles(alone, seen), _percentiles(behind, seen), max(times) - min(times)


def _post_while(
    lanes: Sequence[tuple[Api, str]], size: Size, busy: Callable[[], None]
) -> list[Began]:
    """Post in both lanes, one at a time each, until `busy` comes back."""
    over = Event()
    with ThreadPoolExecutor(len(lanes)) as pool:
        posting = [pool.submit(_post_each, *lane, size.gap_seconds, over) for lane in lanes]
        try:
            busy()
        finally:
            over.set()
        return [lane.result() for lane in posting]


def _post_each(api: Api, priority: str, gap: float, over: Event) -> Began:
    began: Began = {}
    while not over.wait(gap):
        at = time.monotonic()
        began[api.post("notify", message(priority=priority))["id"]] = at
    return began


def _drain(api: Api, size: Size, ledger: Path, bar: "tqdm[None]") -> list[str]:
    """Post the backlog, and wait until the provider has had it; its ids."""
    ids: list[str] = []
    for _ in range(size.calls):
        body = {"notifications": [message(priority="bulk")] * size.call}
        ids += [result["id"] for result in api.post("notify/batch", body)["results"]]
    deadline, wanted, done = time.monotonic() + TIMEOUT_SECONDS, set(ids), 0
    while done < len(ids):
        assert time.monotonic() < deadline, f"{done} of {len(ids)} were sent"
        time.sleep(POLL_SECONDS)
        now = len(wanted & calls(ledger).keys())
        bar.update(now - done)
        done = now
    return ids


def _percentiles(posted: Sequence[Began], seen: dict[str, float]) -> list[float]:
    return [percentile([seen[id] - at for id, at in began.items()], PERCENT) for began in posted]
