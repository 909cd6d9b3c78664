"""A worker that no longer hears its broker helps itself; one that is merely busy is left alone."""

import time
from pathlib import Path
from typing import Protocol

import pytest
from celery import Celery

from tests.processes import Process, Processes
from tests.racing.stack import Stack

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]

WARNING = "taking a new connection"
PATIENCE_SECONDS = 4.0
"""Of the workers here: see `deafness`."""

Options = dict[str, float]


class OnBroker(Protocol):
    def __call__(self, broker: str, options: Options | None = None, **settings: object) -> Stack:
        """Processes on the broker of that name."""


@pytest.fixture
def on_broker(
    request: pytest.FixtureRequest,
    processes: Processes,
    production_env: dict[str, str],
    tmp_path: Path,
) -> OnBroker:
    def make(broker: str, options: Options | None = None, **settings: object) -> Stack:
        fixture = "empty_rabbitmq" if broker == "rabbitmq" else "empty_redis"
        env = production_env | {"CELERY_BROKER_URL": request.getfixturevalue(fixture)}
        env["PATIENCE_SECONDS"] = str(PATIENCE_SECONDS)
        return Stack(processes, env, tmp_path, options, **settings)

    return make


def start(stack: Stack, pool: str) -> Process:
    arguments = ("--concurrency", "2", "--pool", pool, "--include", "tests.racing.deafness")
    return stack.processes.worker(stack.env, *arguments)


def deafen(stack: Stack) -> None:
    app = Celery(broker=stack.env["CELERY_BROKER_URL"], set_as_current=False)
    answers = app.control.broadcast("go_deaf", reply=True, timeout=5)
    assert [list(answer.values()) for answer in answers] == [[{"ok": "deaf"}]]


@pytest.mark.parametrize(
    ("broker", "pool"),
    [
        ("redis", "prefork"),
        ("rabbitmq", "threads"),
        pytest.param("redis", "threads", marks=pytest.mark.long),
        pytest.param("rabbitmq", "prefork", marks=pytest.mark.long),
    ],
)
def test_a_worker_gone_deaf_hears_again_by_itself(
    on_broker: OnBroker, broker: str, pool: str
) -> None:
    stack = on_broker(broker)
    worker = start(stack, pool)
    stack.accept(5)
    stack.wait_until_done(60)
    deafen(stack)
    ids = stack.accept(20)
    # Its patience, and a row is asked for after 5 s: with a wide margin for a busy machine.
    stack.wait_until_done(60)
    assert {stack.hits()[id] for id in ids} == {1}
    assert worker.text().count(WARNING) == 1
    stack.accept(5)
    stack.wait_until_done(60)
    assert worker.is_running()


@pytest.mark.parametrize("broker", ["redis", pytest.param("rabbitmq", marks=pytest.mark.long)])
def test_a_worker_that_is_merely_busy_is_left_alone(on_broker: OnBroker, broker: str) -> None:
    stack = on_broker(broker, {"LATENCY_MS": 900}, BATCH_SIZE=2, HINT_SECONDS=30)
    worker = start(stack, "prefork")
    stack.accept(24)
    stack.wait_until_done(90)
    assert WARNING not in worker.text()
    assert max(stack.hits().values()) == 1


def test_a_worker_is_not_blamed_for_queues_that_it_does_not_read(on_broker: OnBroker) -> None:
    stack = on_broker("redis")
    others = "notifications.email.normal,notifications.operations"
    arguments = ("--concurrency", "1", "--include", "tests.racing.deafness", "-Q", others)
    worker = stack.processes.worker(stack.env, *arguments)
    stack.accept(5)
    time.sleep(5 + 2 * PATIENCE_SECONDS)
    assert stack.waiting() == 5
    assert WARNING not in worker.text()
