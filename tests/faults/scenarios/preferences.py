"""Digests and quiet hours while everything is killed that has a hand in them."""

import random
import time
from collections import Counter
from uuid import UUID

from tests.faults.lab import RESCUED, Lab
from tests.faults.scenarios.base import Size, named
from tests.faults.stack import Stack
from tests.faults.verdict import Verdict
from tests.processes import Process, wait_until

RECIPIENTS = 4
QUIET, OTHER = "+14155550123", "+14155550124"
PUT_OFF = "SELECT 1 FROM notifications_notification WHERE wait_reason = 'quiet_hours'"


def digests_while_all_are_killed(lab: Lab, size: Size) -> Verdict:
    """Who gathers and who closes is killed again and again, one worker each time in the midst."""
    with lab.stack(keys=True) as stack:
        gatherers = [_gatherer(stack) for _ in range(2)]
        stack.provider.obey({"*": "accept:0.02"})
        workers = [stack.worker(TEST_MUTATION="crash_while_closing")]
        workers += [stack.worker()]

        def kill_one_of_each() -> None:
            for running, start in (
                (workers, lambda: stack.worker()),
                (gatherers, lambda: _gatherer(stack)),
            ):
                running.pop(random.randrange(len(running))).kill()
                running.append(start())

        with stack.every(size(2, 1.5), kill_one_of_each):
            most = size(10_000, 300)
            wait_until(lambda: stack.faults and len(_gathered(stack)) >= most, size(600, 90))
        for gatherer in gatherers:
            gatherer.kill()
        stack.heal()
        stack.finish(RESCUED + size(60, 20))
        stack.answered |= _gathered(stack)
        return _with_words(stack, stack.judge())


def _gatherer(stack: Stack) -> Process:
    command = ["python", "-m", "tests.faults.gathering", str(RECIPIENTS)]
    # It writes ids, and nothing is to come between them.
    return stack.processes.start("gathering", command, stack.env | {"LOG_EVENTS": "false"})


def _gathered(stack: Stack) -> set[str]:
    """The ids that were told; the last one of a killed process may be cut off."""
    logs = [p.text() for p in stack.processes.started if p.name == "gathering"]
    return {line.strip() for log in logs for line in log.splitlines(True) if line.endswith("\n")}


def _with_words(stack: Stack, verdict: Verdict) -> Verdict:
    """A word is said by what sends its digest, or by its own row where that goes alone."""
    rows = stack.query("SELECT id, state, content->>'body' FROM notifications_notification")
    taken = {UUID(line.key) for line in stack.provider.lines("accepted")}
    said = Counter(word for id, _, body in rows if id in taken for word in body.split())
    members = [(str(id), body) for id, _, body in rows if body.startswith("w") and " " not in body]
    answered = {body for id, body in members if id in stack.answered}
    verdict.lost += sum(not said[word] for word in answered)
    verdict.duplicated += sum(count > 1 for count in said.values())
    digested = sum(state == "digested" for _, state, _ in rows)
    verdict.promise(not verdict.lost, f"each word is said: {verdict.lost} are not")
    verdict.promise(not verdict.duplicated, f"no word is said twice: {verdict.duplicated} are")
    verdict.promise(digested > 100, f"much was gathered: {digested}")
    verdict.promise(verdict.faults >= 1, "it lasted until something happened")
    return verdict


def quiet_hours_while_workers_are_killed(lab: Lab, size: Size) -> Verdict:
    """What comes in quiet hours is put off, and sent once when they are over; other things go."""
    with lab.stack(keys=True) as stack:
        workers = [stack.worker(), stack.worker()]
        end = _leave_alone(stack, QUIET, size(60, 15))
        held = stack.accept(size(2_000, 100), to=QUIET, category="news")
        urgent = stack.accept(20, to=QUIET, category="news", priority="urgent")
        stack.accept(size(2_000, 100), to=OTHER, category="news")

        def kill_the_older() -> None:
            workers.pop(0).kill()
            workers.append(stack.worker())

        put_off = 0
        with stack.every(2, kill_the_older):
            while time.time() < end + 1:
                put_off = max(put_off, len(stack.query(PUT_OFF)))
                time.sleep(0.2)
        stack.finish(RESCUED + size(120, 20))
        verdict = stack.judge()
        first = {line.key: line.at for line in reversed(stack.provider.lines("arrived"))}
        early = sum(first[id] < end for id in held if id in first)
        verdict.promise(not early, f"nobody is disturbed: {early} came early")
        verdict.promise(verdict.once == len(stack.answered), f"all are sent: {verdict.once}")
        if size.full:  # at a small one, a slow machine may have spent the night starting processes
            went = sum(first[id] < end for id in urgent if id in first)
            verdict.promise(went == len(urgent), f"what is urgent is not held up: {went} went")
            verdict.promise(put_off == len(held), f"the rest waited: {put_off}")
        return verdict


def _leave_alone(stack: Stack, recipient: str, seconds: float) -> float:
    command = ["python", "-m", "tests.faults.quiet", recipient, str(seconds)]
    process = stack.processes.start("quiet", command, stack.env)
    assert process.wait(60) == 0, process.text()
    return float(process.text())


SCENARIOS = named(digests_while_all_are_killed, quiet_hours_while_workers_are_killed)
