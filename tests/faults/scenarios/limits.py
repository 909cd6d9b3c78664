"""Limits whose memory goes away."""

import time

from tests.faults.lab import Lab
from tests.faults.scenarios.base import Size, named
from tests.faults.verdict import Verdict
from tests.servers.redis import Redis

RATE, SHARE, CHILDREN = 40, 0.1, 4
SETTLE_SECONDS = 2
"""What was granted before is sent within them."""


def limiter_killed(lab: Lab, size: Size) -> Verdict:
    """The Redis of the limits is killed: sending goes on, at no more than each process's share."""
    limiter = Redis()
    limiter.start()
    gates = {
        "BACKEND": "notifications.gates.redis",
        "OPTIONS": {"URL": limiter.url, "LOCAL_SHARE": SHARE},
    }
    try:
        with lab.stack(channel={"RATE_LIMIT": f"{RATE}/s"}, GATES=gates) as stack:
            stack.accept(size(2_000, 300))
            stack.worker()
            stack.worker()
            stack.provider.wait_for("accepted", 20)
            limiter.kill()
            stack.hurt()
            time.sleep(SETTLE_SECONDS)
            began, seconds = time.time(), size(30, 6)
            time.sleep(seconds)
            ended = time.time()
            limiter.start()
            stack.heal()
            stack.finish(size(180, 60))
            verdict = stack.judge()
            count = sum(began < line.at < ended for line in stack.provider.lines("arrived"))
            most = CHILDREN * (RATE * SHARE * (ended - began) + max(1, int(RATE * SHARE)))
            verdict.promise(0 < count <= most, f"some go, and at most {most:.0f}: {count}")
            return verdict
    finally:
        limiter.close()


SCENARIOS = named(limiter_killed)
