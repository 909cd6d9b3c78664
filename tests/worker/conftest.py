"""Embedded workers in this process, and real ones as processes of their own."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from celery import Celery
from kombu import Connection

from notifications.transport import broker
from notifications.worker import setup, ticks
from project.celery import app as project_app
from tests.processes import Process, Processes, wait_until
from tests.worker.doubles import Lab


@pytest.fixture
def make_lab(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Lab]]:
    """Makes apps for embedded workers; at the end the project's app is the default again."""
    monkeypatch.setattr(ticks, "TICK", "tests.worker.doubles.tick")
    broker.queues.clear()
    yield Lab
    broker.queues.clear()
    project_app.set_default()
    project_app.set_current()


@pytest.fixture
def lab(make_lab: type[Lab]) -> Lab:
    """An app on the embedded transport."""
    return make_lab("embedded://")


class Outside:
    """Workers of `celery_app` as processes; `traces` reads what their tasks left."""

    def __init__(self, broker_url: str, out: Path, processes: Processes) -> None:
        self.broker_url, self.out, self.processes = broker_url, out, processes
        self.app = Celery("outside", broker=broker_url, set_as_current=False)
        setup(self.app)
        project_app.set_default()
        with self.app.connection_for_write() as connection:
            _empty(connection)

    def start(self, *arguments: str, wait: bool = True, **env: str) -> Process:
        """`celery worker` with `arguments`; with `wait`, until its first tick."""
        command = [sys.executable, "-m", "celery", "-A", "tests.worker.celery_app", "worker"]
        number = len(self.processes.started)
        command += ["-l", "INFO", "-n", f"w{number}@localhost"]
        command += ["--without-mingle", "--without-gossip", *arguments]
        environ = {**os.environ, "BROKER": self.broker_url, "OUT": str(self.out), **env}
        process = self.processes.start(f"w{number}", command, environ)
        if wait:
            process.wait_for_text(" ready.", timeout=60)
        return process

    def send(self, task: str, *args: object) -> None:
        self.app.send_task(f"tests.{task}", args=args, ignore_result=True)

    def send_to(self, queue: str, task: str, *args: object, countdown: float | None = None) -> None:
        options = {"queue": queue, "countdown": countdown, "ignore_result": True}
        self.app.send_task(f"tests.{task}", args=args, **options)

    def traces(self, name: str) -> list[list[str]]:
        """What was noted under `name`: [time, process, ...] each."""
        path = self.out / name
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def wait_for(self, name: str, count: int = 1, timeout: float = 30) -> list[list[str]]:
        wait_until(lambda: len(self.traces(name)) >= count, timeout, f"{count} {name}")
        return self.traces(name)

    def kill(self, pid: str) -> None:
        os.kill(int(pid), signal.SIGKILL)


@pytest.fixture
def outside(tmp_path: Path, processes: Processes) -> Callable[[str], Outside]:
    return lambda broker_url: Outside(broker_url, tmp_path, processes)


@pytest.fixture
def on_redis(outside: Callable[[str], Outside], empty_redis: str) -> Outside:
    return outside(empty_redis)


@pytest.fixture
def on_rabbitmq(outside: Callable[[str], Outside], empty_rabbitmq: str) -> Outside:
    return outside(empty_rabbitmq)


def _empty(connection: Connection) -> None:
    with connection.channel() as channel:
        queue = connection.SimpleQueue("celery", channel=channel)
        queue.clear()
