"""Brokers that are killed, frozen and emptied, and messages that come again and again."""

import statistics
import time
from collections.abc import Callable
from functools import partial, update_wrapper
from typing import Any, cast

from tests.faults.lab import Lab
from tests.faults.scenarios.base import Scenario, Size, named
from tests.faults.stack import Stack
from tests.faults.verdict import Verdict
from tests.racing.client import Client


def _killed(lab: Lab, size: Size, broker: str) -> Verdict:
    """The broker is killed while clients post, and comes back later with what it had."""
    with lab.stack(broker) as stack:
        return _away(stack, size, hurt="kill", heal="start", seconds=size(30, 3))


def _frozen(lab: Lab, size: Size, broker: str) -> Verdict:
    """The broker says nothing for a while, and closes no connection either."""
    with lab.stack(broker) as stack:
        return _away(stack, size, hurt="freeze", heal="thaw", seconds=size(60, 8))


def _away(stack: Stack, size: Size, hurt: str, heal: str, seconds: float) -> Verdict:
    _, client = stack.web("--threads", "4")
    stack.worker()
    stack.worker()
    with stack.clients(client, size(4, 2)):
        time.sleep(2)
        getattr(stack.broker, hurt)()
        stack.hurt()
        time.sleep(seconds)
        getattr(stack.broker, heal)()
        stack.heal()
        time.sleep(1)
    stack.finish(120)
    return _unfelt(stack.judge(), client, size)


def _unfelt(verdict: Verdict, client: Client, size: Size) -> Verdict:
    slow = statistics.quantiles(client.seconds, n=100)[98]
    most = size(0.5, 2.0)
    verdict.promise(slow < most, f"clients do not feel it: 99 % within {slow:.2f} s")
    verdict.promise(not verdict.unknown, f"no attempt is in doubt: {verdict.unknown}")
    return verdict


def _emptied(lab: Lab, size: Size, broker: str) -> Verdict:
    """All messages of the broker are gone at once; the rows are not."""
    with lab.stack(broker) as stack:
        stack.provider.obey({"*": "accept:0.01"})
        stack.accept(size(5_000, 500))
        stack.worker()
        stack.provider.wait_for("accepted", size(500, 50))
        stack.empty_broker()
        stack.hurt()
        stack.finish(size(180, 60))
        return stack.judge()


def hints_repeated(lab: Lab, size: Size) -> Verdict:
    """Every message comes five times before it is delivered, and five times afterwards."""
    with lab.stack() as stack:
        ids = stack.accept(size(5_000, 300))
        stack.publish(ids, times=5)
        stack.worker()
        stack.worker()
        stack.finish(60)
        stack.publish(ids, times=5)
        stack.hurt()
        stack.accept(20)  # they stand behind all these in the queue
        stack.finish(60)
        time.sleep(1)
        verdict = stack.judge()
        verdict.promise(not verdict.unknown, "no attempt is in doubt")
        return verdict


def _on(broker: str, play: Callable[..., Verdict]) -> Scenario:
    scenario: Any = update_wrapper(partial(play, broker=broker), play)
    scenario.__name__ = broker + play.__name__
    return cast(Scenario, scenario)


PLAYS = (_killed, _frozen, _emptied)

SCENARIOS = named(
    *(_on(broker, play) for broker in ("redis", "rabbitmq") for play in PLAYS), hints_repeated
)
