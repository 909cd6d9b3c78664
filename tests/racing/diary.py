"""A provider that writes down when it got each message, and whose it was."""

import os
import time
from pathlib import Path
from typing import NamedTuple

from notifications.messages import Message, Outcome
from tests.racing.ledger import LedgerProvider


class Entry(NamedTuple):
    key: str
    tenant: str
    at: float


class DiaryProvider(LedgerProvider):
    """Writes `key tenant time` with one atomic append, then takes LATENCY_MS to answer."""

    def hand_over(self, rendered: Message) -> Outcome:
        line = f"{rendered.key} {rendered.tenant} {time.time()}\n"
        os.write(self._file, line.encode())
        time.sleep(self._latency)
        return Outcome.accepted(f"diary-{rendered.key}")


def entries(path: Path) -> list[Entry]:
    """All that was sent, in the order of time."""
    lines = [line.split() for line in path.read_text().splitlines()]
    return sorted((Entry(key, tenant, float(at)) for key, tenant, at in lines), key=lambda e: e.at)
