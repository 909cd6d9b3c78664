"""Threads of several processes that ask one gate at once; imported before Django is set up."""

import multiprocessing
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing.synchronize import Barrier as ProcessBarrier
from typing import Any, NamedTuple, TypeVar

import django
from django.db import connections

from notifications.gates import Breaker, Limiter, Pacer, database
from notifications.gates.circuit import Rules
from notifications.messages import Limit, Tally, Want

T = TypeVar("T")

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.gates.prepared"])
START_SECONDS = 60


class Call(NamedTuple):
    """When it was made and answered, by the clock that all processes have in common."""

    began: float
    ended: float
    units: int


def in_threads(count: int, work: Callable[[], T]) -> list[T]:
    """The results of `work`, run by `count` threads that begin at the same moment."""
    start = threading.Barrier(count)

    def begin() -> T:
        start.wait()
        try:
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        return [future.result(60) for future in [pool.submit(begin) for _ in range(count)]]


def in_processes(count: int, work: Callable[..., T], *arguments: Any) -> list[T]:
    """The results of `work`, run by `count` new processes that begin at the same moment."""
    start = PROCESSES.Barrier(count)
    pool = ProcessPoolExecutor(count, PROCESSES, initializer=_set_up, initargs=(start,))
    with pool:
        futures = [pool.submit(_begin, work, *arguments) for _ in range(count)]
        return [future.result(START_SECONDS) for future in futures]


def _set_up(start: ProcessBarrier) -> None:
    global _start
    _start = start
    django.setup()


_start: ProcessBarrier


def _begin(work: Callable[..., T], *arguments: Any) -> T:
    _start.wait(START_SECONDS)
    return work(*arguments)


def breaker_in(settings: dict[str, Any], rules: Mapping[str, Rules]) -> Breaker:
    """As `limiter_in`."""
    connections["default"].settings_dict.update(settings)
    return database.Breaker({}, rules)


def limiter_in(settings: dict[str, Any]) -> Limiter:
    """The one in the database, in any process: with the test's own instead of the settings'."""
    connections["default"].settings_dict.update(settings)
    return database.Limiter({})


def pacer_in(settings: dict[str, Any]) -> Pacer:
    """As `limiter_in`."""
    connections["default"].settings_dict.update(settings)
    return database.Pacer({})


def slow_once(make: Callable[[], Pacer], provider: str, wait: float, rate: float) -> None:
    make().slow(provider, wait, rate)


def calls_of_threads(
    make: Callable[[], Limiter], limit: Limit, threads: int, seconds: float
) -> list[Call]:
    """What `threads` threads were granted that took as much as they could for so long."""
    limiter, until = make(), time.monotonic() + seconds

    def take_as_fast_as_allowed() -> list[Call]:
        calls = []
        while (began := time.monotonic()) < until:
            [grant] = limiter.take([Want((limit,), 10)])
            calls.append(Call(began, time.monotonic(), grant.units))
            if grant.units < 10:
                time.sleep(grant.retry_after)
        return calls

    return [call for calls in in_threads(threads, take_as_fast_as_allowed) for call in calls]


def check_rate(limit: Limit, calls: list[Call], seconds: float) -> None:
    """The limit was used, and no second saw more than it allows."""
    granted = [call for call in calls if call.units]
    assert sum(call.units for call in granted) >= 0.95 * limit.rate * seconds
    for first in granted:
        end = first.began + 1
        within = (c.units for c in granted if c.began >= first.began and c.ended <= end)
        assert sum(within) <= limit.rate + limit.burst


def probes_of_threads(
    make: Callable[[], Breaker], provider: str, threads: int, seconds: float
) -> list[tuple[float, float]]:
    """From when to when each probe was out of threads that all wish to send; all of them fail."""
    breaker, until = make(), time.monotonic() + seconds

    def probe_when_allowed() -> list[tuple[float, float]]:
        probes = []
        while time.monotonic() < until:
            if (passage := breaker.allow(provider, 10)).units:
                began = time.monotonic()
                time.sleep(0.02)
                probes.append((began, time.monotonic()))
                breaker.record(provider, Tally(failed=1), passage.probe)
            time.sleep(0.002)
        return probes

    return [probe for probes in in_threads(threads, probe_when_allowed) for probe in probes]
