"""The harness: real servers, a database per run, the product's processes.

TEST_DB=sqlite (the default) runs everything but the tests marked `postgres` or `processes`;
TEST_DB=postgres runs those, and again what touches Django's database. TEST_PART chooses a part: on
PostgreSQL `processes` or `long`, which is what is marked so, on SQLite `outside`, which is OUTSIDE;
on either `others`, which is the rest. Each server has a URL fixture (`redis_url`), which
TEST_REDIS_URL and the like override, and a handle that faults can be put on (`redis_server`).
"""

import os
import shutil
import signal
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from django.core.management.commands import flush as flush_command
from django.db import connection
from django.test import SimpleTestCase, TransactionTestCase
from hypothesis import HealthCheck, settings
from kombu import Connection

from notifications.gates import forget_gates
from notifications.observability import gauges, minutes
from notifications.pipeline import forecast, policy
from notifications.pipeline.publish import listeners
from notifications.pipeline.window import forget_windows
from notifications.worker.configure import queues
from tests.processes import ROOT, Processes, environment
from tests.servers import running
from tests.servers.postgres import Postgres, new_database
from tests.servers.rabbitmq import RabbitMQ, is_installed
from tests.servers.redis import Redis

listeners.add("tests")
"""They look into the broker of this process themselves, or start a worker later."""

ON_POSTGRES = os.environ.get("TEST_DB", "sqlite") == "postgres"
DATABASE_FIXTURES = {"db", "transactional_db", "live_server"}
PARTS = ("long", "processes", "others")
OUTSIDE = (
    *("acceptance", "browser", "canaries", "examples", "management", "moving", "ops", "package"),
    "worker",
)
"""Tests that use the product from the outside: they wait more than they reckon."""

ALIKE = (
    *("admin/test_every_page.py", "admin/test_german.py", "admin/test_languages.py"),
    *("api/test_every_route.py", "api/test_isolation.py", "api/test_openapi.py"),
    *("api/test_problems.py", "api/test_schemathesis.py", "api/test_scopes.py"),
    *("test_docs.py", "test_mail.py", "test_validation.py"),
)
"""What has nothing of its own to do with rows: one database judges it, or both where no part of the
suite is chosen, as in `make matrix`.
"""

PAGES = ("admin", "api", "dashboard")
"""On SQLite a run of their own, too: there the others take longest."""

MADE_BY_MIGRATE = ("django_content_type", "auth_permission")

CHOSEN = os.environ.get("TEST_PART", "").split() or (*PARTS, "outside", "pages")


# How fast an example is says more of what else the machine does than of the code.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


def pytest_configure() -> None:
    # A shell lets its background jobs ignore Ctrl-C, and they their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Whole directories of which no test is chosen."""
    is_side = collection_path.is_dir() and collection_path.parent == ROOT / "tests"
    return True if is_side and not ON_POSTGRES and _side(collection_path) not in CHOSEN else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not ON_POSTGRES:
        reason = "needs PostgreSQL: the run with TEST_DB=postgres has it"
        for item in items:
            if _needs_postgres(item):
                item.add_marker(pytest.mark.skip(reason=reason))
        chosen = [item for item in items if _side(item.path) in CHOSEN]
    else:
        chosen = [i for i in items if _differs_by_database(i) and _part_of(i) in CHOSEN]
    config.hook.pytest_deselected(items=list(set(items) - set(chosen)))
    items[:] = chosen


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    # A part of the suite in which nothing differs by database is no failure of that run.
    is_part = ON_POSTGRES or "TEST_PART" in os.environ
    if is_part and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK


def _differs_by_database(item: pytest.Item) -> bool:
    if _needs_postgres(item):
        return True
    if "TEST_PART" in os.environ and str(item.path.relative_to(ROOT / "tests")) in ALIKE:
        return False
    if item.get_closest_marker("django_db"):
        return True
    fixtures = set(getattr(item, "fixturenames", ()))
    return bool(fixtures & DATABASE_FIXTURES) or _is_django_case(item)


def _needs_postgres(item: pytest.Item) -> bool:
    return bool(item.get_closest_marker("postgres")) or _part_of(item) != "others"


def _part_of(item: pytest.Item) -> str:
    marked = (part for part in PARTS if item.get_closest_marker(part))
    return next(marked, "others")


def _side(path: Path) -> str:
    directory = path.relative_to(ROOT / "tests").parts[0]
    if directory in OUTSIDE:
        return "outside"
    return "pages" if directory in PAGES else "others"


def _is_django_case(item: pytest.Item) -> bool:
    case = getattr(item, "cls", None) or SimpleTestCase
    return issubclass(case, TransactionTestCase)


@pytest.fixture(scope="session", autouse=True)
def _servers_are_closed() -> Iterator[None]:
    yield
    running.close_all()


