"""Every setting of Celery that would break a promise, made on purpose."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from django.core.checks import CheckMessage, run_checks
from kombu import Queue

from notifications import celery_checks
from notifications.worker import setup
from project.celery import app as project_app
from tests.processes import Processes

Found = Callable[..., list[CheckMessage]]

CANCEL = "worker_cancel_long_running_tasks_on_connection_loss"
REDIS, RABBITMQ = "redis://localhost", "amqp://localhost"


@pytest.fixture
def found() -> Iterator[Found]:
    """What is found in the settings of an app that has been set up on a broker."""

    def find(broker: str, **conf: Any) -> list[CheckMessage]:
        app = Celery("lab", broker=broker, set_as_current=False)
        app.conf.update(conf)
        setup(app)
        app.set_current()
        return run_checks(tags=[celery_checks.TAG])

    yield find
    project_app.set_default()
    project_app.set_current()


@pytest.mark.parametrize("broker", [REDIS, RABBITMQ, "rediss://h", "amqps://h", "embedded://"])
def test_what_setup_sets_has_no_problem(found: Found, broker: str) -> None:
    assert found(broker) == []


@pytest.mark.parametrize(
    ("broker", "conf", "id", "words"),
    [
        (REDIS, {"broker_transport_options": {"socket_timeout": None}}, "E009", ["socket_timeout"]),
        (RABBITMQ, {"broker_transport_options": {"read_timeout": 0}}, "E009", ["read_timeout"]),
        (RABBITMQ, {"worker_detect_quorum_queues": False}, "E010", ["DETECT_QUORUM"]),
        (
            REDIS,
            {"worker_cancel_long_running_tasks_on_connection_loss": True},
            "W004",
            ["off then"],
        ),
        (REDIS, {"task_publish_retry": False}, "W005", ["PUBLISH_RETRY_POLICY"]),
        (REDIS, {"worker_prefetch_multiplier": 0}, "W006", ["urgent", "Remove it"]),
        (RABBITMQ, {"broker_transport_options": {"confirm_publish": False}}, "W007", ["HINT_SEC"]),
        (REDIS, {"broker_connection_retry": False}, "W008", ["CELERY_BROKER_CONNECTION_RETRY "]),
        (REDIS, {"broker_connection_max_retries": 9}, "W008", ["MAX_RETRIES = 9"]),
        (RABBITMQ, {"broker_channel_error_retry": False}, "W008", ["CHANNEL_ERROR_RETRY"]),
        (REDIS, {"broker_transport_options": {"visibility_timeout": 9}}, "W009", ["180 s"]),
        (RABBITMQ, {"task_queues": [Queue("notifications.sms.bulk")]}, "W010", ["sms.bulk"]),
        (REDIS, {"worker_consumer": "celery.worker.consumer:Consumer"}, "W011", ["RATE_LIMIT"]),
    ],
)
def test_a_setting_that_breaks_a_promise_is_told_with_what_to_type(
    found: Found, broker: str, conf: dict[str, Any], id: str, words: list[str]
) -> None:
    [message] = found(broker, **conf)
    assert message.id == f"notifications.{id}"
    text = f"{message.msg} {message.hint}"
    assert all(word in text for word in words), text


def test_an_option_of_the_projects_leaves_ours_in_place(found: Found) -> None:
    assert found(REDIS, broker_transport_options={"global_keyprefix": "shop:"}) == []


def test_a_worker_starts_with_a_warning_and_not_with_an_error(
    embedded_env: dict[str, str], processes: Processes, tmp_path: Path
) -> None:
    (tmp_path / "warned.py").write_text(
        "from project.settings import *\nCELERY_TASK_PUBLISH_RETRY = False\n"
    )
    (tmp_path / "wrong.py").write_text(
        "from project.settings import *\nNOTIFICATIONS = {'NONSENSE': 1}\n"
    )
    env = embedded_env | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{sys.path[0]}"}
    worker = processes.worker(env | {"DJANGO_SETTINGS_MODULE": "warned"})
    assert "(notifications.W005)" in worker.text()
    refused = processes.worker(env | {"DJANGO_SETTINGS_MODULE": "wrong"}, wait=False)
    assert refused.wait(60) != 0
    assert "(notifications.E001)" in refused.text()
