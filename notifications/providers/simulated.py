"""A provider that sends nothing and does as it is told: for trying out, tests and benchmarks.

What an attempt comes to depends on the message and the options alone, so any number of
processes agree without sharing anything.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, ClassVar

from ..enums import Channel, ReceiptState
from ..messages import Message, Outcome, ProviderReceipt, ReceiptRequest, ReportedReceipt
from . import simulated_receipts
from .base import OneByOne

HINT = "simulate"
"""The key of a notification's metadata that says what its attempts come to."""

AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")

MIX = (
    *("transient",) * 5,
    "throttle:1",
    "reject",
    "bounce",
    "timeout",
    "drop",
)
"""What `FAILURE_RATE` draws from, evenly."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What one attempt does: `amount` is the number after the colon, 0 without one."""

    message: Message
    word: str
    amount: float


def _fraction_of_one(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError("it must be a number from 0 to 1")
    return float(value)


def _milliseconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        raise ValueError("it must be a number of milliseconds from 0 to 999,999")
    return float(value)


def _yes_or_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("it must be True or False")
    return value


def _secret(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("it must be a text that is not empty")
    return value


class SimulatedProvider(OneByOne[Behaviour]):
    """Carries every channel nowhere.

    `metadata["simulate"]` is one behaviour or several with commas between, one for each attempt,
    the last one for all that follow: accept, deliver, bounce, reject, transient,
    throttle:SECONDS, timeout, drop, slow:MILLISECONDS. Without it a message is delivered.

    Options: `FAILURE_RATE` (0 to 1) of the attempts without a hint go wrong in one of the ways of
    `MIX`, drawn by `SEED` (any text or number); every attempt takes `LATENCY_MS`;
    `HONOURS_KEY` makes it a provider of which a repeated send has no second effect;
    `LOOKS_UP` one that tells what became of a message when it is asked; `RECEIPT_TOKEN` signs the
    receipts that it is made to send.
    """

    channels = frozenset(Channel)
    concurrency = 10
    reports_delivery = True
    known_options: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "FAILURE_RATE": _fraction_of_one,
        "LATENCY_MS": _milliseconds,
        "SEED": str,
        "HONOURS_KEY": _yes_or_no,
        "LOOKS_UP": _yes_or_no,
        "RECEIPT_TOKEN": _secret,
    }

    def __init__(self, name: str, options: Mapping[str, Any], timeout: float) -> None:
        super().__init__(name, options, timeout)
        self.honours_key = self.options.get("HONOURS_KEY", False)
        self.can_look_up = self.options.get("LOOKS_UP", False)
        self.failure_rate: float = self.options.get("FAILURE_RATE", 0.0)
        self.latency: float = self.options.get("LATENCY_MS", 0.0) / 1000
        self.seed: str = self.options.get("SEED", "")

    def send(self, messages: Sequence[Message], deadline: float) -> list[Outcome]:
        if self._takes_time(messages):
            return super().send(messages, deadline)
        # Threads would cost more than there is to wait for.
        return [self._send_until(deadline, message) for message in messages]

    def render(self, message: Message) -> Behaviour | Outcome:
        hint = message.metadata.get(HINT, "")
        words = hint.split(",") if hint else [self._draw(message)]
        word, colon, amount = words[min(message.attempt, len(words)) - 1].strip().partition(":")
        if word not in OUTCOMES or bool(colon) != (word in WITH_AMOUNT):
            return INVALID
        if colon and not AMOUNT.fullmatch(amount):
            return INVALID
        return Behaviour(message, word, float(amount or 0))

    def hand_over(self, rendered: Behaviour) -> Outcome:
        seconds = self.latency + (rendered.amount / 1000 if rendered.word == "slow" else 0)
        if seconds:
            time.sleep(min(seconds, self.timeout))
        if seconds > self.timeout:
            return _timeout(rendered)
        return OUTCOMES[rendered.word](rendered)

    def look_up(self, message: Message, began: datetime, note: str = "") -> Outcome | None:
        rendered = self.render(message)
        if isinstance(rendered, Outcome):
            return None
        return ABSENT if rendered.word == "drop" else _accept(rendered)

    def read_receipts(self, request: ReceiptRequest) -> list[ReportedReceipt]:
        return simulated_receipts.read(request, self.options.get("RECEIPT_TOKEN", ""))

    def _takes_time(self, messages: Sequence[Message]) -> bool:
        return self.latency > 0 or any("slow" in m.metadata.get(HINT, "") for m in messages)

    def _draw(self, message: Message) -> str:
        if not self.failure_rate or self._lot("whether", message) >= self.failure_rate:
            return "deliver"
        return MIX[int(self._lot("how", message) * len(MIX))]

    def _lot(self, question: str, message: Message) -> float:
        """A number from 0 to below 1 that only these four decide."""
        text = f"{self.seed}:{question}:{message.attempt}:{message.key}"
        return int.from_bytes(blake2b(text.encode(), digest_size=6).digest()) / 2**48


def _accept(behaviour: Behaviour) -> Outcome:
    return Outcome.accepted(_id(behaviour.message))


def _deliver(behaviour: Behaviour) -> Outcome:
    return _accept_and_report(behaviour.message, ReceiptState.DELIVERED)


def _bounce(behaviour: Behaviour) -> Outcome:
    return _accept_and_report(behaviour.message, ReceiptState.UNDELIVERED)


def _reject(_: Behaviour) -> Outcome:
    return Outcome.permanent("rejected", "The simulated provider refused it for good.")


def _transient(_: Behaviour) -> Outcome:
    return Outcome.transient("unavailable", "The simulated provider was not able to take it.")


def _throttle(behaviour: Behaviour) -> Outcome:
    detail = "The simulated provider asked for fewer messages."
    return Outcome.throttled("throttled", detail, retry_after=behaviour.amount)


def _timeout(_: Behaviour) -> Outcome:
    return Outcome.ambiguous("timeout", "The simulated provider took it and did not answer.")


def _drop(_: Behaviour) -> Outcome:
    return Outcome.ambiguous("connection_lost", "The simulated provider hung up.")


def _accept_and_report(message: Message, kind: ReceiptState) -> Outcome:
    receipt = ProviderReceipt(kind, f"{message.key}:{message.attempt}:{kind.label}")
    return Outcome.accepted(_id(message), (receipt,))


def _id(message: Message) -> str:
    return f"sim-{message.key}-{message.attempt}"


OUTCOMES: Mapping[str, Callable[[Behaviour], Outcome]] = MappingProxyType(
    {
        "accept": _accept,
        "deliver": _deliver,
        "bounce": _bounce,
        "reject": _reject,
        "transient": _transient,
        "throttle": _throttle,
        "timeout": _timeout,
        "drop": _drop,
        "slow": _deliver,
    }
)

ABSENT = Outcome.transient("absent", "The simulated provider has never had it.")

WITH_AMOUNT = MappingProxyType({"throttle": "SECONDS", "slow": "MILLISECONDS"})

INVALID = Outcome.permanent(
    "invalid_simulate",
    f'metadata "{HINT}" may hold, separated by commas: '
    + ", ".join(f"{w}:{WITH_AMOUNT[w]}" if w in WITH_AMOUNT else w for w in OUTCOMES)
    + ".",
)
