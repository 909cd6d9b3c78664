"""What every backend of the gates must do; a backend's test class inherits it.

The class is given the fixtures `limiter`, and `make` which makes one in any process. Limits are
slow where the test is not about time: at one unit in 28 hours nothing comes back while it runs.
"""

import datetime
import time
from collections.abc import Callable
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifications.gates import Limiter
from notifications.messages import Grant, Limit, Want

from .load import calls_of_threads, check_rate, in_processes, in_threads

SLOW = 1e-5

wants = st.lists(
    st.tuples(st.sets(st.sampled_from("abc")), st.integers(0, 12)), min_size=1, max_size=5
)


def slow(burst: int, name: str = "limit") -> Limit:
    """A limit of its own that gives `burst` units and then, for this test, nothing more."""
    return Limit(f"{name}:{uuid4()}", SLOW, burst)


class LimiterConformance:
    def test_a_want_without_limits_is_granted_in_full(self, limiter: Limiter):
        assert limiter.take([Want((), 1000), Want((), 0)]) == [Grant(1000), Grant(0)]

    def test_no_wants_get_no_grants(self, limiter: Limiter):
        assert limiter.take([]) == []

    def test_what_is_there_is_granted_and_the_rest_is_explained(self, limiter: Limiter):
        limit = Limit(f"limit:{uuid4()}", 0.1, 10)
        assert limiter.take([Want((limit,), 4)]) == [Grant(4)]
        [grant] = limiter.take([Want((limit,), 10)])
        assert (grant.units, grant.limited_by, grant.rate) == (6, limit.key, 0.1)
        assert 5 < grant.retry_after <= 10

    def test_more_units_than_the_burst_get_what_is_there(self, limiter: Limiter):
        [grant] = limiter.take([Want((slow(7),), 1000)])
        assert grant.units == 7

    def test_a_peek_tells_what_is_there_and_takes_nothing(self, limiter: Limiter):
        limit = slow(7)
        wants = [Want((limit,), 5), Want((limit,), 9), Want((), 3)]
        for _ in range(3):
            assert [grant.units for grant in limiter.peek(wants)] == [5, 7, 3]
        assert limiter.take([Want((limit,), 7)]) == [Grant(7)]
        [grant] = limiter.peek([Want((limit,), 1)])
        assert (grant.units, grant.limited_by) == (0, limit.key)
        [refused] = limiter.take([Want((limit,), 1)])
        assert refused.retry_after == pytest.approx(grant.retry_after, abs=60)

    def test_a_refusal_deducts_nothing(self, limiter: Limiter):
        limit = Limit(f"limit:{uuid4()}", 5.0, 1)
        assert limiter.take([Want((limit,), 1)]) == [Grant(1)]
        until = time.monotonic() + 0.35
        granted = 0
        while time.monotonic() < until:
            granted += limiter.take([Want((limit,), 1)])[0].units
        assert granted == 1

    def test_after_the_seconds_it_names_one_more_unit_is_there(self, limiter: Limiter):
        limit = Limit(f"limit:{uuid4()}", 10.0, 3)
        [grant] = limiter.take([Want((limit,), 5)])
        time.sleep(grant.retry_after + 0.002)
        assert limiter.take([Want((limit,), 1)]) == [Grant(1)]

    def test_it_tells_what_is_used_and_takes_nothing_by_it(self, limiter: Limiter):
        used, unused = slow(10), slow(10)
        limiter.take([Want((used,), 4)])
        for _ in range(2):
            told = limiter.used([used, unused])
            assert told == {used.key: pytest.approx(4, abs=0.01), unused.key: 0}
        assert limiter.used([]) == {}
        assert limiter.take([Want((used,), 6)]) == [Grant(6)]

    def test_an_exhausted_tenant_burns_no_tokens_of_its_channel(self, limiter: Limiter):
        channel, tenant, other = slow(50, "channel"), slow(1, "tenant"), slow(100, "tenant")
        grants = [limiter.take([Want((channel, tenant), 1)])[0].units for _ in range(50)]
        assert sum(grants) == 1
        [rest] = limiter.take([Want((channel, other), 100)])
        assert (rest.units, rest.limited_by) == (49, channel.key)

    def test_wants_are_answered_in_their_order_from_what_they_share(self, limiter: Limiter):
        channel, first, second = slow(10, "channel"), slow(4, "tenant"), slow(100, "tenant")
        grants = limiter.take([Want((channel, first), 6), Want((channel, second), 9)])
        assert [(g.units, g.limited_by) for g in grants] == [(4, first.key), (6, channel.key)]

    @settings(
        max_examples=40,
        deadline=None,
        # One suite for several classes is what this is for.
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
            HealthCheck.differing_executors,
        ],
    )
    @given(st.lists(wants, max_size=4))
    def test_it_never_grants_more_or_less_than_plain_counters(
        self, limiter: Limiter, calls: list[list[tuple[set[str], int]]]
    ):
        limits = {name: slow(burst) for name, burst in (("a", 3), ("b", 8), ("c", 20))}
        left = {name: limit.burst for name, limit in limits.items()}
        for call in calls:
            asked = [Want(tuple(limits[n] for n in sorted(names)), units) for names, units in call]
            for grant, (names, units) in zip(limiter.take(asked), call, strict=True):
                expected = min([units, *(left[name] for name in names)])
                assert grant.units == expected
                for name in names:
                    left[name] -= expected

    def test_threads_that_race_share_exactly_the_burst(self, limiter: Limiter):
        limit = slow(60)

        def take_until_refused() -> int:
            taken = 0
            while grant := limiter.take([Want((limit,), 7)])[0].units:
                taken += grant
            return taken

        assert sum(in_threads(6, take_until_refused)) == 60

    def test_limits_named_in_any_order_and_for_the_first_time_do_not_deadlock(
        self, limiter: Limiter
    ):
        sets = [[f"{n}:{uuid4()}" for n in range(16)] for _ in range(6)]
        turn = iter(range(4))

        def take_all() -> int:
            shift = 4 * next(turn)
            granted = 0
            for keys in [keys for keys in sets for _ in range(10)]:
                limits = [Limit(key, SLOW, 40) for key in keys[shift:] + keys[:shift]]
                grants = limiter.take([Want(tuple(limits[:15]), 1), Want((limits[15],), 1)])
                granted += sum(grant.units for grant in grants)
            return granted

        assert in_threads(4, take_all) == [120] * 4

    def test_the_clock_of_this_host_does_not_matter(
        self, limiter: Limiter, monkeypatch: pytest.MonkeyPatch
    ):
        limit = Limit(f"limit:{uuid4()}", 1 / 3600, 5)
        assert limiter.take([Want((limit,), 5)]) == [Grant(5)]
        tomorrow = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
        monkeypatch.setattr(time, "time", tomorrow.timestamp)
        monkeypatch.setattr("django.utils.timezone.now", lambda: tomorrow)
        [grant] = limiter.take([Want((limit,), 1)])
        assert grant.units == 0
        assert 3500 < grant.retry_after <= 3600

    def test_threads_keep_to_the_rate_and_use_it(self, make: Callable[[], Limiter]):
        limit = Limit(f"limit:{uuid4()}", 200.0, 50)
        check_rate(limit, calls_of_threads(make, limit, 4, 3.0), 3.0)

    def test_threads_of_several_processes_keep_to_the_rate_and_use_it(
        self, make: Callable[[], Limiter]
    ):
        limit = Limit(f"limit:{uuid4()}", 50.0, 50)
        processes = in_processes(4, calls_of_threads, make, limit, 2, 4.0)
        check_rate(limit, [call for calls in processes for call in calls], 4.0)
