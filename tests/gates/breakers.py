"""What every backend's breaker must do; a backend's test class inherits it.

The class is given the fixture `make_breaker`, which makes one for rules, in any process;
`breaker` has RULES for `provider`.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise

import pytest

from notifications.enums import CircuitState
from notifications.gates import Breaker
from notifications.gates.base import FRESH_SECONDS
from notifications.gates.circuit import JITTER, Rules
from notifications.messages import Circuit, Passage, Tally
from notifications.signals import circuit_changed

from .load import in_processes, in_threads, probes_of_threads

MakeBreaker = Callable[[Mapping[str, Rules]], Breaker]

FOUR_FAILURES = Tally(failed=4)
RULES = Rules(failure_ratio=0.5, min_calls=4, window=60, open_for=0.4, probe_for=1.0)
LONG = Rules(failure_ratio=0.5, min_calls=4, window=60, open_for=60, probe_for=60)


def wait_for_probe(breaker: Breaker, provider: str, timeout: float = 30) -> Passage:
    """The passage that lets a probe through; until then nobody may go."""
    deadline = time.monotonic() + timeout
    while not (passage := breaker.allow(provider, 10)).units:
        assert passage.state is not CircuitState.CLOSED
        assert time.monotonic() < deadline
        time.sleep(min(passage.retry_after, 0.05))
    assert (passage.units, passage.state) == (1, CircuitState.HALF_OPEN)
    return passage


def seconds_open(circuit: Circuit) -> float:
    assert circuit.since
    assert circuit.until
    return (circuit.until - circuit.since).total_seconds()


class BreakerConformance:
    def test_a_provider_nobody_has_heard_of_may_be_asked(self, breaker: Breaker, provider: str):
        assert breaker.allow(provider, 100) == Passage(100)
        assert breaker.state(provider) == Circuit()

    def test_too_few_calls_open_nothing(self, breaker: Breaker, provider: str):
        breaker.record(provider, Tally(failed=3))
        assert breaker.state(provider).state is CircuitState.CLOSED

    def test_too_many_failures_open_it_for_all(self, make_breaker: MakeBreaker, provider: str):
        breaker, other = make_breaker({provider: LONG}), make_breaker({provider: LONG})
        assert other.allow(provider, 1) == Passage(1)
        breaker.record(provider, Tally(ok=4, failed=4))
        passage = breaker.allow(provider, 100)
        assert (passage.units, passage.state) == (0, CircuitState.OPEN)
        assert passage.reason == "failures"
        assert 0 < passage.retry_after <= LONG.open_for * (1 + JITTER)
        time.sleep(FRESH_SECONDS)
        assert other.state(provider).state is CircuitState.OPEN
        assert other.allow(provider, 1).state is not CircuitState.CLOSED

    def test_a_smaller_part_of_failures_does_not(self, breaker: Breaker, provider: str):
        breaker.record(provider, Tally(ok=10, failed=9))
        assert breaker.allow(provider, 7) == Passage(7)

    def test_failures_met_by_several_add_up(self, make_breaker: MakeBreaker, provider: str):
        for _ in range(4):
            make_breaker({provider: RULES}).record(provider, Tally(failed=1))
        assert make_breaker({}).state(provider).state is CircuitState.OPEN

    def test_calls_that_went_well_count_though_they_are_told_later(
        self, breaker: Breaker, provider: str
    ):
        for _ in range(50):
            breaker.record(provider, Tally(ok=1))
        breaker.record(provider, Tally(failed=49))
        assert breaker.state(provider).state is CircuitState.CLOSED
        breaker.record(provider, Tally(failed=1))
        assert breaker.state(provider).state is CircuitState.OPEN

    def test_what_is_older_than_the_window_is_forgotten(
        self, make_breaker: MakeBreaker, provider: str
    ):
        breaker = make_breaker({provider: Rules(min_calls=4, window=0.4)})
        for _ in range(3):
            breaker.record(provider, Tally(failed=3))
            time.sleep(0.5)
        assert breaker.state(provider).state is CircuitState.CLOSED

    def test_refused_credentials_open_it_at_once(self, breaker: Breaker, provider: str):
        breaker.record(provider, Tally(ok=1000, failed=1, fatal=True))
        circuit = breaker.state(provider)
        assert (circuit.state, circuit.reason) == (CircuitState.OPEN, "credentials")

    def test_it_says_since_when_and_until_when(self, make_breaker: MakeBreaker, provider: str):
        breaker = make_breaker({provider: LONG})
        breaker.record(provider, FOUR_FAILURES)
        circuit = breaker.state(provider)
        assert circuit.since
        assert abs(datetime.now(UTC) - circuit.since) < timedelta(seconds=5)
        assert LONG.open_for <= seconds_open(circuit) <= LONG.open_for * (1 + JITTER)

    def test_nobody_goes_before_its_time_and_then_one_as_a_probe(
        self, breaker: Breaker, provider: str
    ):
        breaker.record(provider, FOUR_FAILURES)
        opened = time.monotonic()
        assert wait_for_probe(breaker, provider).probe
        assert time.monotonic() - opened >= RULES.open_for - 0.01
        second = breaker.allow(provider, 10)
        assert (second.units, second.state, second.probe) == (0, CircuitState.HALF_OPEN, "")
        assert 0 < second.retry_after <= 1

    def test_a_probe_that_succeeds_closes_it(self, breaker: Breaker, provider: str):
        breaker.record(provider, FOUR_FAILURES)
        probe = wait_for_probe(breaker, provider).probe
        breaker.record(provider, Tally(ok=1), probe)
        assert breaker.allow(provider, 100) == Passage(100)
        breaker.record(provider, Tally(failed=3))
        assert breaker.state(provider).state is CircuitState.CLOSED

    def test_a_probe_that_fails_opens_it_for_longer(self, breaker: Breaker, provider: str):
        breaker.record(provider, FOUR_FAILURES)
        first = seconds_open(breaker.state(provider))
        probe = wait_for_probe(breaker, provider).probe
        breaker.record(provider, Tally(failed=1), probe)
        circuit = breaker.state(provider)
        assert circuit.state is CircuitState.OPEN
        assert seconds_open(circuit) >= 2 * RULES.open_for > first

    def test_a_circuit_that_opens_again_soon_is_open_for_longer(
        self, breaker: Breaker, provider: str
    ):
        breaker.record(provider, FOUR_FAILURES)
        breaker.record(provider, Tally(ok=1), wait_for_probe(breaker, provider).probe)
        breaker.record(provider, FOUR_FAILURES)
        assert seconds_open(breaker.state(provider)) >= 2 * RULES.open_for

    def test_a_probe_that_never_comes_back_is_replaced(self, breaker: Breaker, provider: str):
        breaker.record(provider, FOUR_FAILURES)
        lost, since = wait_for_probe(breaker, provider).probe, time.monotonic()
        second = wait_for_probe(breaker, provider).probe
        assert time.monotonic() - since >= RULES.probe_for - 0.01
        breaker.record(provider, Tally(ok=1), lost)
        assert breaker.state(provider).state is CircuitState.HALF_OPEN
        breaker.record(provider, Tally(ok=1), second)
        assert breaker.state(provider).state is CircuitState.CLOSED

    def test_a_probe_that_says_nothing_of_the_provider_makes_room_for_the_next(
        self, breaker: Breaker, provider: str
    ):
        breaker.record(provider, FOUR_FAILURES)
        breaker.record(provider, Tally(), wait_for_probe(breaker, provider).probe)
        assert breaker.allow(provider, 10).units == 1

    def test_calls_that_went_well_before_do_not_speak_for_the_probe(
        self, make_breaker: MakeBreaker, breaker: Breaker, provider: str
    ):
        breaker.record(provider, Tally(ok=1))
        breaker.record(provider, Tally(ok=1))
        make_breaker({provider: RULES}).record(provider, FOUR_FAILURES)
        time.sleep(FRESH_SECONDS)
        breaker.record(provider, Tally(), wait_for_probe(breaker, provider).probe)
        assert breaker.state(provider).state is CircuitState.HALF_OPEN

    def test_what_was_sent_before_it_opened_says_nothing_new(self, breaker: Breaker, provider: str):
        breaker.record(provider, FOUR_FAILURES)
        before = breaker.state(provider)
        breaker.record(provider, Tally(ok=50, failed=50, fatal=True))
        assert breaker.state(provider) == before
        wait_for_probe(breaker, provider)
        breaker.record(provider, Tally(ok=50))
        breaker.record(provider, Tally(failed=50, fatal=True))
        assert breaker.state(provider).state is CircuitState.HALF_OPEN

    def test_to_ask_for_none_spends_no_probe(self, breaker: Breaker, provider: str):
        breaker.record(provider, FOUR_FAILURES)
        time.sleep(RULES.open_for * (1 + JITTER) + 0.01)
        assert breaker.allow(provider, 0).units == 0
        assert breaker.allow(provider, 10).units == 1

    def test_each_provider_has_its_own(self, breaker: Breaker, provider: str):
        breaker.record(provider, FOUR_FAILURES)
        assert breaker.allow(f"other-{provider}", 5) == Passage(5)

    def test_threads_that_race_get_one_probe(self, breaker: Breaker, provider: str):
        breaker.record(provider, FOUR_FAILURES)
        time.sleep(RULES.open_for * (1 + JITTER) + 0.01)
        assert sum(in_threads(8, lambda: breaker.allow(provider, 10).units)) == 1

    def test_threads_that_race_open_it_once_and_it_is_told_once(
        self, make_breaker: MakeBreaker, provider: str
    ):
        changes: list[tuple[str, str, str]] = []

        def listen(provider: str, state: str, reason: str, **_: object) -> None:
            changes.append((provider, state, reason))

        circuit_changed.connect(listen)
        try:
            breaker = make_breaker({provider: RULES})
            in_threads(8, lambda: breaker.record(provider, FOUR_FAILURES))
            breaker.record(provider, Tally(ok=1), wait_for_probe(breaker, provider).probe)
        finally:
            circuit_changed.disconnect(listen)
        assert changes == [
            (provider, CircuitState.OPEN, "failures"),
            (provider, CircuitState.HALF_OPEN, "failures"),
            (provider, CircuitState.CLOSED, ""),
        ]

    def test_over_several_processes_one_probe_is_out_at_a_time(
        self, make_breaker: MakeBreaker, provider: str
    ):
        rules = {provider: Rules(min_calls=4, open_for=0.05, probe_for=20.0)}
        make_breaker(rules).record(provider, FOUR_FAILURES)
        make = partial(make_breaker, rules)
        found = in_processes(3, probes_of_threads, make, provider, 2, 2.0)
        probes = sorted(probe for probes in found for probe in probes)
        assert len(probes) >= 3
        for (_, ended), (began, _) in pairwise(probes):
            assert began >= ended

    def test_the_clock_of_this_host_does_not_matter(
        self, make_breaker: MakeBreaker, provider: str, monkeypatch: pytest.MonkeyPatch
    ):
        breaker = make_breaker({provider: LONG})
        breaker.record(provider, FOUR_FAILURES)
        tomorrow = time.time() + 86400
        monkeypatch.setattr(time, "time", lambda: tomorrow)
        assert breaker.allow(provider, 1).units == 0
