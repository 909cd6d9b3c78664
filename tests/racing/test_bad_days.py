"""What clients are answered on bad days; `tests/faults` has what becomes of it."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.processes import Processes, wait_until
from tests.racing.stack import Stack
from tests.servers.postgres import Postgres

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]


@pytest.fixture
def database() -> Iterator[Postgres]:
    """A PostgreSQL that may be hurt."""
    server = Postgres()
    server.start()
    yield server
    server.close()


def test_a_database_that_is_away_is_a_503_and_no_more(
    processes: Processes, production_env: dict[str, str], tmp_path: Path, database: Postgres
) -> None:
    env = production_env | {"DATABASE_URL": database.url}
    processes.manage(env, "migrate")
    stack = Stack(processes, env, tmp_path)
    _, client = stack.web()
    stack.worker()
    for _ in range(20):
        client.post()
    database.kill()
    for _ in range(5):
        started = time.monotonic()
        answer = client.post()
        assert time.monotonic() - started < 5  # three, and two for a busy machine
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.headers["Content-Type"] == "application/problem+json"
    database.start()
    wait_until(lambda: client.post().status_code == 202, timeout=60, what="a 202 again")
    stack.wait_until_done(60)
    assert set(client.accepted) <= set(stack.hits()), "what was answered 202 was lost"
    assert max(stack.hits().values()) == 1


def test_fifty_posts_of_one_key_at_once_make_one_delivery(
    processes: Processes, production_env: dict[str, str], tmp_path: Path
) -> None:
    stack = Stack(processes, production_env, tmp_path)
    _, client = stack.web("--threads", "16")
    stack.worker()
    start = threading.Barrier(50)

    def post(_: int) -> int:
        start.wait()
        return client.post("one").status_code

    with ThreadPoolExecutor(50) as pool:
        codes = Counter(pool.map(post, range(50)))
    assert codes == {202: 1, 200: 49}
    assert len(set(client.accepted)) == 1
    stack.wait_until_done(60)
    assert stack.hits() == {client.accepted[0]: 1}
