"""Who waits for whom, by real workers: a flood delays nobody, a limit is used and kept."""

import bisect
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.processes import ROOT, Processes, measured_until, wait_until
from tests.racing import diary
from tests.racing.stack import Stack

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

report = logging.getLogger(__name__).info
"""Figures of a run; shown by `--log-cli-level=INFO`."""


LATE = 1.1
"""On a busy machine what was granted just before a second may be sent within it."""


def stack_with(
    processes: Processes, env: dict[str, str], directory: Path, latency_ms: int, **settings: Any
) -> Stack:
    options = {"PATH": str(directory / "ledger"), "LATENCY_MS": latency_ms}
    provider = {
        "BACKEND": "tests.racing.diary.DiaryProvider",
        "OPTIONS": options,
        "TIMEOUT": 1,
    }
    gates = {"BACKEND": "notifications.gates.redis", "OPTIONS": {"URL": env["REDIS_URL"]}}
    settings = {"PROVIDERS": {"ledger": provider}, "GATES": gates, "LEASE_SECONDS": 20} | settings
    return Stack(processes, env, directory, **settings)


def flood(stack: Stack, count: int, seconds: float) -> dict[str, dict[str, float]]:
    """Accept a flood and a trickle beside it; by kind, the times at which ids were accepted."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.racing.flood", str(count), str(seconds)],
        env=stack.env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    accepted: dict[str, dict[str, float]] = {}
    for id, kind, at in map(str.split, done.stdout.splitlines()):
        accepted.setdefault(kind, {})[id] = float(at)
    return accepted


def test_a_flood_of_one_tenant_delays_neither_another_nor_what_is_urgent(
    processes: Processes, production_env: dict[str, str], tmp_path: Path
) -> None:
    """The flood takes 10 s at the least; in the order of coming all would wait for its end."""
    stack = stack_with(processes, production_env, tmp_path, latency_ms=20)
    for _ in range(2):
        stack.worker()
    accepted = flood(stack, count=2000, seconds=6)
    stack.wait_until_done(240)
    sent = {entry.key: entry.at for entry in diary.entries(stack.ledger)}
    for kind, ids in accepted.items():
        delays = sorted(sent[id] - at for id, at in ids.items())
        left = max(sent.values()) - min(ids.values())
        report(f"{kind}: median {delays[len(delays) // 2]:.2f} s, worst {delays[-1]:.2f} s")
        assert delays[-1] < left / 2, f"{kind} waited for the flood, which took {left:.1f} s more"
    assert max(stack_hits(stack).values()) == 1


def stack_hits(stack: Stack) -> dict[str, int]:
    hits: dict[str, int] = {}
    for entry in diary.entries(stack.ledger):
        hits[entry.key] = hits.get(entry.key, 0) + 1
    return hits


def pushes(stack: Stack) -> int:
    """How many messages were put on the broker in all."""
    with redis.Redis.from_url(stack.env["CELERY_BROKER_URL"]) as broker:
        return int(broker.info("commandstats").get("cmdstat_lpush", {}).get("calls", 0))


def send(stack: Stack, count: int) -> list[float]:
    """The times of the next so many calls of the provider."""
    before = len(diary.entries(stack.ledger))
    wait_until(lambda: len(diary.entries(stack.ledger)) >= before + count, 90)
    return [entry.at for entry in diary.entries(stack.ledger)][before:]


def rate_of(times: list[float]) -> float:
    return (len(times) - 1) / (times[-1] - times[0])


@pytest.mark.parametrize("scope", ["channel", pytest.param("tenant", marks=pytest.mark.long)])
def test_a_limit_is_used_and_kept_with_few_messages(
    processes: Processes, production_env: dict[str, str], tmp_path: Path, scope: str
) -> None:
    """50 a second over four processes, with a backlog of thousands."""
    limited: dict[str, Any] = {"TENANT_RATE_LIMIT": "50/s"}
    if scope == "channel":
        limited = {"CHANNELS": {"sms": {"PROVIDERS": ["ledger"], "RATE_LIMIT": "50/s"}}}
    stack = stack_with(processes, production_env, tmp_path, latency_ms=1, **limited)
    before = pushes(stack)
    stack.accept(3000)
    for _ in range(2):
        stack.worker()
    send(stack, 150)  # what was saved up is gone by then
    rate = measured_until(lambda rate: rate >= 0.95 * 50, lambda: rate_of(send(stack, 400)))
    times = [entry.at for entry in diary.entries(stack.ledger)]
    messages = (pushes(stack) - before) / len(times)
    densest = max(bisect.bisect_left(times, at + 1) - i for i, at in enumerate(times))
    report(f"{scope}: {rate:.1f}/s, densest second {densest}, {messages:.2f} messages for each")
    assert densest <= 100 * LATE
    assert rate >= 0.95 * 50
    assert messages <= 1.2
