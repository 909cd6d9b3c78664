"""The decision after an attempt, as values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifications.conf import Retry, parse
from notifications.enums import AttemptOutcome, OnUnknown
from notifications.lifecycle import Move
from notifications.messages import Outcome
from notifications.retry import RETRY_AFTER_MAX_SECONDS, Decision, History, backoff, decide

PARK, RETRY = OnUnknown.PARK, OnUnknown.RETRY
POLICY = Retry(max_attempts=3, backoff=2, backoff_max=600, jitter=False)


def decided(
    outcome: Outcome,
    spent: int = 1,
    ambiguous: bool = False,
    on_unknown: OnUnknown = PARK,
    honours_key: bool = False,
) -> Decision:
    return decide(outcome, History(spent, ambiguous), POLICY, on_unknown, honours_key)


@pytest.mark.parametrize(
    ("outcome", "given", "move"),
    [
        (Outcome.accepted(), {}, Move.ACCEPT),
        (Outcome.transient("x"), {}, Move.RETRY),
        (Outcome.transient("x"), {"spent": 3}, Move.FAIL),
        (Outcome.transient("x"), {"spent": 3, "ambiguous": True}, Move.PARK),
        (Outcome.transient("x"), {"spent": 3, "ambiguous": True, "honours_key": True}, Move.FAIL),
        (Outcome.throttled("x"), {"spent": 3}, Move.RETRY),
        (Outcome.permanent("x"), {}, Move.FAIL),
        (Outcome.permanent("x"), {"ambiguous": True}, Move.PARK),
        (Outcome.ambiguous("x"), {}, Move.PARK),
        (Outcome.ambiguous("x"), {"on_unknown": RETRY}, Move.RETRY),
        (Outcome.ambiguous("x"), {"honours_key": True}, Move.RETRY),
        (Outcome.ambiguous("x"), {"on_unknown": RETRY, "spent": 3}, Move.PARK),
        (Outcome.abandoned("x"), {"spent": 3}, Move.ABANDON),
    ],
)
def test_each_outcome_leads_where_it_must(
    outcome: Outcome, given: dict[str, object], move: Move
) -> None:
    assert decided(outcome, **given).move is move  # type: ignore[arg-type] - a table of keywords


def test_only_throttled_and_abandoned_attempts_are_free() -> None:
    free = {kind for kind in AttemptOutcome if decided(Outcome(kind)).free}
    assert free == {AttemptOutcome.THROTTLED, AttemptOutcome.ABANDONED}


def test_throttling_by_a_recipient_of_its_own_uses_up_the_attempts() -> None:
    said = Outcome.throttled("x")
    decisions = [
        decide(said, History(spent), POLICY, RETRY, honours_key=True, one_account=False)
        for spent in (1, 2, 3)
    ]
    assert [(d.move, d.free) for d in decisions] == [
        (Move.RETRY, False),
        (Move.RETRY, False),
        (Move.FAIL, False),
    ]


def test_the_delay_doubles_up_to_its_maximum() -> None:
    assert [backoff(n, POLICY) for n in (1, 2, 3, 9, 10, 1000)] == [2, 4, 8, 512, 600, 600]


def test_a_schedule_says_each_delay_and_its_last_one_repeats() -> None:
    policy = Retry(jitter=False, schedule=(5, 300, 1800))
    assert [backoff(n, policy) for n in (0, 1, 2, 3, 4, 1000)] == [5, 5, 300, 1800, 1800, 1800]


@given(st.integers(1, 20))
def test_a_schedule_is_kept_within_a_tenth(spent: int) -> None:
    policy = Retry(schedule=(5, 300, 86400))
    assert 0.9 <= backoff(spent, policy) / policy.schedule[min(spent, 3) - 1] <= 1.1


@pytest.mark.parametrize(
    ("retry", "attempts"),
    [
        ({}, 8),
        ({"SCHEDULE": [5, 300]}, 3),
        ({"SCHEDULE": [5, 300], "MAX_ATTEMPTS": 20}, 20),
        ({"SCHEDULE": []}, 8),
    ],
)
def test_a_schedule_has_an_attempt_before_each_delay_and_one_after_the_last(
    retry: dict[str, object], attempts: int
) -> None:
    parsed, problems = parse({"CHANNELS": {"webhook": {"RETRY": retry}}})
    assert not problems
    assert parsed.channel("webhook").retry.max_attempts == attempts


@pytest.mark.parametrize("schedule", [5, "5", [0], [-1], ["5"], [True], [None]])
def test_what_is_no_schedule_is_a_problem(schedule: object) -> None:
    [problem] = parse({"CHANNELS": {"sms": {"RETRY": {"SCHEDULE": schedule}}}})[1]
    assert problem.path.endswith('["SCHEDULE"]')


@given(st.integers(1, 10_000))
def test_jitter_keeps_at_least_half_of_the_delay(spent: int) -> None:
    jittered, whole = backoff(spent, Retry(jitter=True)), backoff(spent, Retry(jitter=False))
    assert whole / 2 <= jittered <= whole


@pytest.mark.parametrize(("wish", "delay"), [(None, 2), (1, 2), (30, 30), (1e9, 3600), (-5, 2)])
def test_the_providers_wish_is_honoured_within_reason(wish: float | None, delay: float) -> None:
    decision = decided(Outcome.throttled("x", retry_after=wish))
    assert decision.delay == delay <= RETRY_AFTER_MAX_SECONDS


@given(st.sampled_from(list(AttemptOutcome)), st.integers(1, 5), st.booleans(), st.booleans())
def test_what_may_have_been_delivered_is_never_called_failed(
    kind: AttemptOutcome, spent: int, keeps: bool, retries: bool
) -> None:
    decision = decided(Outcome(kind), spent, ambiguous=True, on_unknown=RETRY if retries else PARK)
    assert decision.move is not Move.FAIL
