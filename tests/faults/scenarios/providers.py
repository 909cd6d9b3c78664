"""Providers that hang, drop, throttle and are away."""

import time
from datetime import UTC, datetime, timedelta

from notifications.providers.base import Provider
from tests.faults.lab import TIMEOUT, Lab
from tests.faults.scenarios.base import Size, named
from tests.faults.stack import Stack
from tests.faults.verdict import Line, Verdict

STORM_SECONDS = 5


def provider_hangs(lab: Lab, size: Size) -> Verdict:
    """It takes some messages and does not answer in time; they are parked, and not sent again."""
    with lab.stack() as stack:
        return _unanswered(stack, size, "hang:30")


def provider_drops(lab: Lab, size: Size) -> Verdict:
    """It takes some messages and closes the connection; they are parked, and not sent again."""
    with lab.stack() as stack:
        return _unanswered(stack, size, "drop")


def _unanswered(stack: Stack, size: Size, rule: str) -> Verdict:
    ids = stack.accept(size(400, 60))
    silent = ids[:: size(10, 15)]
    stack.provider.obey(dict.fromkeys(silent, rule))
    stack.worker()
    stack.faults = len(silent)
    stack.finish(60 + len(silent) * TIMEOUT)
    verdict = stack.judge()
    verdict.promise(verdict.unknown == len(silent), f"they are unknown: {verdict.unknown}")
    return verdict


def provider_drops_with_keys(lab: Lab, size: Size) -> Verdict:
    """It takes all messages without an answer, twice; with keys they are sent until it answers."""
    with lab.stack(keys=True) as stack:
        ids = stack.accept(size(1_000, 60))
        stack.provider.obey({f"{id}#{attempt}": "drop" for id in ids for attempt in (1, 2)})
        stack.worker()
        stack.hurt()
        stack.finish(size(120, 60))
        verdict = stack.judge()
        verdict.promise(not verdict.unknown, f"nothing stays unknown: {verdict.unknown}")
        return verdict


def provider_throttles(lab: Lab, size: Size) -> Verdict:
    """It refuses everything with 429 for a while; nobody asks again before the time it names.

    With a budget of two attempts, which no 429 may use up.
    """
    channel = {"RETRY": {"BACKOFF": 0.2, "MAX_ATTEMPTS": 2}}
    with lab.stack(channel=channel) as stack:
        stack.provider.obey({"*": f"throttle:{STORM_SECONDS}"})
        stack.accept(size(1_000, 100))
        stack.worker()
        stack.worker()
        stack.provider.wait_for("throttle")
        stack.hurt()
        time.sleep(size(60, 11))
        stack.provider.obey({})
        stack.heal()
        stack.finish(size(600, 120))
        verdict = stack.judge()
        early = _early(stack.provider.lines())
        verdict.promise(not early, f"nobody asks before Retry-After: {early} did")
        verdict.promise(not verdict.unknown, "no attempt is in doubt")
        return verdict


def _early(lines: list[Line]) -> int:
    """How many arrived within what a 429 had named, give or take a second at both its ends."""
    refused = [line.at for line in lines if line.what == "throttle"]
    return sum(
        any(at + 1 < line.at < at + STORM_SECONDS - 1 for at in refused)
        for line in lines
        if line.what == "arrived"
    )


def provider_down(lab: Lab, size: Size) -> Verdict:
    """Its process is killed, and is not there for a minute."""
    with lab.stack() as stack:
        stack.provider.obey({"*": "accept:0.01"})
        stack.accept(size(5_000, 300))
        stack.worker()
        stack.provider.wait_for("accepted", size(500, 50))
        stack.provider.kill()
        stack.hurt()
        time.sleep(size(60, 5))
        stack.provider.start()
        stack.heal()
        stack.finish(180)
        verdict = stack.judge()
        most = 2 * Provider.window  # two processes
        verdict.promise(verdict.unknown <= most, f"what was under way: {verdict.unknown}")
        return verdict


def expiry_behind_an_open_circuit(lab: Lab, size: Size) -> Verdict:
    """It is away until all has expired: what waited for it is not sent any more."""
    circuit = {"MIN_CALLS": 5, "WINDOW": 60, "OPEN_FOR": 2}
    with lab.stack(provider={"CIRCUIT": circuit}) as stack:
        stack.provider.kill()
        expires_at = datetime.now(UTC) + timedelta(seconds=size(30, 15))
        ids = stack.accept(size(1_000, 100), expires_at=expires_at.isoformat())
        stack.worker()
        stack.hurt()
        time.sleep(max(0.0, (expires_at - datetime.now(UTC)).total_seconds()))
        stack.provider.start()
        stack.heal()
        stack.finish(60)
        verdict = stack.judge(may_end=ids)
        late = [
            line for line in stack.provider.lines("arrived") if line.at > expires_at.timestamp()
        ]
        verdict.promise(not late, f"nothing is sent after it has expired: {len(late)}")
        verdict.promise(verdict.ended == len(ids), f"all have expired: {verdict.ended}")
        return verdict


SCENARIOS = named(
    provider_hangs,
    provider_drops,
    provider_drops_with_keys,
    provider_throttles,
    provider_down,
    expiry_behind_an_open_circuit,
)
