"""Two of everything that would be enough once."""

import re
from concurrent.futures import ThreadPoolExecutor

from celery import Celery

from tests.faults.lab import RESCUED, Lab
from tests.faults.scenarios.base import Size, named
from tests.faults.stack import Stack
from tests.faults.verdict import Verdict

TIMES = 20


AGE = """
WITH old AS (
    SELECT id FROM notifications_notification WHERE state = 'sent' ORDER BY id LIMIT 150
), attempts AS (
    UPDATE notifications_attempt
    SET notification_id = overlay(notification_id::text PLACING '0180' FROM 1 FOR 4)::uuid
    WHERE notification_id IN (SELECT id FROM old)
), notifications AS (
    UPDATE notifications_notification
    SET id = overlay(id::text PLACING '0180' FROM 1 FOR 4)::uuid,
        created_at = created_at - interval '1 year', settled_at = settled_at - interval '1 year'
    WHERE id IN (SELECT id FROM old) RETURNING 1
)
SELECT count(*) FROM notifications
"""
"""Gives rows an id of the year 2022, too: pruning goes by the time in it."""


def two_of_everything(lab: Lab, size: Size) -> Verdict:
    """Dispatchers and rescuers by the dozen at once, with a lost worker's rows; two that prune."""
    with lab.stack() as stack:
        stack.provider.obey({"*": "accept:0.01"})
        stack.accept(size(3_000, 300))
        lost = stack.worker()
        stack.provider.wait_for("accepted", 20)
        lost.kill()
        stack.hurt()
        stack.worker()
        stack.worker()
        _ask(stack, "dispatch", "rescue")
        stack.provider.wait_for("accepted", size(1_000, 200))
        _ask(stack, "dispatch", "rescue")
        stack.finish(RESCUED + size(120, 30))
        verdict = stack.judge()
        _prune_twice(stack, verdict)
        return verdict


def _ask(stack: Stack, *tasks: str) -> None:
    app = Celery(broker=stack.env["CELERY_BROKER_URL"])
    for name in tasks * TIMES:
        app.send_task(f"notifications.{name}", queue="notifications.operations")


def _prune_twice(stack: Stack, verdict: Verdict) -> None:
    """Some of what is sent is made old, and two prune at once: those go, and are counted once."""
    [(old,)] = stack.query(AGE)
    before = len(stack.rows())
    with ThreadPoolExecutor(2) as pool:
        manage = [
            pool.submit(stack.processes.manage, stack.env, "prune_notifications") for _ in range(2)
        ]
    pruned = sum(_count(run.result()) for run in manage)
    left = len(stack.rows())
    verdict.promise(before - left == old > 0, f"what is old goes: {before} - {left} = {old}")
    verdict.promise(pruned == old, f"and is counted once: {pruned} of {old}")


def _count(told: str) -> int:
    match = re.search(r"([\d,]+) notifications", told)
    assert match, told
    return int(match[1].replace(",", ""))


SCENARIOS = named(two_of_everything)
