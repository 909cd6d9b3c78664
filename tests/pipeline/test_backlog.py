"""The backlog in the broker finds its size: never idle workers, never minutes of work."""

from contextlib import suppress
from datetime import timedelta

import pytest
from django.db.models import F

from notifications.models import QueueBacklog
from notifications.pipeline.backlog import (
    FORGET_SECONDS,
    GROW_SECONDS,
    HOLD_SECONDS,
    LEAST_IDS,
    LEAST_MESSAGES,
    MESSAGES,
    MOST_MESSAGES,
    Backlog,
    held,
)

LOOK_SECONDS = 0.25
START = MESSAGES * 100
QUEUE = "notifications.sms.bulk"


@pytest.fixture
def backlog() -> Backlog:
    return Backlog(100)


def later(backlog: Backlog, seconds: float = LOOK_SECONDS) -> None:
    backlog.looked += seconds
    backlog.adjusted += seconds


def work(backlog: Backlog, rate: float, looks: int, more: bool = True) -> list[float]:
    """Workers that take `rate` a second; the messages' worth of ids that wait at each look."""
    waiting: list[int] = []
    seen = []
    for _ in range(looks):
        later(backlog)
        budget = rate * LOOK_SECONDS
        while waiting and budget >= waiting[0]:
            budget -= waiting.pop(0)
        room = backlog.room(len(waiting))
        released = room if more else 0
        waiting += [min(backlog.size, released - s) for s in range(0, released, backlog.size)]
        backlog.tell(room, released)
        seen.append(sum(waiting))
    return seen


def test_found_empty_while_more_was_owed_it_doubles(backlog: Backlog) -> None:
    targets = []
    for _ in range(8):
        later(backlog)
        room = backlog.room(0)
        backlog.tell(room, room)
        targets.append(room)
    most = MOST_MESSAGES * 100
    assert targets == [START, 2 * START, 4 * START, most, most, most, most, most]


def test_found_empty_because_nothing_was_owed_it_stays(backlog: Backlog) -> None:
    for _ in range(5):
        later(backlog)
        backlog.tell(backlog.room(0), 3)
    assert backlog.target == START


def test_what_was_found_long_ago_says_nothing(backlog: Backlog) -> None:
    backlog.tell(backlog.room(0), START)
    later(backlog, 3600)
    assert backlog.room(0) == START


def test_several_looks_at_once_are_one(backlog: Backlog) -> None:
    later(backlog)
    for _ in range(10):
        later(backlog, GROW_SECONDS / 20)
        backlog.tell(backlog.room(0), START)
    assert backlog.target == 2 * START


def test_what_is_gone_within_a_second_was_not_too_much(backlog: Backlog) -> None:
    later(backlog)
    backlog.tell(backlog.room(0), START)
    later(backlog)
    backlog.tell(backlog.room(0), 2 * START)
    for _ in range(3):
        later(backlog)
        backlog.room(2 * MESSAGES)
    assert backlog.target == 2 * START
    later(backlog)
    backlog.room(2 * MESSAGES)
    assert backlog.target == START * 3 // 2


def test_where_nobody_takes_anything_no_more_is_added(backlog: Backlog) -> None:
    seen = work(backlog, rate=0, looks=50)
    assert seen[0] == seen[-1] == START


@pytest.mark.parametrize("rate", [40, 200, 1000, 4000])
def test_it_comes_to_hold_less_than_a_seconds_work_and_never_runs_dry(
    backlog: Backlog, rate: int
) -> None:
    work(backlog, rate, looks=60)
    settled = work(backlog, rate, looks=60)
    assert max(settled) <= rate
    assert sum(settled) / len(settled) >= rate * LOOK_SECONDS / 2


def test_a_slow_providers_messages_are_small(backlog: Backlog) -> None:
    work(backlog, rate=40, looks=60)
    assert backlog.size == LEAST_IDS


def test_it_never_falls_below_some_messages_for_each_worker(backlog: Backlog) -> None:
    backlog.workers = 3
    for _ in range(100):
        later(backlog)
        backlog.room(1000)
    assert backlog.target == 3 * LEAST_MESSAGES * LEAST_IDS


def pass_by(seconds: float) -> None:
    """As if nobody had come to the queue for so long."""
    ago = timedelta(seconds=seconds)
    moments = ("looked_at", "adjusted_at", "held_until")
    QueueBacklog.objects.update(**{moment: F(moment) - ago for moment in moments})


@pytest.mark.django_db
def test_what_one_dispatcher_learns_the_next_one_knows() -> None:
    with held(QUEUE, 1) as first:
        assert first
        assert first.target == START
        first.room(0)
        first.tell(START, START)
    pass_by(LOOK_SECONDS)
    with held(QUEUE, 1) as second:
        assert second
        assert second.room(0) == 2 * START
    pass_by(LOOK_SECONDS / 10)
    with held(QUEUE, 1) as third:
        assert third
        assert third.target == 2 * START
        assert LOOK_SECONDS / 10 <= third.adjusted < LOOK_SECONDS


@pytest.mark.django_db
def test_each_queue_is_held_by_one_dispatcher_at_a_time() -> None:
    with (
        held(QUEUE, 1) as first,
        held(QUEUE, 1) as second,
        held("notifications.sms.urgent", 1) as u,
    ):
        assert first
        assert u
        assert second is None
    with held(QUEUE, 1) as again:
        assert again


@pytest.mark.django_db
def test_a_dispatcher_that_fails_gives_back() -> None:
    with suppress(ConnectionError), held(QUEUE, 1):
        raise ConnectionError
    with held(QUEUE, 1) as again:
        assert again


@pytest.mark.django_db
def test_a_dispatcher_that_died_holds_nobody_up_for_long() -> None:
    with held(QUEUE, 1) as dead:
        assert dead
        dead.target = 7
        pass_by(HOLD_SECONDS)
        with held(QUEUE, 1) as heir:
            assert heir
            assert heir.target == START
            heir.room(0)
            heir.target = 1234
    with held(QUEUE, 1) as next_one:
        assert next_one
        assert next_one.target == 1234


@pytest.mark.django_db
@pytest.mark.parametrize(("rest", "known"), [(FORGET_SECONDS / 2, 60), (FORGET_SECONDS, START)])
def test_what_was_learnt_long_ago_is_forgotten(rest: float, known: int) -> None:
    with held(QUEUE, 1) as backlog:
        assert backlog
        backlog.room(0)
        backlog.target = 60
    pass_by(rest)
    with held(QUEUE, 1) as later_on:
        assert later_on
        assert later_on.target == known
