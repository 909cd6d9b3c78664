"""The arithmetic of slowing down: properties that hold at any time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.gates.pace import FREE, LEAST, LONGEST_SECONDS, TELLING, Book, pace, slow
from notifications.messages import Pace

NOW = 1.7e9
RECOVERY_SECONDS = 30
waits = st.floats(0, 2 * LONGEST_SECONDS)
rates = st.floats(0, 1e5)


def refused(rate: float = 100, wait: float = 0) -> Book:
    return slow(Book(), NOW, wait, rate)


def test_nothing_is_slowed_down_that_was_never_refused() -> None:
    assert pace(Book(), NOW) == Pace()


def test_it_halves_then_gains_and_is_free_again() -> None:
    book = refused(100)
    seconds = (0, 10, 20, RECOVERY_SECONDS - 1)
    assert [pace(book, NOW + s).rate for s in seconds] == pytest.approx([50, 100, 150, 195])
    assert pace(book, NOW + RECOVERY_SECONDS + 0.01).rate is None


def test_gaining_begins_when_the_wait_is_over() -> None:
    assert pace(refused(100, wait=60), NOW + 60).rate == pytest.approx(50)


def test_the_next_refusal_halves_what_had_been_gained() -> None:
    again = slow(refused(100), NOW + 10, 0, 1e6)
    assert pace(again, NOW + 10).rate == pytest.approx(50)
    assert pace(slow(again, NOW + 12, 0, 1e6), NOW + 12).rate == pytest.approx(30)


def test_a_refusal_at_a_trickle_only_waits() -> None:
    assert pace(refused(rate=3, wait=60), NOW) == Pace(held=60)
    assert pace(refused(rate=3, wait=60), NOW + 60) == Pace()


def test_refused_again_and_again_it_goes_down_to_the_least() -> None:
    book = refused(100)
    for second in range(1, 60):
        book = slow(book, NOW + second, 0, 100)
    assert pace(book, NOW + 59).rate == pytest.approx(LEAST)


def test_refusals_of_one_moment_halve_it_once() -> None:
    book = refused(100)
    for _ in range(10):
        book = slow(book, NOW + 0.5, 0, 0)
    assert pace(book, NOW + 0.5).rate == pytest.approx(50)


def test_when_it_is_slowed_again_what_others_send_is_not_added() -> None:
    again = slow(refused(100), NOW + 10, 0, 100)
    assert slow(again, NOW + 10.5, 0, 100).refused == again.refused


@given(st.lists(st.tuples(st.floats(0, 100), waits, rates), min_size=1, max_size=20))
def test_it_never_stops_for_good_nor_goes_faster_than_it_was_told(
    refusals: list[tuple[float, float, float]],
) -> None:
    book, now = Book(), NOW
    for after, wait, rate in refusals:
        now += after
        book = slow(book, now, wait, rate)
        found = pace(book, now)
        if book.refused:
            assert found.rate is not None
            assert LEAST <= found.rate <= max(TELLING, book.refused * FREE)
        assert min(wait, LONGEST_SECONDS) <= found.held + 1e-3
        assert found.held <= LONGEST_SECONDS + 1e-3
    assert pace(book, now + LONGEST_SECONDS + 10 * RECOVERY_SECONDS) == Pace()


def test_a_clock_that_was_set_back_holds_nothing_up() -> None:
    assert pace(refused(wait=60), NOW - 2 * LONGEST_SECONDS).held == 0


def test_from_the_least_it_is_free_again_within_seconds() -> None:
    assert pace(Book(refused=LEAST, slowed=NOW), NOW + TELLING + 1).rate is None
