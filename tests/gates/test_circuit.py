"""The breaker's decisions, on a clock that the test sets."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.conf import CircuitSettings, parse
from notifications.enums import CircuitState
from notifications.gates.circuit import (
    CREDENTIALS,
    FAILURES,
    JITTER,
    LONGEST,
    Book,
    Rules,
    allow,
    record,
    tally,
)
from notifications.messages import Outcome, Tally

START = 1_800_000_000.0
RULES = Rules()
CLOSED, HALF_OPEN, OPEN = CircuitState.CLOSED, CircuitState.HALF_OPEN, CircuitState.OPEN


def after(book: Book, tally: Tally, now: float, *, probe: str = "", luck: float = 0.0) -> Book:
    return record(book, tally, probe, now, RULES, luck)[1]


def opened(now: float = START, book: Book | None = None, luck: float = 0.0) -> Book:
    return after(book or Book(), Tally(failed=10), now, luck=luck)


def probing(book: Book, now: float) -> Book:
    passage, probing = allow(book, 5, "probe", now, RULES)
    assert (passage.units, passage.probe) == (1, "probe")
    return probing


def test_only_the_providers_own_faults_count():
    assert tally(
        [
            Outcome.accepted(),
            Outcome.permanent("no_such_user"),
            Outcome.transient("smtp_451"),
            Outcome.ambiguous("timeout"),
            Outcome.throttled("rate"),
            Outcome.abandoned("deadline"),
        ]
    ) == Tally(ok=2, failed=2, fatal=False)


def test_refused_credentials_are_fatal():
    assert tally([Outcome.accepted(), Outcome.transient("credentials")]) == Tally(1, 1, True)


def test_no_outcomes_come_to_nothing():
    assert tally([]) == Tally()


@given(
    st.lists(st.tuples(st.floats(0, 30), st.integers(0, 20), st.integers(0, 20)), max_size=40),
    st.floats(0.05, 1),
    st.integers(1, 50),
)
def test_it_opens_when_and_only_when_the_window_holds_too_many_failures(
    calls: list[tuple[float, int, int]], ratio: float, least: int
):
    rules, book, now = Rules(failure_ratio=ratio, min_calls=least), Book(), START
    made: list[tuple[int, int, int]] = []
    for passed, ok, failed in calls:
        now += passed
        slot = int(now // 6)
        made = [call for call in [*made, (slot, ok, failed)] if call[0] > slot - 10]
        _, book = record(book, Tally(ok, failed), "", now, rules, 0.0)
        total = sum(ok + failed for _, ok, failed in made)
        bad = sum(failed for *_, failed in made)
        assert (book.state is OPEN) == (total >= least and bad >= ratio * total)
        if book.state is OPEN:
            return


@given(st.floats(0, 1))
def test_the_open_time_is_as_set_and_a_quarter_longer_at_most(luck: float):
    book = opened(luck=luck)
    assert (book.state, book.reason, book.since) == (OPEN, FAILURES, START)
    assert book.until - book.since == pytest.approx(RULES.open_for * (1 + JITTER * luck), abs=1e-5)


def test_the_open_time_doubles_with_each_vain_probe_up_to_ten_times():
    book, times = opened(), []
    for _ in range(8):
        times.append((book.until - book.since) / RULES.open_for)
        half_open = probing(book, book.until)
        book = after(half_open, Tally(failed=1), book.until + 1, probe="probe")
    assert times == [1, 2, 4, 8, LONGEST, LONGEST, LONGEST, LONGEST]


def test_closed_for_a_whole_window_it_begins_with_the_first_open_time_again():
    half_open = probing(opened(), START + 31)
    closed = after(half_open, Tally(ok=1), START + 32, probe="probe")
    assert closed == Book(CLOSED, since=START + 32, trips=1)
    soon, late = opened(START + 40, closed), opened(START + 100, closed)
    assert (soon.until - soon.since, late.until - late.since) == (60, 30)


def test_a_probe_refused_for_its_credentials_says_so():
    half_open = probing(opened(), START + 31)
    book = after(half_open, Tally(failed=1, fatal=True), START + 32, probe="probe")
    assert (book.state, book.reason) == (OPEN, CREDENTIALS)


def test_without_a_probe_out_nobody_speaks_for_it():
    half_open = replace(probing(opened(), START + 31), probe="")
    assert after(half_open, Tally(ok=1), START + 32) == half_open


def test_a_clock_set_back_by_a_day_does_not_keep_it_open():
    assert allow(opened(), 5, "probe", START - 86400, RULES)[0].units == 1
    half_open = probing(opened(), START + 31)
    assert allow(half_open, 5, "second", START - 86400, RULES)[0].probe == "second"


def test_calls_from_the_future_are_forgotten():
    book = after(Book(), Tally(failed=9), START)
    assert after(book, Tally(failed=9), START - 86400).state is CLOSED


def test_a_provider_has_the_rules_of_its_settings():
    circuit = CircuitSettings(failure_ratio=0.2, min_calls=5, window=30, open_for=9)
    rules = Rules.of(circuit, timeout=20)
    assert rules == Rules(0.2, 5, 30, 9, probe_for=25)


@pytest.mark.parametrize(
    ("key", "value"),
    [("FAILURE_RATIO", 1.5), ("MIN_CALLS", 0), ("WINDOW", 0), ("OPEN_FOR", "30"), ("OPEN", 1)],
)
def test_unusable_circuit_settings_are_reported(key: str, value: object):
    provider = {"BACKEND": "a.b", "CIRCUIT": {key: value}}
    [problem] = parse({"PROVIDERS": {"mine": provider}})[1]
    assert problem.path == f'["PROVIDERS"]["mine"]["CIRCUIT"]["{key}"]'
