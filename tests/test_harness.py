"""The harness itself, where tests rely on more than that it starts."""

import os
import socket
import sys
import time

import psycopg
import pytest
import redis
from django.db import connection

from tests.processes import Processes, wait_until
from tests.servers.postgres import Postgres, new_database
from tests.servers.redis import Redis


def test_a_killed_postgres_keeps_what_was_committed() -> None:
    server = Postgres()
    try:
        server.start()
        with new_database(server.url) as url:
            with psycopg.connect(url) as client:
                client.execute("CREATE TABLE kept AS SELECT 1 AS one")
            server.kill()
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(url, connect_timeout=2)
            server.start()
            with psycopg.connect(url) as client:
                assert client.execute("SELECT one FROM kept").fetchone() == (1,)
    finally:
        server.close()


def test_a_frozen_redis_is_silent_until_it_is_thawed() -> None:
    server = Redis()
    try:
        server.start()
        client = redis.Redis.from_url(server.url, socket_timeout=0.2, retry=None)
        server.freeze()
        with pytest.raises(redis.TimeoutError):
            client.ping()
        server.thaw()
        assert wait_until(client.ping)
    finally:
        server.close()


def test_each_fresh_database_is_migrated_and_empty(fresh_postgres_database: str) -> None:
    with psycopg.connect(fresh_postgres_database) as client:
        row = client.execute("SELECT count(*) FROM notifications_notification").fetchone()
    assert row == (0,)


@pytest.mark.django_db
def test_the_database_is_the_one_that_was_asked_for() -> None:
    wanted = {"sqlite": "sqlite", "postgres": "postgresql"}
    assert connection.vendor == wanted[os.environ.get("TEST_DB", "sqlite")]


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_what_is_marked_postgres_runs_there() -> None:
    assert connection.vendor == "postgresql"


def test_a_killed_process_takes_its_children_along(processes: Processes) -> None:
    child = "import time; time.sleep(60)"
    code = (
        "import subprocess, sys\n"
        f"p = subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "print('child', p.pid, flush=True)\np.wait()"
    )
    process = processes.start("parent", [sys.executable, "-c", code], {})
    process.wait_for_text("child")
    pid = int(process.text().split()[1])
    process.kill()
    wait_until(lambda: not _is_running(pid))


def test_waiting_for_a_process_that_has_died_shows_its_output(processes: Processes) -> None:
    process = processes.start("dying", [sys.executable, "-c", "raise SystemExit('alas')"], {})
    started = time.monotonic()
    with pytest.raises(AssertionError, match="alas"):
        process.wait_for_http(f"http://127.0.0.1:{_closed_port()}", timeout=30)
    assert time.monotonic() - started < 10


def _is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
