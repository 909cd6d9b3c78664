"""The simulated provider: contract §3, word by word."""

import subprocess
import sys
import time
from collections import Counter
from typing import Any

import pytest

from notifications.enums import Channel, ReceiptState
from notifications.messages import Message, Outcome
from notifications.providers.base import Provider
from notifications.providers.simulated import MIX, OUTCOMES, SimulatedProvider

from .conformance import CANARY, WAIT_SECONDS, Lacks, ProviderConformance, message, send


def simulated(**options: Any) -> SimulatedProvider:
    return SimulatedProvider("simulated", options, 1.0)


@pytest.fixture
def provider() -> Provider:
    return simulated()


@pytest.fixture
def impatient() -> Provider:
    return SimulatedProvider("simulated", {}, 0.05)


def told(hint: str, channel: Channel = Channel.SMS, **values: Any) -> Message:
    return message(channel, "+14155550123", metadata={"simulate": hint}, **values)


class TestSimulatedProvider(ProviderConformance):
    judged = SimulatedProvider

    def accepted(self) -> Message:
        return told("accept")

    def transient(self) -> Message:
        return told("transient")

    def permanent(self) -> Message:
        return told("reject")

    def throttled(self) -> Lacks:
        return Lacks("its hint always says for how long")

    def throttled_for_long(self) -> Message:
        return told(f"throttle:{WAIT_SECONDS:g}")

    def credentials(self) -> Lacks:
        return Lacks("it asks for none")

    def silent(self) -> Message:
        return told("slow:1000")

    def cut(self) -> Message:
        return told("drop")

    def malformed(self) -> Lacks:
        return Lacks("it has no wire that an answer could be garbled on")


@pytest.mark.parametrize("channel", Channel)
def test_without_a_hint_every_channel_is_delivered(provider: Provider, channel: Channel):
    sent = message(channel, "anywhere")
    [outcome] = send(provider, sent)
    [receipt] = outcome.receipts
    assert receipt.kind == ReceiptState.DELIVERED
    assert receipt.event_id == f"{sent.key}:1:delivered"
    assert outcome.provider_message_id == f"sim-{sent.key}-1"


@pytest.mark.parametrize(
    ("hint", "kind", "receipts"),
    [
        ("accept", "accepted", []),
        ("deliver", "accepted", [ReceiptState.DELIVERED]),
        ("bounce", "accepted", [ReceiptState.UNDELIVERED]),
        ("reject", "permanent", []),
        ("transient", "transient", []),
        ("throttle:30", "throttled", []),
        ("timeout", "ambiguous", []),
        ("drop", "ambiguous", []),
        ("slow:1", "accepted", [ReceiptState.DELIVERED]),
    ],
)
def test_it_does_as_it_is_told(
    provider: Provider, hint: str, kind: str, receipts: list[ReceiptState]
):
    [outcome] = send(provider, told(hint))
    assert outcome.kind == kind
    assert [receipt.kind for receipt in outcome.receipts] == receipts


def test_a_sequence_has_a_word_for_each_attempt_and_the_last_repeats(provider: Provider):
    attempts = [told("transient, throttle:2,deliver", attempt=n) for n in (1, 2, 3, 4, 99)]
    outcomes = send(provider, *attempts)
    kinds = [o.kind for o in outcomes]
    assert kinds == ["transient", "throttled", "accepted", "accepted", "accepted"]
    assert outcomes[1].retry_after == 2


def test_slow_takes_its_time(provider: Provider):
    began = time.monotonic()
    [outcome] = send(provider, told("slow:200"))
    assert outcome.kind == "accepted"
    assert 0.2 <= time.monotonic() - began < 1


def test_slower_than_the_timeout_is_ambiguous(provider: Provider):
    began = time.monotonic()
    [outcome] = send(provider, told("slow:600000"))
    assert (outcome.kind, outcome.code) == ("ambiguous", "timeout")
    assert time.monotonic() - began < 3


@pytest.mark.parametrize(
    "hint",
    [
        CANARY,
        "throttle",
        "throttle:",
        "throttle:-1",
        "throttle:1e3",
        "throttle:\N{ARABIC-INDIC DIGIT THREE}",
        "slow:x",
        "accept:1",
        ",deliver",
        "DELIVER",
    ],
)
def test_an_unknown_word_is_refused_with_the_known_ones(provider: Provider, hint: str):
    [outcome] = send(provider, told(hint))
    assert (outcome.kind, outcome.code) == ("permanent", "invalid_simulate")
    assert all(word in outcome.detail for word in OUTCOMES)
    assert CANARY not in outcome.detail


def drawn(provider: Provider, count: int = 400) -> list[Outcome]:
    messages = [Message(f"key-{n}", Channel.SMS, "shop", "+1", {}) for n in range(count)]
    return send(provider, *messages)


def without_time(outcomes: list[Outcome]) -> list[tuple[Any, ...]]:
    return [(o.kind, o.code, o.provider_message_id, o.receipts) for o in outcomes]


def test_the_mix_fails_as_often_as_it_is_told_and_in_every_way():
    outcomes = drawn(simulated(FAILURE_RATE=0.5, SEED=1), 2000)
    delivered = sum(r.kind == ReceiptState.DELIVERED for o in outcomes for r in o.receipts)
    assert 900 < delivered < 1100
    kinds = Counter(o.kind for o in outcomes)
    assert set(kinds) == {"accepted", "transient", "throttled", "permanent", "ambiguous"}
    assert kinds["transient"] == pytest.approx(1000 * MIX.count("transient") / len(MIX), rel=0.2)


def test_the_same_seed_draws_the_same_and_another_draws_otherwise():
    first, again, other = (
        without_time(drawn(simulated(FAILURE_RATE=0.3, SEED=seed))) for seed in (7, 7, 8)
    )
    assert first == again != other


def test_another_process_draws_the_same():
    code = (
        "import django; django.setup()\n"
        "from tests.providers.test_simulated import *\n"
        "print(without_time(drawn(simulated(FAILURE_RATE=0.3, SEED=7), 50)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == repr(without_time(drawn(simulated(FAILURE_RATE=0.3, SEED=7), 50)))


def test_the_next_attempt_draws_anew():
    provider = simulated(FAILURE_RATE=0.5)
    attempts = [
        Message("key", Channel.SMS, "shop", "+1", {}, attempt=attempt) for attempt in range(1, 40)
    ]
    assert len({o.kind for o in send(provider, *attempts)}) > 1


def test_latency_is_taken_for_every_message():
    outcomes = send(simulated(LATENCY_MS=50), told("accept"), told("deliver"))
    assert all(outcome.seconds >= 0.05 for outcome in outcomes)


def test_those_of_a_window_wait_at_the_same_time():
    began = time.monotonic()
    send(simulated(), *(told("slow:500") for _ in range(10)))
    assert 0.5 <= time.monotonic() - began < 2.5


def test_it_honours_keys_when_it_is_told_so():
    assert simulated(HONOURS_KEY=True).honours_key
    assert not simulated().honours_key


@pytest.mark.parametrize(
    "options",
    [{"FAILURE_RATE": 1.5}, {"FAILURE_RATE": "1"}, {"LATENCY_MS": -1}, {"HONOURS_KEY": "yes"}],
)
def test_unusable_options_are_reported(options: dict[str, Any]):
    [problem] = SimulatedProvider.problems(options)
    assert next(iter(options)) in problem
