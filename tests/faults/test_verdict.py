"""The judge: what it convicts, and what it lets pass."""

from typing import Any

import pytest

from tests.faults.verdict import Line, Row, Verdict, judge

ID = "one"


def row(state: str = "sent", outcomes: tuple[str, ...] = ("accepted",), **values: Any) -> Row:
    count = values.get("attempt_count", len(outcomes))
    return Row(ID, state, count, values.get("duplicate_risk", False), outcomes)


def log(*what: str) -> list[Line]:
    """An arrival for each, and what became of it."""
    steps = [(n, step) for n, word in enumerate(what, 1) for step in ("arrived", word)]
    return [Line(float(n), ID, n, step) for n, step in steps]


def judged(row: Row | None, lines: list[Line], **options: Any) -> Verdict:
    return judge([ID], lines, [row] if row else [], **options)


def test_what_is_sent_once_is_no_matter() -> None:
    verdict = judged(row(), log("accepted"))
    assert (verdict.accepted, verdict.once, verdict.broken) == (1, 1, [])


def test_what_is_unknown_is_counted_with_whether_it_was_delivered() -> None:
    verdict = judged(row("unknown", ("ambiguous",)), log("accepted"))
    assert (verdict.unknown, verdict.unknown_delivered, verdict.broken) == (1, 1, [])
    verdict = judged(row("unknown", ("ambiguous",)), [])
    assert (verdict.unknown, verdict.unknown_delivered, verdict.broken) == (1, 0, [])


@pytest.mark.parametrize("lost", [None, row(), row("failed", ("permanent",)), row("cancelled", ())])
def test_what_was_answered_and_never_delivered_is_lost(lost: Row | None) -> None:
    verdict = judged(lost, [])
    assert verdict.lost == 1
    assert verdict.broken


def test_what_may_end_unsent_is_not_lost() -> None:
    verdict = judged(row("expired", ()), [], may_end=[ID])
    assert (verdict.lost, verdict.ended, verdict.broken) == (0, 1, [])


@pytest.mark.parametrize("state", ["queued", "leased", "dispatching", "retry_wait"])
def test_what_is_still_open_is_stuck(state: str) -> None:
    verdict = judged(row(state, ()), [])
    assert verdict.stuck == 1
    assert verdict.broken


def test_two_effects_are_a_duplicate_unless_the_row_admits_the_risk() -> None:
    twice = ("ambiguous", "accepted")
    assert judged(row("sent", twice), log("accepted", "accepted")).duplicated == 1
    risky = row("sent", twice, duplicate_risk=True)
    assert judged(risky, log("accepted", "accepted")).duplicated == 1
    assert judged(risky, log("accepted", "accepted"), may_repeat=True).broken == []


def test_a_repeat_that_the_provider_saw_through_is_no_duplicate() -> None:
    assert judged(row("sent", ("ambiguous", "accepted")), log("accepted", "repeated")).broken == []


@pytest.mark.parametrize(
    ("row", "lines"),
    [
        (row("failed", ("permanent",)), log("accepted")),
        (row("sent", ("accepted",)), log("fail", "accepted")),
        (row("unknown", (), attempt_count=1), log("accepted")),
        (row("sent", ("ambiguous",)), log("accepted")),
    ],
    ids=["failed but delivered", "sent unmarked", "no record", "sent without acceptance"],
)
def test_a_row_that_contradicts_the_log_is_illegal(row: Row, lines: list[Line]) -> None:
    verdict = judge([ID], lines, [row], may_end=[ID])
    assert len(verdict.illegal) == 1
    assert verdict.broken


def test_what_was_sent_without_a_row_is_illegal() -> None:
    assert len(judge([], log("accepted"), []).illegal) == 1
