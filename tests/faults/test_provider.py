"""The provider and its client: what it does, and what is honestly said of it."""

from pathlib import Path

import pytest

from notifications.enums import AttemptOutcome, Channel
from notifications.messages import Message, Outcome
from tests.faults.fake import Fake
from tests.faults.http_provider import HTTPProvider
from tests.processes import Processes


@pytest.fixture
def fake(processes: Processes, tmp_path: Path) -> Fake:
    return started(processes, tmp_path, honours_keys=False)


def started(processes: Processes, tmp_path: Path, honours_keys: bool) -> Fake:
    fake = Fake(processes, tmp_path / "log", honours_keys)
    fake.start()
    return fake


def send(fake: Fake, attempt: int = 1) -> Outcome:
    provider = HTTPProvider("fake", {"URL": fake.url}, timeout=0.5)
    return provider.hand_over(Message("key", Channel.SMS, "shop", "", {"body": ""}, {}, attempt))


def test_each_behaviour_is_told_as_what_it_is(fake: Fake) -> None:
    expected = {
        "accept": (AttemptOutcome.ACCEPTED, None),
        "hang:5": (AttemptOutcome.AMBIGUOUS, None),
        "drop": (AttemptOutcome.AMBIGUOUS, None),
        "hold": (AttemptOutcome.AMBIGUOUS, None),
        "throttle:7": (AttemptOutcome.THROTTLED, 7),
        "unavailable:3": (AttemptOutcome.TRANSIENT, 3),
        "fail": (AttemptOutcome.AMBIGUOUS, None),
        "reject": (AttemptOutcome.PERMANENT, None),
    }
    fake.obey({f"key#{n}": rule for n, rule in enumerate(expected)})
    for attempt, told in enumerate(expected.values()):
        outcome = send(fake, attempt)
        assert (outcome.kind, outcome.retry_after) == told


def test_one_that_is_not_there_certainly_took_nothing(fake: Fake) -> None:
    fake.kill()
    assert send(fake).kind is AttemptOutcome.TRANSIENT


@pytest.mark.parametrize(("honours_keys", "second"), [(True, "repeated"), (False, "accepted")])
def test_its_memory_of_keys_and_its_log_outlive_it(
    processes: Processes, tmp_path: Path, honours_keys: bool, second: str
) -> None:
    fake = started(processes, tmp_path, honours_keys)
    send(fake)
    fake.kill()
    fake.start()
    send(fake, 2)
    assert [line.what for line in fake.lines()] == ["arrived", "accepted", "arrived", second]


def test_what_is_held_goes_on_with_the_next_rule(fake: Fake) -> None:
    fake.obey({"*": "hold"})
    send(fake)
    assert [line.what for line in fake.lines()] == ["arrived"]
    fake.obey({})
    fake.wait_for("accepted")
