"""Brokers, databases and web processes that go away: what was answered 202 is delivered, once."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import requests

from tests.processes import Process, Processes, wait_until
from tests.racing.stack import Stack
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(180)]

BODY = {"channel": "sms", "to": "+14155550123", "body": "Hello"}


@pytest.fixture
def broker() -> Iterator[Redis]:
    """A Redis that may be hurt: the suite's own is shared."""
    server = Redis()
    server.start()
    yield server
    server.close()


@pytest.fixture
def database() -> Iterator[Postgres]:
    """A PostgreSQL that may be hurt."""
    server = Postgres()
    server.start()
    yield server
    server.close()


class Client:
    """Posts text messages and keeps every id that was answered."""

    def __init__(self, base: str, key: str) -> None:
        self.base = base
        self.headers = {"Authorization": f"Bearer {key}"}
        self.accepted: list[str] = []

    def post(self, key: str | None = None, timeout: float = 10) -> requests.Response:
        body = BODY | ({"idempotency_key": key} if key else {})
        answer = requests.post(
            f"{self.base}/notify", json=body, headers=self.headers, timeout=timeout
        )
        if answer.status_code in (200, 202):
            self.accepted.append(answer.json()["id"])
        return answer


def web(stack: Stack, *arguments: str) -> tuple[Process, Client]:
    key = stack.processes.manage(stack.env, "create_api_key", "shop", "--create").split()[0]
    process, base = stack.processes.gunicorn(stack.env, "--workers", "2", *arguments)
    return process, Client(base, key)


@pytest.mark.parametrize("hurt", ["stop", "freeze"])
def test_a_broker_that_is_away_is_not_felt_by_clients(
    processes: Processes,
    production_env: dict[str, str],
    tmp_path: Path,
    broker: Redis,
    hurt: str,
) -> None:
    env = production_env | {"CELERY_BROKER_URL": broker.url, "REDIS_URL": broker.url}
    stack = Stack(processes, env, tmp_path)
    _, client = web(stack, "--threads", "4")
    client.post()
    getattr(broker, hurt)()
    times = []
    for _ in range(40):
        started = time.monotonic()
        assert client.post().status_code == 202
        times.append(time.monotonic() - started)
    assert max(times) < 0.5
    broker.start() if hurt == "stop" else broker.thaw()
    stack.worker()
    stack.wait_until_done(60)
    assert stack.hits() == dict.fromkeys(client.accepted, 1)


def test_a_database_that_is_away_is_a_503_and_no_more(
    processes: Processes, production_env: dict[str, str], tmp_path: Path, database: Postgres
) -> None:
    env = production_env | {"DATABASE_URL": database.url}
    processes.manage(env, "migrate")
    stack = Stack(processes, env, tmp_path)
    _, client = web(stack)
    stack.worker()
    for _ in range(20):
        client.post()
    database.kill()
    for _ in range(5):
        started = time.monotonic()
        answer = client.post()
        assert time.monotonic() - started < 3
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.headers["Content-Type"] == "application/problem+json"
    database.start()
    wait_until(lambda: client.post().status_code == 202, timeout=30, what="a 202 again")
    stack.wait_until_done(60)
    assert set(client.accepted) <= set(stack.hits()), "what was answered 202 was lost"
    assert max(stack.hits().values()) == 1


def test_killed_web_processes_and_clients_that_retry_make_one_of_each(
    processes: Processes, production_env: dict[str, str], tmp_path: Path
) -> None:
    stack = Stack(processes, production_env, tmp_path)
    process, client = web(stack)
    stack.worker()
    done, numbers = threading.Event(), itertools.count()

    def post_until_answered(number: int) -> None:
        for _ in range(100):
            try:
                if client.post(f"key-{number}").status_code in (200, 202):
                    return
            except requests.RequestException:
                time.sleep(0.05)
        raise AssertionError("never answered")

    def post() -> None:
        while not done.is_set():
            post_until_answered(next(numbers))

    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(post) for _ in range(8)]
        for _ in range(4):
            time.sleep(1.5)
            oldest(process.pid).kill()  # gunicorn starts another
        done.set()
        for future in clients:
            future.result()
    posted = next(numbers)
    assert posted > 50
    stack.wait_until_done(60)
    keys = stack.query(
        "SELECT idempotency_key, count(*) FROM notifications_notification GROUP BY 1"
    )
    assert Counter(dict(keys)) == {f"key-{number}": 1 for number in range(posted)}
    assert set(client.accepted) == set(stack.hits())
    assert max(stack.hits().values()) == 1


def test_fifty_posts_of_one_key_at_once_make_one_delivery(
    processes: Processes, production_env: dict[str, str], tmp_path: Path
) -> None:
    stack = Stack(processes, production_env, tmp_path)
    _, client = web(stack, "--threads", "16")
    stack.worker()
    start = threading.Barrier(50)

    def post(_: int) -> int:
        start.wait()
        return client.post("one").status_code

    with ThreadPoolExecutor(50) as pool:
        codes = Counter(pool.map(post, range(50)))
    assert codes == {202: 1, 200: 49}
    assert len(set(client.accepted)) == 1
    stack.wait_until_done(30)
    assert stack.hits() == {client.accepted[0]: 1}


def oldest(pid: int) -> psutil.Process:
    """The child that has been running longest, and so most likely is at work."""
    return min(psutil.Process(pid).children(), key=psutil.Process.create_time)
