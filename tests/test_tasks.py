"""The tasks under a real worker: what Celery is told, what it carries, what it writes down."""

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from celery.worker import state as worker_state
from django.db import connections
from django_celery_results.models import TaskResult

from notifications import tasks, transport
from notifications.enums import Channel, Priority, Status
from notifications.models import Notification
from notifications.pipeline import policy
from notifications.pipeline.publish import publish
from notifications.providers.registry import forget_providers
from notifications.providers.simulated import SimulatedProvider
from notifications.transport import broker
from notifications.worker import EmbeddedWorker
from project.celery import app as project_app
from tests.pipeline.factories import fresh, sms
from tests.processes import ROOT, wait_until

SHOWN = (
    "rate_limit",
    "retry_backoff",
    "retry_backoff_max",
    "retry_jitter",
    "max_retries",
    "acks_late",
    "soft_time_limit",
    "time_limit",
    "ignore_result",
)


@contextmanager
def running_worker() -> Iterator[None]:
    worker = EmbeddedWorker(project_app)
    assert worker.start()
    try:
        yield
    finally:
        assert worker.stop()
        connections.close_all()
        gc.collect()  # with the pool's threads go their connections: the database can be dropped


@pytest.fixture(autouse=True)
def _nothing_is_left_on_the_broker() -> Iterator[None]:
    project_app.set_current()
    broker.queues.clear()
    policy.forget()
    yield
    broker.queues.clear()
    forget_providers()


def wait_for(row: Notification, status: Status, timeout: float = 20) -> Notification:
    return wait_until(
        lambda: found if (found := fresh(row)).status == status else None,
        timeout,
        f"{status}, not {fresh(row).status}",
        every=0.02,
    )


def recorded() -> list[tuple[str, str]]:
    """(task, status) of what is written down as a result."""
    return list(TaskResult.objects.values_list("task_name", "status").order_by("task_name"))


def messages() -> int:
    return sum(len(queue) for name, queue in broker.queues.items() if name.startswith("notif"))


def test_celerys_options_are_those_of_the_settings() -> None:
    channel = {
        "WORKER_RATE_LIMIT": "7/s",
        "RETRY": {"MAX_ATTEMPTS": 4, "BACKOFF": 3, "BACKOFF_MAX": 99, "JITTER": False},
    }
    shown = options_under({"CHANNELS": {"sms": channel}, "LEASE_SECONDS": 20})
    assert shown["deliver_sms"] == {
        "rate_limit": "7/s",
        "retry_backoff": 3,
        "retry_backoff_max": 99,
        "retry_jitter": False,
        "max_retries": 3,
        "acks_late": True,
        "soft_time_limit": 40,
        "time_limit": 60,
        "ignore_result": True,
    }
    assert shown["deliver_email"] | {"max_retries": 7} == shown["deliver_email"]
    assert shown["deliver_email"]["rate_limit"] is None


def options_under(notifications: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The tasks' options in a process with these settings: they are read when it starts."""
    code = (
        "import django, json; django.setup(); from notifications import tasks;"
        f"print(json.dumps({{n: {{o: getattr(getattr(tasks, n), o) for o in {SHOWN!r}}}"
        " for n in ('deliver_email', 'deliver_sms', 'deliver_webhook')}))"
    )
    env = os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.racing.settings",
        "TEST_NOTIFICATIONS": json.dumps(notifications),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    shown: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return shown


@pytest.mark.parametrize("error", tasks.INFRASTRUCTURE)
def test_what_passes_by_itself_is_retried_by_celery(error: type[Exception]) -> None:
    assert error in tasks.deliver_sms.autoretry_for


@pytest.mark.django_db(transaction=True)
def test_a_retry_is_in_its_row_and_comes_back_by_celerys_countdown(settings: Any) -> None:
    settings.NOTIFICATIONS = {"CHANNELS": {"sms": {"RETRY": {"BACKOFF": 1, "JITTER": False}}}}
    with running_worker():
        row = sms("transient,deliver")
        waiting = wait_for(row, Status.RETRYING)
        delivered = wait_for(row, Status.DELIVERED)
    attempts = list(delivered.attempts.all())
    assert [attempt.outcome for attempt in attempts] == ["transient", "accepted"]
    assert waiting.due_at <= attempts[1].finished_at
    assert attempts[1].finished_at < waiting.publish_at, "it was the dispatcher that brought it"
    assert recorded() == []


@pytest.mark.django_db(transaction=True)
def test_a_long_delay_is_left_to_the_row() -> None:
    with running_worker():
        waiting = wait_for(sms("throttle:120"), Status.RETRYING)
        wait_until(lambda: not worker_state.active_requests)
        assert not worker_state.reserved_requests, "a countdown waits in the worker's memory"
        assert messages() == 0
    assert waiting.publish_at == waiting.due_at


@pytest.mark.django_db(transaction=True)
def test_a_retry_that_cannot_be_published_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    row = sms("transient,deliver")
    wait_until(lambda: messages() == 1)
    monkeypatch.setattr(transport, "QUEUE_MAX", 0)  # from now on the broker refuses whatever comes
    with running_worker():
        waiting = wait_for(row, Status.RETRYING)
        wait_until(lambda: not worker_state.reserved_requests)
        assert messages() == 0
        assert recorded() == []
        monkeypatch.undo()
        Notification.objects.filter(pk=row.pk).update(due_at=waiting.created_at)
        publish(Channel.SMS, Priority.NORMAL, [row.pk])  # as the dispatcher does in the end
        wait_for(row, Status.DELIVERED)


@pytest.mark.django_db(transaction=True)
def test_operations_are_recorded_and_deliveries_are_not() -> None:
    with running_worker():
        tasks.dispatch.delay()
        tasks.rescue.delay()
        wait_for(sms(), Status.DELIVERED)
        wait_until(lambda: len(recorded()) == 2)
    assert recorded() == [
        ("notifications.dispatch", "SUCCESS"),
        ("notifications.rescue", "SUCCESS"),
    ]


class Unmakeable(SimulatedProvider):
    """Nothing that the checks can see is wrong with it."""

    def __init__(self, *args: Any) -> None:
        raise RuntimeError("out of order")


@pytest.mark.django_db(transaction=True)
def test_a_delivery_task_that_fails_is_recorded_without_what_it_carried(settings: Any) -> None:
    settings.NOTIFICATIONS = {
        "CHANNELS": {"sms": {"PROVIDERS": ["gone"]}},
        "PROVIDERS": {"gone": {"BACKEND": "tests.test_tasks.Unmakeable"}},
    }
    forget_providers()
    with running_worker():
        row = sms()
        wait_until(recorded, 10, "a recorded failure")
        time.sleep(0.1)
    assert recorded() == [("notifications.deliver_sms", "FAILURE")]
    text = "".join(map(str, TaskResult.objects.values_list().get()))
    assert "+14155550123" not in text
    assert fresh(row).status == Status.QUEUED
