"""The arithmetic, against a bucket of exact fractions that is filled up as time goes by."""

from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.gates import gcra
from notifications.messages import Grant, Limit, Want

START = 1_800_000_000

LIMITS = [
    Limit("provider", 50.0, 50),
    Limit("channel", 2.0, 5),
    Limit("tenant", 1000.0, 20),
    Limit("slow", 0.5, 1),
]

steps = st.lists(
    st.tuples(
        st.integers(0, 3000),  # milliseconds since the step before
        st.lists(st.sampled_from(LIMITS), unique=True, max_size=4).map(tuple),
        st.integers(0, 60),
    ),
    max_size=40,
)


class Buckets:
    """The reference: so many tokens in each bucket, refilled before every look."""

    def __init__(self) -> None:
        self.tokens = {limit.key: Fraction(limit.burst) for limit in LIMITS}

    def refill(self, milliseconds: int) -> None:
        for limit in LIMITS:
            more = Fraction(limit.rate) * milliseconds / 1000
            self.tokens[limit.key] = min(Fraction(limit.burst), self.tokens[limit.key] + more)

    def take(self, want: Want) -> int:
        units = min([want.units, *(floor(self.tokens[limit.key]) for limit in want.limits)])
        for limit in want.limits:
            self.tokens[limit.key] -= units
        return units


@given(steps)
def test_it_grants_what_exact_buckets_grant(steps: list[tuple[int, tuple[Limit, ...], int]]):
    buckets, arrivals, elapsed = Buckets(), dict[str, float](), 0
    for milliseconds, limits, units in steps:
        elapsed += milliseconds
        buckets.refill(milliseconds)
        want = Want(limits, units)
        grant = gcra.take(want, arrivals, START + elapsed / 1000)
        assert grant.units == buckets.take(want)


@given(steps)
def test_after_the_seconds_it_names_and_not_before_one_more_unit_is_there(
    steps: list[tuple[int, tuple[Limit, ...], int]],
):
    arrivals, now = dict[str, float](), float(START)
    for milliseconds, limits, units in steps:
        now += milliseconds / 1000
        grant = gcra.take(Want(limits, units), arrivals, now)
        if grant.units == units:
            assert grant == Grant(units)
            continue
        one_more = Want(limits, 1)
        early = now + grant.retry_after - 0.001
        assert gcra.take(one_more, dict(arrivals), now + grant.retry_after).units == 1
        assert early < now or gcra.take(one_more, dict(arrivals), early).units == 0


@given(st.integers(1, 1000), st.integers(1, 10))
def test_a_refusal_deducts_nothing(units: int, times: int):
    limit = Limit("daily", 1 / 86400, 100)
    arrivals = dict[str, float]()
    gcra.take(Want((limit,), 100), arrivals, START)
    used_up = dict(arrivals)
    for _ in range(times):
        assert gcra.take(Want((limit,), units), arrivals, START).units == 0
    assert arrivals == used_up


def test_a_limit_that_holds_up_nothing_is_not_blamed():
    wide, narrow = Limit("wide", 100.0, 100), Limit("narrow", 4.0, 3)
    grant = gcra.take(Want((wide, narrow), 10), {}, START)
    assert grant == Grant(3, "narrow", pytest.approx(0.25, abs=1e-6), 4.0)


def test_of_two_exhausted_limits_the_one_that_takes_longer_is_named():
    second, day = Limit("second", 10.0, 5), Limit("day", 5 / 86400, 5)
    grant = gcra.take(Want((second, day), 6), {}, START)
    assert (grant.units, grant.limited_by) == (5, "day")
    assert grant.retry_after == pytest.approx(86400 / 5, abs=1e-3)


def test_more_units_than_the_burst_get_what_is_there():
    assert gcra.take(Want((Limit("a", 1.0, 7),), 1000), {}, START).units == 7


def test_no_limits_grant_everything():
    assert gcra.take(Want((), 1000), {}, START) == Grant(1000)


def test_a_clock_set_back_by_a_day_holds_nothing_up():
    limit = Limit("a", 10.0, 10)
    arrivals = {"a": START + 86400.0}
    grant = gcra.take(Want((limit,), 1), arrivals, START)
    assert grant == Grant(0, "a", pytest.approx(0.1, abs=1e-6), 10.0)
