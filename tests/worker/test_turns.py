"""Who goes next when a place in the pool becomes free."""

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.asynchronous.semaphore import LaxBoundedSemaphore

from notifications.worker.turns import FIRST, Turns, rank_of
from tests.worker.conftest import Outside

SECONDS = 1.5
"""How long a task takes."""


def request(queue: str) -> Any:
    return SimpleNamespace(delivery_info={"routing_key": queue})


@pytest.mark.parametrize(
    ("queue", "rank"),
    [
        ("notifications.operations", 0),
        ("notifications.sms.urgent", 0),
        ("0.0.0.1.0.notifications.sms.bulk", 2),
        ("notifications.email.normal", 1),
        ("celery", 1),
        (None, 1),
    ],
)
def test_a_message_ranks_by_its_queue(queue: str, rank: int) -> None:
    assert rank_of(request(queue)) == rank


def test_a_free_place_goes_to_the_most_urgent_and_among_equals_to_the_oldest() -> None:
    semaphore, order = LaxBoundedSemaphore(1), []
    turns = Turns(semaphore)
    for rank, name in [(2, "a"), (2, "b"), (1, "c"), (FIRST, "tick"), (0, "d"), (2, "e")]:
        turns.take(rank, order.append, name)
    for _ in range(5):
        semaphore.release()
    assert order == ["a", "tick", "d", "c", "b", "e"]


def test_what_waited_is_forgotten_with_the_connection() -> None:
    semaphore, order = LaxBoundedSemaphore(1), []
    turns = Turns(semaphore)
    turns.take(1, order.append, "running")
    turns.take(1, order.append, "waiting")
    turns.clear()
    semaphore.clear()
    turns.take(1, order.append, "new")
    assert order == ["running", "new"]


@pytest.mark.parametrize("broker", ["redis", "rabbitmq"])
def test_a_tick_waits_for_one_task_at_most_while_the_pool_is_busy(
    request: pytest.FixtureRequest, broker: str
) -> None:
    """Two places, a long line of slow tasks: without turns a tick would stand last."""
    outside: Outside = request.getfixturevalue(f"on_{broker}")
    outside.start("-P", "prefork", "-c", "2", "--prefetch-multiplier", "4")
    outside.wait_for("ticks", 3)
    for _ in range(14):
        outside.send("slow", SECONDS)
    outside.wait_for("slow", 28, timeout=60)
    ended = [float(line[0]) for line in outside.traces("slow") if line[2] == "ends"]
    times = [float(line[0]) for line in outside.traces("ticks")]
    busy = [at for at in times if ended[0] < at < ended[-1]]
    gaps = [b - a for a, b in pairwise(busy)]
    assert len(busy) >= 4
    # One task, the tick before it and its pause of 0.2 s; a machine that is busy besides. Without
    # turns it would be four, which is what the worker holds for each place.
    assert max(gaps) < 2.5 * SECONDS


def test_what_is_urgent_goes_before_bulk_that_the_worker_already_holds(
    on_rabbitmq: Outside,
) -> None:
    on_rabbitmq.start("-P", "prefork", "-c", "1", "--prefetch-multiplier", "4")
    on_rabbitmq.send("slow", 1.5)
    on_rabbitmq.wait_for("slow")
    for priority in ("bulk", "bulk", "normal", "urgent"):
        on_rabbitmq.send_to(f"notifications.sms.{priority}", "named", priority)
    lines = on_rabbitmq.wait_for("named", 4)
    assert [line[2] for line in lines] == ["urgent", "normal", "bulk", "bulk"]
