"""A provider that writes down when it was called for which notification, and how to read that."""

import json
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from notifications.enums import Channel, ReceiptState
from notifications.messages import Message, Outcome, ProviderReceipt
from tests.processes import wait_until
from tests.racing.ledger import LedgerProvider

from .stack import Environment


class StampedLedger(LedgerProvider):
    """Writes the time of the call beside the key, and reports that the message was delivered.

    The time is that of `time.monotonic`, which all processes of a host share.
    """

    reports_delivery = True

    def hand_over(self, rendered: Message) -> Outcome:
        super().hand_over(rendered)
        receipt = ProviderReceipt(ReceiptState.DELIVERED, f"{rendered.key}:delivered")
        return Outcome.accepted(f"ledger-{rendered.key}", (receipt,))

    def entry(self, message: Message) -> str:
        return f"{time.monotonic():.6f} {message.key}"


def on_ledger(
    env: Environment, path: Path, *, channel: dict[str, Any] | None = None, **options: Any
) -> Environment:
    """`env` with the ledger at `path` as the provider of every channel; `channel` is for each."""
    path.unlink(missing_ok=True)
    path.touch()
    backend = f"{__name__}.{StampedLedger.__name__}"
    notifications: dict[str, Any] = {
        "CHANNELS": {name: {"PROVIDERS": ["ledger"], **(channel or {})} for name in Channel.values},
        "PROVIDERS": {"ledger": {"BACKEND": backend, "OPTIONS": {"PATH": str(path), **options}}},
    }
    if url := env.get("REDIS_URL"):
        gates = {"BACKEND": "notifications.gates.redis", "OPTIONS": {"URL": url}}
        notifications["GATES"] = gates
    return with_settings(env, **notifications)


def with_settings(env: Environment, **notifications: Any) -> Environment:
    """`env` with a NOTIFICATIONS of its own."""
    return env | {
        "DJANGO_SETTINGS_MODULE": "tests.racing.settings",
        "TEST_NOTIFICATIONS": json.dumps(notifications),
    }


def calls(path: Path) -> dict[str, float]:
    """When the provider was called for each id; AssertionError when for one of them twice."""
    text = path.read_text()
    # What is being written at this moment may have come as far as the end of a page only.
    lines = [line.split() for line in text[: text.rfind("\n") + 1].splitlines()]
    found = {id: float(at) for at, id in lines}
    assert len(found) == len(lines), f"{len(lines) - len(found)} were sent twice"
    return found


def wait_for(path: Path, ids: Collection[str], timeout: float = 30) -> dict[str, float]:
    """`calls`, once they have all of `ids`."""

    def found() -> dict[str, float]:
        seen = calls(path)
        return seen if seen.keys() >= set(ids) else {}

    return wait_until(found, timeout, f"{len(ids)} at the provider", every=0.01)
