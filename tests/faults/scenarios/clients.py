"""What clients do, and what is done to the processes that answer them."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psutil

from tests.faults.lab import Lab
from tests.faults.scenarios.base import Size, named
from tests.faults.verdict import Verdict
from tests.processes import wait_until


def web_processes_killed(lab: Lab, size: Size) -> Verdict:
    """Processes that answer clients are killed; the clients try again under their keys."""
    with lab.stack() as stack:
        gunicorn, client = stack.web()
        stack.worker()
        with stack.clients(client, 8), stack.every(1, lambda: _kill_the_oldest(gunicorn.pid)):
            time.sleep(size(60, 5))
            wait_until(lambda: stack.faults >= 3, 120)
        stack.finish(size(120, 60))
        verdict = stack.judge()
        verdict.promise(len(stack.rows()) == verdict.accepted, "a key is one notification")
        verdict.promise(not verdict.unknown, "no attempt is in doubt")
        verdict.promise(verdict.faults >= 3, "it lasted until something happened")
        return verdict


def _kill_the_oldest(pid: int) -> None:
    """It has been running longest, and so most likely is at work; gunicorn starts another."""
    with suppress(psutil.NoSuchProcess, ValueError):
        min(psutil.Process(pid).children(), key=psutil.Process.create_time).kill()


def cancels_race_with_sends(lab: Lab, size: Size) -> Verdict:
    """Every second notification is cancelled while all are being sent; 200 means never."""
    with lab.stack() as stack:
        stack.provider.obey({"*": "accept:0.01"})
        _, client = stack.web("--threads", "4")
        ids = stack.accept(size(4_000, 400))
        stack.worker()
        stack.provider.wait_for("accepted")

        def cancel(id: str) -> tuple[str, int, float]:
            return id, client.cancel(id), time.time()

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(cancel, random.sample(ids, len(ids) // 2)))
        stack.hurt()
        stack.finish(60)
        cancelled = {id: at for id, status, at in answers if status == 200}
        verdict = stack.judge(may_end=[id for id, status, _ in answers if status < 300])
        ended = {row.id for row in stack.rows() if row.state == "cancelled"}
        late = [
            ln for ln in stack.provider.lines("arrived") if ln.at > cancelled.get(ln.key, ln.at)
        ]
        codes = {status for _, status, _ in answers}
        verdict.promise(not late, f"nothing is sent after the answer: {len(late)}")
        verdict.promise(ended >= set(cancelled), "what was answered 200 is cancelled")
        verdict.promise(codes <= {200, 202, 409}, f"answers are 200, 202 or 409: {codes}")
        verdict.promise({200, 409} <= codes, f"there was a race: {codes}")
        return verdict


SCENARIOS = named(web_processes_killed, cancels_race_with_sends)