@pytest.fixture(scope="session", autouse=True)
def _tables_are_emptied_row_by_row() -> None:
    """After a test with transactions of its own, in a tenth of the time.

    TRUNCATE makes the files of sixty tables and indexes anew for a few rows, and Django stores
    what MADE_BY_MIGRATE are anew.
    """

    def flush(ops: Any, style: Any, tables: Iterable[str], **_: Any) -> list[str]:
        # All foreign keys are judged at the commit: the order of the tables does not matter.
        emptied = [table for table in tables if table not in MADE_BY_MIGRATE]
        return [f"DELETE FROM {ops.quote_name(table)}" for table in emptied]

    type(connection.ops).sql_flush = flush  # type: ignore[method-assign]
    flush_command.emit_post_migrate_signal = lambda *_: None


@pytest.fixture(scope="session", autouse=True)
def _counts_are_not_written() -> None:
    """By no thread of this process: it would write into a database that is the tests'."""
    minutes.is_automatic = False


@pytest.fixture(scope="session", autouse=True)
def _gauges_are_read_anew() -> None:
    """However long a busy machine takes: else a test may be shown those of the test before."""
    gauges.CHEAP_SECONDS = 60.0


@pytest.fixture(autouse=True)
def _gates_are_forgotten() -> Iterator[None]:
    """What a process has heard of circuits, paces and pauses outlasts a test's rows by a moment."""
    yield
    forget_gates()
    policy.forget()
    forecast.forget()
    minutes.recorder.discard()
    forget_windows()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(request: pytest.FixtureRequest) -> None:
    """pytest-django asks for this before it makes the test database."""
    if ON_POSTGRES:
        request.getfixturevalue("postgres_url")


@pytest.fixture(scope="session")
def postgres_server() -> Postgres:
    server = running.postgres()
    server.start()
    return server


@pytest.fixture(scope="session")
def redis_server() -> Redis:
    server = running.redis()
    server.start()
    return server


@pytest.fixture(scope="session")
def rabbitmq_server() -> RabbitMQ:
    if not is_installed():
        pytest.skip("rabbitmq-server is not on the PATH, and TEST_RABBITMQ_URL is not set")
    server = running.rabbitmq()
    server.start()
    return server


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> str:
    """A database on the server in which others may be created."""
    return _url(request, "TEST_DATABASE_URL", "postgres_server")


@pytest.fixture(scope="session")
def redis_url(request: pytest.FixtureRequest) -> str:
    return _url(request, "TEST_REDIS_URL", "redis_server")


@pytest.fixture(scope="session")
def rabbitmq_url(request: pytest.FixtureRequest) -> str:
    return _url(request, "TEST_RABBITMQ_URL", "rabbitmq_server")


def _url(request: pytest.FixtureRequest, variable: str, server: str) -> str:
    return os.environ.get(variable) or request.getfixturevalue(server).url


@pytest.fixture(scope="session")
def migrated_template(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a database with all tables, for others to be copied from."""
    with new_database(postgres_url) as url:
        processes = Processes(tmp_path_factory.mktemp("template"))
        processes.manage(environment(url, tmp_path_factory.mktemp("metrics")), "migrate")
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture
def fresh_postgres_database(postgres_url: str, migrated_template: str) -> Iterator[str]:
    """The URL of an empty, migrated database that this test and its processes have alone."""
    with new_database(postgres_url, template=migrated_template) as url:
        yield url


@pytest.fixture
def production_env(
    fresh_postgres_database: str, empty_redis: str, tmp_path: Path
) -> dict[str, str]:
    """The environment of the production shape, for subprocesses: PostgreSQL, Redis, no HTTPS."""
    env = environment(fresh_postgres_database, tmp_path / "metrics")
    return env | {"CELERY_BROKER_URL": empty_redis, "REDIS_URL": empty_redis}


@pytest.fixture
def empty_redis(redis_url: str) -> str:
    """The URL of the Redis server, with nothing in its database."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushdb()
    return redis_url


@pytest.fixture
def empty_rabbitmq(rabbitmq_url: str) -> str:
    """The URL of the RabbitMQ server, with nothing in our queues."""
    with Connection(rabbitmq_url) as connection, connection.channel() as channel:
        for queue in queues("amqp"):
            queue.bind(channel).delete()
    return rabbitmq_url


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database with all tables, for others to be copied from."""
    directory = tmp_path_factory.mktemp("migrated")
    file = directory / "db.sqlite3"
    env = environment(f"sqlite:///{file}", directory / "metrics")
    Processes(directory).manage(env, "migrate")
    return file


@pytest.fixture
def embedded_env(migrated_file: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of the embedded mode, on a migrated SQLite database of its own."""
    file = shutil.copy(migrated_file, tmp_path / "db.sqlite3")
    return environment(f"sqlite:///{file}", tmp_path / "metrics")


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    """Starts the product's processes, and ends them; a failed test shows what they wrote."""
    started = Processes(tmp_path)
    yield started
    started.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    started = getattr(item, "funcargs", {}).get("processes")
    if report.failed and report.when == "call" and started is not None:
        report.sections.append(("processes", started.logs()))
    return report
