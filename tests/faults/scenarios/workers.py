"""Workers that are killed, frozen and deployed anew."""

import random
import time
from contextlib import suppress

import psutil

from notifications.providers.base import Provider
from tests.faults.lab import LEASE, RESCUED, Lab
from tests.faults.scenarios.base import Size, named
from tests.faults.stack import Stack
from tests.faults.verdict import Verdict
from tests.processes import Process

SLOWLY = {"*": "accept:0.02"}


def workers_killed_with_keys(lab: Lab, size: Size) -> Verdict:
    """A worker is killed every 2 s; the provider honours keys, so that nothing stays unknown."""
    with lab.stack(keys=True) as stack:
        verdict = _killed_every_two_seconds(stack, size)
        verdict.promise(not verdict.unknown, "a key makes trying again safe")
        return verdict


def workers_killed_parked(lab: Lab, size: Size) -> Verdict:
    """A worker is killed every 2 s; the provider knows no keys, what it had is parked."""
    with lab.stack() as stack:
        return _killed_every_two_seconds(stack, size)


def _killed_every_two_seconds(stack: Stack, size: Size) -> Verdict:
    stack.provider.obey({"*": size("accept:0.02", "accept:0.05")})
    stack.accept(size(10_000, 500))
    workers = [stack.worker(), stack.worker()]

    def kill_the_older() -> None:
        workers.pop(0).kill()
        workers.append(stack.worker())

    with stack.every(2, kill_the_older):
        stack.provider.wait_for("accepted", size(9_000, 400), timeout=size(600, 90))
    stack.finish(size(300, 60))
    verdict = stack.judge()
    most = verdict.faults * 2 * Provider.window  # two processes
    verdict.promise(verdict.faults >= size(3, 1), "it lasted until something happened")
    verdict.promise(verdict.unknown <= most, f"a kill leaves a window unknown: {verdict.unknown}")
    return verdict


def pool_children_killed(lab: Lab, size: Size) -> Verdict:
    """A process of the pool is killed every second; its worker stays and starts another."""
    with lab.stack() as stack:
        stack.provider.obey(SLOWLY)
        stack.accept(size(5_000, 400))
        worker = stack.worker()
        with stack.every(1, lambda: _kill_a_child(worker)):
            stack.provider.wait_for("accepted", size(4_000, 250), timeout=size(600, 90))
        stack.finish(size(300, 60))
        verdict = stack.judge()
        verdict.promise(worker.is_running(), "the worker outlives its children")
        return verdict


def _kill_a_child(worker: Process) -> None:
    with suppress(psutil.NoSuchProcess, IndexError):
        random.choice(psutil.Process(worker.pid).children()).kill()


def worker_killed_mid_send(lab: Lab, size: Size, mutation: str = "") -> Verdict:
    """A worker is killed when the provider has taken a message and has not said so yet."""
    with lab.stack() as stack:
        stack.provider.obey({"*": "hang:60"})
        stack.accept(size(200, 30))
        worker = stack.worker(TEST_MUTATION=mutation)
        taken = stack.provider.wait_for("accepted")
        worker.kill()
        stack.hurt()
        stack.provider.obey({})
        stack.worker(TEST_MUTATION=mutation)
        stack.finish(RESCUED + 5)
        verdict = stack.judge()
        verdict.promise(verdict.unknown >= len(taken), "what was taken is unknown, not sent again")
        return verdict


def worker_frozen(lab: Lab, size: Size) -> Verdict:
    """A worker is frozen past its leases, others do its work, and then it goes on."""
    with lab.stack(keys=True) as stack:
        stack.provider.obey({"*": "hold"})
        stack.accept(size(2_000, 200))
        frozen = stack.worker()
        stack.provider.wait_for("arrived", 2)
        frozen.freeze()
        stack.hurt()
        stack.provider.obey({})
        stack.worker()
        stack.finish(RESCUED + size(60, 10))
        _thaw_until_fenced(stack, frozen)
        stack.finish(30)
        verdict = stack.judge()
        verdict.promise(stack.fenced() >= 1, "the late writes are counted as fenced")
        return verdict


def late_word_of_a_frozen_worker(lab: Lab, size: Size, mutation: str = "") -> Verdict:
    """What a thawed worker reports of an attempt long given up must not touch the one under way.

    The first attempt is refused while its worker is frozen; the second is with the provider when
    the first worker says so. Who believes it makes a third attempt, of what the second delivers.
    """
    channel = {"ON_UNKNOWN": "retry", "RETRY": {"BACKOFF": 0.1, "MAX_ATTEMPTS": 50}}
    provider = {"TIMEOUT": LEASE - 2.5}
    with lab.stack(channel=channel, provider=provider) as stack:
        stack.provider.obey({"*": "hold"})
        [id] = stack.accept(1)
        frozen = stack.worker(TEST_MUTATION=mutation)
        stack.provider.wait_for("arrived")
        frozen.freeze()
        stack.hurt()
        stack.provider.obey({f"{id}#1": "unavailable:1", "*": "hold"})
        stack.worker(TEST_MUTATION=mutation)
        stack.provider.wait_for("arrived", 2)
        _thaw_until_fenced(stack, frozen, or_arrivals=3)
        stack.provider.obey({})
        stack.finish(RESCUED)
        verdict = stack.judge()
        verdict.promise(stack.fenced() >= 1, "the late word is counted as fenced")
        return verdict


def _thaw_until_fenced(stack: Stack, frozen: Process, or_arrivals: int = 1_000_000) -> None:
    """Its children go on first: their parent would interrupt them, as their time is over."""
    for child in psutil.Process(frozen.pid).children():
        child.resume()
    stack.heal()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and not stack.fenced():
        if len(stack.provider.lines("arrived")) >= or_arrivals:
            break
        time.sleep(0.02)
    frozen.thaw()


def rolling_deploys(lab: Lab, size: Size) -> Verdict:
    """Workers are asked to end, one after the other, each when the next one is there."""
    with lab.stack() as stack:
        stack.provider.obey(SLOWLY)
        stack.accept(size(20_000, 700))
        workers, codes = [stack.worker()], []
        until = time.monotonic() + size(120, 8)
        while time.monotonic() < until:
            workers.append(stack.worker())
            time.sleep(size(3, 0.5))
            codes.append(workers.pop(0).stop())
            stack.hurt()
        stack.finish(size(300, 60))
        verdict = stack.judge()
        verdict.promise(not verdict.unknown, f"a deploy leaves nothing unknown: {verdict.unknown}")
        verdict.promise(not any(codes), f"workers end well: {codes}")
        return verdict


SCENARIOS = named(
    workers_killed_with_keys,
    workers_killed_parked,
    pool_children_killed,
    worker_killed_mid_send,
    worker_frozen,
    late_word_of_a_frozen_worker,
    rolling_deploys,
)
