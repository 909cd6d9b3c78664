"""A provider that takes down what it is given, and whose attempts come to what the test says."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ..enums import AttemptOutcome, Channel
from ..messages import Message, Outcome
from ..providers.simulated import HINT, OUTCOMES, Behaviour, SimulatedProvider
from .outbox import Sent, outbox

Step = str | Outcome

TAKEN = ("accept", "deliver", "bounce", "slow", "timeout")
"""Of the simulated behaviours those of which the recipient gets the message."""


@dataclass(slots=True)
class Script:
    """What the matching attempts come to, one after the other; the last one for all that follow."""

    steps: tuple[Step, ...]
    channel: str | None = None
    to: str | None = None
    provider: str | None = None
    used: int = 0

    def concerns(self, provider: str, message: Message) -> bool:
        pairs = (
            (self.channel, message.channel.value),
            (self.to, message.to),
            (self.provider, provider),
        )
        return all(wanted in (None, found) for wanted, found in pairs)

    def next(self) -> Step:
        step = self.steps[min(self.used, len(self.steps) - 1)]
        self.used += 1
        return step


@contextmanager
def script(
    *steps: Step,
    channel: str | None = None,
    to: str | None = None,
    provider: str | None = None,
) -> Iterator[Script]:
    """Inside the block, the attempts that match come to `steps`, the last one repeating.

    A step is a behaviour of the simulated provider, such as `transient`, `reject`, `timeout` or
    `throttle:30`, or an `Outcome`. Of two scripts that match, the inner one is followed. `used`
    says how many attempts it was asked about. Without one an attempt comes to what the
    notification's `metadata["simulate"]` says, and otherwise succeeds.
    """
    unusable = [step for step in steps if not _is_known(step)]
    if unusable or not steps:
        raise ValueError(
            f"script() takes an Outcome or a word of {', '.join(OUTCOMES)}; {unusable}"
        )
    one = Script(steps, channel, to, provider)
    _scripts.append(one)
    try:
        yield one
    finally:
        _scripts.remove(one)


_scripts: list[Script] = []


def _is_known(step: Step) -> bool:
    return isinstance(step, Outcome) or step.partition(":")[0] in OUTCOMES


def _flag(value: Any) -> bool:
    return bool(value)


class ScriptedProvider(SimulatedProvider):
    """Carries every channel into the outbox.

    `deliver_due` puts it in the place of every provider, under that one's name. Options:
    `HONOURS_KEY` and `REPORTS_DELIVERY`, what the provider it stands for is able to do.
    """

    channels = frozenset(Channel)
    concurrency = 1
    known_options: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "HONOURS_KEY": _flag,
        "REPORTS_DELIVERY": _flag,
    }

    def __init__(self, name: str, options: Mapping[str, Any], timeout: float) -> None:
        super().__init__(name, options, timeout)
        self.reports_delivery = self.options.get("REPORTS_DELIVERY", True)

    def render(self, message: Message) -> Behaviour | Outcome:
        found = (s for s in reversed(_scripts) if s.concerns(self.name, message))
        chosen = next(found, None)
        step = chosen.next() if chosen else self._unscripted(message)
        if isinstance(step, Outcome):
            return self._noted(message, step, step.kind is AttemptOutcome.ACCEPTED)
        return super().render(_told(message, step))

    def hand_over(self, rendered: Behaviour) -> Outcome:
        outcome = super().hand_over(rendered)
        return self._noted(rendered.message, outcome, rendered.word in TAKEN)

    def _takes_time(self, messages: Any) -> bool:
        return False  # in the test's own thread, which alone sees the test's transaction

    def _unscripted(self, message: Message) -> str:
        return message.metadata.get(HINT) or ("deliver" if self.reports_delivery else "accept")

    def _noted(self, message: Message, outcome: Outcome, is_taken: bool) -> Outcome:
        is_repeated = self.honours_key and outbox.has(self.name, message.key)
        if is_taken and not is_repeated:
            outbox.add(Sent(self.name, message))
        return outcome


def _told(message: Message, step: str) -> Message:
    """The message as the simulated provider understands it, with what to do."""
    return replace(message, metadata={**message.metadata, HINT: step})
