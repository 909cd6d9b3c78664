"""A provider with a record of its own: every message it got, in a file that survives any crash."""

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from notifications.enums import Channel
from notifications.messages import Message, Outcome
from notifications.providers.base import OneByOne


class LedgerProvider(OneByOne[Message]):
    """Writes the key of each message with one atomic append, then takes LATENCY_MS to answer.

    With HONOURS_KEY it promises what a provider with idempotency keys does: the second send of
    a key has no effect. Its effects are then the distinct keys in the file.
    """

    channels = frozenset(Channel)
    known_options: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "PATH": str,
        "HONOURS_KEY": bool,
        "LATENCY_MS": float,
    }

    def __init__(self, name: str, options: Mapping[str, Any], timeout: float) -> None:
        super().__init__(name, options, timeout)
        self.honours_key = self.options.get("HONOURS_KEY", False)
        self._latency = self.options.get("LATENCY_MS", 0) / 1000
        self._file = os.open(self.options["PATH"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def render(self, message: Message) -> Message:
        return message

    def hand_over(self, rendered: Message) -> Outcome:
        os.write(self._file, f"{self.entry(rendered)}\n".encode())
        time.sleep(self._latency)
        return Outcome.accepted(f"ledger-{rendered.key}")

    def entry(self, message: Message) -> str:
        """What is written of a message: one line, whatever it says besides the key."""
        return message.key


def hits(path: Path) -> Counter[str]:
    """How often each key was sent."""
    return Counter(path.read_text().split())
