"""What every backend's pacer must do; a backend's test class inherits it.

The class is given the fixture `make_pacer`, which makes one in any process.
"""

import time
from collections.abc import Callable

import pytest

from notifications.gates import Pacer
from notifications.gates.base import FRESH_SECONDS
from notifications.gates.pace import LEAST_STEP, STEP
from notifications.messages import Pace
from notifications.signals import provider_slowed
from tests.processes import wait_until

from .load import in_processes, in_threads, slow_once

MakePacer = Callable[[], Pacer]


def gained(refused: float, since: float) -> float:
    """The most of the refused rate that can have come back meanwhile."""
    return max(LEAST_STEP, STEP * refused) * (time.monotonic() - since)


class PacerConformance:
    def test_a_provider_that_never_refused_goes_as_fast_as_one_likes(
        self, make_pacer: MakePacer, provider: str
    ):
        assert make_pacer().current(provider) == Pace()

    def test_a_refusal_holds_the_account_for_as_long_as_was_asked(
        self, make_pacer: MakePacer, provider: str
    ):
        pacer = make_pacer()
        began = time.monotonic()
        pacer.slow(provider, 1, 100)
        assert 0 < pacer.current(provider).held <= 1
        wait_until(lambda: pacer.current(provider).held == 0)
        assert time.monotonic() - began > 0.9

    def test_afterwards_it_goes_at_half_the_rate_and_gains(
        self, make_pacer: MakePacer, provider: str
    ):
        pacer, began = make_pacer(), time.monotonic()
        pacer.slow(provider, 0.0, 100)
        first = pacer.current(provider).rate
        assert 49 < first < 51 + gained(100, since=began)
        time.sleep(0.3)
        assert pacer.current(provider).rate > first

    @pytest.mark.parametrize("rate", [1, 100])
    def test_what_one_process_met_is_soon_known_to_all(
        self, make_pacer: MakePacer, provider: str, rate: float
    ):
        one, other = make_pacer(), make_pacer()
        assert other.current(provider) == Pace()
        one.slow(provider, 60, rate)
        time.sleep(FRESH_SECONDS + 0.05)
        assert 50 < other.current(provider).held <= 60

    def test_a_shorter_wait_does_not_end_a_longer_one(self, make_pacer: MakePacer, provider: str):
        make_pacer().slow(provider, 60, 100)
        make_pacer().slow(provider, 1, 100)
        assert make_pacer().current(provider).held > 50

    def test_refusals_of_one_moment_slow_it_once_and_add_up_to_the_whole(
        self, make_pacer: MakePacer, provider: str
    ):
        began = time.monotonic()
        in_threads(8, lambda: make_pacer().slow(provider, 0.0, 10))
        rate = make_pacer().current(provider).rate
        assert 37 < rate < 41 + gained(80, since=began)

    def test_refusals_met_by_several_processes_are_all_counted(
        self, make_pacer: MakePacer, provider: str
    ):
        began = time.monotonic()
        in_processes(3, slow_once, make_pacer, provider, 600, 20)
        assert make_pacer().current(provider).held > 500
        assert 29 < make_pacer().current(provider).rate < 31 + gained(60, since=began)

    def test_accounts_do_not_slow_each_other(self, make_pacer: MakePacer, provider: str):
        make_pacer().slow(provider, 60, 100)
        assert make_pacer().current(f"not-{provider}") == Pace()

    def test_it_is_told_to_who_listens(self, make_pacer: MakePacer, provider: str):
        heard: list[Pace] = []

        def listen(pace: Pace, **_: object) -> None:
            heard.append(pace)

        provider_slowed.connect(listen)
        try:
            make_pacer().slow(provider, 60, 100)
        finally:
            provider_slowed.disconnect(listen)
        assert [round(pace.held) for pace in heard] == [60]
