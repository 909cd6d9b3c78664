"""`make up`, from the first start to the last process gone."""

import os
import re
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from ops.up import environment
from tests.processes import ROOT, Process, Processes, wait_until
from tests.servers.base import free_port

pytestmark = pytest.mark.timeout(300)

KEY = re.compile(r"nk_\S+")
KEPT = ("PATH", "HOME", "LANG", "PIP_INDEX_URL", "PIP_CONFIG_FILE", "PIP_CACHE_DIR")


@pytest.fixture
def directory() -> Iterator[Path]:
    """One that PostgreSQL's user can enter too, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="notifications-up-") as found:
        Path(found).chmod(0o755)
        yield Path(found)


class Up:
    """`make up` on a port of its own, with all the processes it has started."""

    def __init__(self, processes: Processes, directory: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        env = {name: os.environ[name] for name in KEPT if name in os.environ}
        command = ["make", "-C", str(ROOT), "up", f"ARGS=--directory {directory}/up"]
        env |= {"PORT": str(self.port), "SECRET_KEY": "for-tests-only"}
        self.process: Process = processes.start("up", command, env)
        self.process.wait_for_text("Ctrl-C drains", timeout=200)
        self.process.wait_for_http(f"{self.url}/healthz", timeout=60)

    def family(self) -> list[psutil.Process]:
        make = psutil.Process(self.process.pid)
        return [make, *make.children(recursive=True)]

    def names(self) -> str:
        return "\n".join(" ".join(process.cmdline()) for process in self.family())


class Client:
    def __init__(self, up: Up, key: str) -> None:
        self.url = up.url
        self.headers = {"Authorization": f"Bearer {key}"}

    def notify(self, simulate: str) -> str:
        body = {"channel": "sms", "to": "+14155550123", "body": "Hello"}
        body |= {"metadata": {"simulate": simulate}}
        answer = requests.post(f"{self.url}/notify", json=body, headers=self.headers, timeout=10)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def get(self, id: str) -> dict[str, Any]:
        url = f"{self.url}/notifications/{id}"
        found: dict[str, Any] = requests.get(url, headers=self.headers, timeout=10).json()
        return found

    def wait_for(self, status: str, id: str) -> dict[str, Any]:
        return wait_until(
            lambda: found if (found := self.get(id))["status"] == status else None,
            timeout=30,
            what=status,
        )


def test_it_runs_delivers_drains_and_leaves_nothing_but_its_data(
    processes: Processes, directory: Path
) -> None:
    first = Up(processes, directory)
    key = KEY.search(first.process.text())
    assert key, first.process.text()
    for name in ("bin/postgres", "redis-server", "gunicorn", "worker-1@", "worker-2@"):
        assert name in first.names()
    client = Client(first, key[0])
    client.wait_for("delivered", client.notify("deliver"))

    slow = client.notify("slow:3000")
    client.wait_for("sending", slow)
    family = first.family()
    first.process.stop(timeout=60)
    assert "Stopped." in first.process.text()
    assert not psutil.wait_procs(family, timeout=30)[1]

    begun = time.monotonic()
    second = Up(processes, directory)
    assert time.monotonic() - begun < 30, "a second start takes seconds"
    assert not KEY.search(second.process.text()), "a key is shown only once"
    found = Client(second, key[0]).get(slow)
    assert (found["status"], found["attempt_count"]) == ("delivered", 1), "it was not let finish"

    family = second.family()
    second.process.signal(signal.SIGINT)  # to the group, as a terminal's Ctrl-C
    second.process.wait(60)
    assert not psutil.wait_procs(family, timeout=30)[1]


def test_a_port_in_use_is_said_in_one_line(processes: Processes, directory: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        env = {"PATH": os.environ["PATH"], "PORT": str(port)}
        process = processes.start("up", ["make", "-C", str(ROOT), "up"], env)
        assert process.wait(60) != 0
    assert f"Cannot serve on 127.0.0.1:{port}" in process.text()
    assert "make up PORT=" in process.text()


def test_servers_that_are_given_are_used_and_the_others_are_its_own() -> None:
    given = {"PATH": "", "DATABASE_URL": "postgres://db.example.com/x"}
    env = environment(Path("var"), given)
    assert env["DATABASE_URL"] == given["DATABASE_URL"]
    assert env["REDIS_URL"].startswith("redis://127.0.0.1:")
    broker = {"CELERY_BROKER_URL": "amqp://mq.example.com//"}
    assert (
        environment(Path("var"), {"PATH": "", **broker})["CELERY_BROKER_URL"]
        == (broker["CELERY_BROKER_URL"])
    )
    redis = {"REDIS_URL": "redis://redis.example.com/1"}
    assert (
        environment(Path("var"), {"PATH": "", **redis})["CELERY_BROKER_URL"] == (redis["REDIS_URL"])
    )
