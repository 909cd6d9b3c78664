"""Real workers, killed and confused: nothing lost, nothing twice, nothing unaccounted for."""

import itertools
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from django.db import connections

from notifications.enums import Channel
from notifications.models import Attempt, Notification
from notifications.pipeline.deliver import deliver
from tests.pipeline.factories import sms
from tests.processes import Process, Processes
from tests.racing.stack import Stack

report = logging.getLogger(__name__).info
"""Figures of a run; shown by `--log-cli-level=INFO`."""

pytestmark = pytest.mark.postgres

KILL_SECONDS = 2


def kill_every_two_seconds(stack: Stack, done: threading.Event) -> int:
    """Two workers; the older one is killed and replaced, again and again. How many kills."""
    workers: list[Process] = [stack.worker(), stack.worker()]
    for kills in itertools.count():
        if done.wait(KILL_SECONDS):
            return kills
        workers.pop(0).kill()
        workers.append(stack.worker(wait=False))
    raise AssertionError


def run_under_fire(stack: Stack, count: int, timeout: float) -> tuple[list[str], int]:
    ids, done = stack.accept(count), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        killer = pool.submit(kill_every_two_seconds, stack, done)
        try:
            stack.wait_until_done(timeout)
        finally:
            done.set()
        return ids, killer.result()


@pytest.mark.timeout(300)
def test_kills_lose_nothing_and_repeat_nothing_with_a_provider_that_honours_keys(
    processes: Processes, production_env: dict[str, str], tmp_path: Path
) -> None:
    stack = Stack(processes, production_env, tmp_path, {"HONOURS_KEY": True, "LATENCY_MS": 2})
    ids, kills = run_under_fire(stack, 10_000, timeout=240)
    assert kills >= 3, "the run was over before anything happened"
    assert stack.states() == {"sent": 10_000}
    assert set(stack.hits()) == set(ids)
    resent = sum(stack.hits().values()) - len(ids)
    assert resent <= kills * 2 * 10, "more was sent again than can have been in flight"
    report(f"{kills} kills, {resent} sends repeated under their key, 0 lost")


@pytest.mark.timeout(300)
def test_kills_send_nothing_twice_when_unknown_is_parked(
    processes: Processes, production_env: dict[str, str], tmp_path: Path
) -> None:
    stack = Stack(processes, production_env, tmp_path, {"LATENCY_MS": 5})
    ids, kills = run_under_fire(stack, 5_000, timeout=240)
    states, hits = stack.states(), stack.hits()
    assert kills >= 3, "the run was over before anything happened"
    assert set(states) <= {"sent", "unknown"}
    assert sum(states.values()) == len(ids)
    assert max(hits.values()) == 1, "something was sent twice"
    assert states["unknown"] <= kills * 2 * 10
    sent = {str(id) for (id,) in stack.query(
        "SELECT id FROM notifications_notification WHERE state = 'sent'"
    )}  # fmt: skip
    unknown = set(ids) - sent
    assert sent <= set(hits)
    ambiguous = stack.query(
        "SELECT notification_id FROM notifications_attempt WHERE outcome = 'ambiguous'"
    )
    assert {str(id) for (id,) in ambiguous} == unknown
    delivered = len(unknown & set(hits))
    report(f"{kills} kills, {len(unknown)} unknown of which {delivered} had been delivered")


@pytest.mark.timeout(120)
def test_every_message_five_times_sends_once(
    processes: Processes, production_env: dict[str, str], tmp_path: Path
) -> None:
    stack = Stack(processes, production_env, tmp_path)
    ids = stack.accept(1_000)
    stack.publish(ids, times=5)
    stack.worker()
    stack.worker()
    stack.wait_until_done(60)
    stack.publish(ids, times=5)
    time.sleep(3)
    assert stack.hits() == dict.fromkeys(ids, 1)


@pytest.mark.timeout(180)
def test_an_emptied_broker_costs_time_and_nothing_else(
    processes: Processes, production_env: dict[str, str], tmp_path: Path
) -> None:
    stack = Stack(processes, production_env, tmp_path, {"LATENCY_MS": 5}, HINT_SECONDS=3)
    ids = stack.accept(3_000)
    stack.worker()
    deadline = time.monotonic() + 30
    while stack.states()["sent"] < 300:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with redis.Redis.from_url(stack.env["CELERY_BROKER_URL"]) as broker:
        broker.flushdb()
    assert stack.waiting() > 0
    emptied = time.monotonic()
    stack.wait_until_done(60)
    assert stack.hits() == dict.fromkeys(ids, 1)
    report(f"all delivered {time.monotonic() - emptied:.1f} s after the broker was emptied")


@pytest.mark.timeout(120)
def test_a_warm_shutdown_leaves_nothing_unknown(
    processes: Processes, production_env: dict[str, str], tmp_path: Path
) -> None:
    stack = Stack(processes, production_env, tmp_path, {"LATENCY_MS": 20})
    ids = stack.accept(600)
    for _ in range(2):
        worker = stack.worker()
        time.sleep(1)
        assert worker.stop() == 0
        assert stack.states()["dispatching"] == stack.states()["leased"] == 0
    stack.worker()
    stack.wait_until_done(60)
    assert stack.states() == {"sent": 600}
    assert stack.hits() == dict.fromkeys(ids, 1)


@pytest.mark.django_db(transaction=True)
def test_two_workers_on_one_row_send_once() -> None:
    for _ in range(20):
        row, start = sms(), threading.Barrier(8)

        def race(id: Any = row.pk, start: threading.Barrier = start) -> int:
            start.wait()
            try:
                return deliver(Channel.SMS, [id]).settled
            finally:
                connections.close_all()

        with ThreadPoolExecutor(8) as pool:
            settled = [future.result() for future in [pool.submit(race) for _ in range(8)]]
        assert sum(settled) == 1
    assert Attempt.objects.count() == Notification.objects.count() == 20
