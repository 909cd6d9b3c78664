"""The backlog in the broker finds its size: never idle workers, never minutes of work."""

from collections.abc import Iterator

import pytest

from notifications.pipeline.backlog import (
    GROW_SECONDS,
    LEAST_IDS,
    LEAST_MESSAGES,
    MESSAGES,
    MOST_MESSAGES,
    Backlog,
)

LOOK_SECONDS = 0.25
START = MESSAGES * 100


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    return Clock()


@pytest.fixture
def backlog(clock: Clock) -> Backlog:
    return Backlog(100, clock)


def work(backlog: Backlog, clock: Clock, rate: float, looks: int, more: bool = True) -> list[float]:
    """Workers that take `rate` a second; the messages' worth of ids that wait at each look."""
    waiting: list[int] = []
    seen = []
    for _ in range(looks):
        clock.now += LOOK_SECONDS
        budget = rate * LOOK_SECONDS
        while waiting and budget >= waiting[0]:
            budget -= waiting.pop(0)
        room = backlog.room(len(waiting))
        released = room if more else 0
        waiting += [min(backlog.size, released - s) for s in range(0, released, backlog.size)]
        backlog.tell(room, released)
        seen.append(sum(waiting))
    return seen


def test_found_empty_while_more_was_owed_it_doubles(backlog: Backlog, clock: Clock) -> None:
    targets = []
    for _ in range(8):
        clock.now += LOOK_SECONDS
        room = backlog.room(0)
        backlog.tell(room, room)
        targets.append(room)
    most = MOST_MESSAGES * 100
    assert targets == [START, 2 * START, 4 * START, most, most, most, most, most]


def test_found_empty_because_nothing_was_owed_it_stays(backlog: Backlog, clock: Clock) -> None:
    for _ in range(5):
        clock.now += LOOK_SECONDS
        backlog.tell(backlog.room(0), 3)
    assert backlog.target == START


def test_what_was_found_long_ago_says_nothing(backlog: Backlog, clock: Clock) -> None:
    backlog.tell(backlog.room(0), START)
    clock.now += 3600
    assert backlog.room(0) == START


def test_several_looks_at_once_are_one(backlog: Backlog, clock: Clock) -> None:
    clock.now += LOOK_SECONDS
    for _ in range(10):
        clock.now += GROW_SECONDS / 20
        backlog.tell(backlog.room(0), START)
    assert backlog.target == 2 * START


def test_what_is_gone_within_a_second_was_not_too_much(backlog: Backlog, clock: Clock) -> None:
    clock.now += LOOK_SECONDS
    backlog.tell(backlog.room(0), START)
    clock.now += LOOK_SECONDS
    backlog.tell(backlog.room(0), 2 * START)
    for _ in range(3):
        clock.now += LOOK_SECONDS
        backlog.room(2 * MESSAGES)
    assert backlog.target == 2 * START
    clock.now += LOOK_SECONDS
    backlog.room(2 * MESSAGES)
    assert backlog.target == START * 3 // 2


def test_where_nobody_takes_anything_no_more_is_added(backlog: Backlog, clock: Clock) -> None:
    seen = work(backlog, clock, rate=0, looks=50)
    assert seen[0] == seen[-1] == START


@pytest.mark.parametrize("rate", [40, 200, 1000, 4000])
def test_it_comes_to_hold_less_than_a_seconds_work_and_never_runs_dry(
    backlog: Backlog, clock: Clock, rate: int
) -> None:
    work(backlog, clock, rate, looks=60)
    settled = work(backlog, clock, rate, looks=60)
    assert max(settled) <= rate
    assert sum(settled) / len(settled) >= rate * LOOK_SECONDS / 2


def test_a_slow_providers_messages_are_small(backlog: Backlog, clock: Clock) -> None:
    work(backlog, clock, rate=40, looks=60)
    assert backlog.size == LEAST_IDS


def test_it_never_falls_below_some_messages_for_each_worker(backlog: Backlog, clock: Clock) -> None:
    backlog.workers = 3
    for _ in range(100):
        clock.now += LOOK_SECONDS
        backlog.room(1000)
    assert backlog.target == 3 * LEAST_MESSAGES * LEAST_IDS
