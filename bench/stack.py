"""What is measured on: real servers, databases with all tables, the product's processes."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import psycopg
import redis

from tests.processes import ROOT, Processes
from tests.servers.postgres import Postgres, new_database
from tests.servers.redis import Redis

TOKEN = re.compile(r"nk_\S+")

Environment = dict[str, str]


class DurablePostgres(Postgres):
    """As it is run in production: a commit is on the disk before it is answered."""

    def command(self) -> list[str]:
        return [*super().command(), "-c", "fsync=on", "-c", "full_page_writes=on"]


class Stack:
    """Starts what is asked for, when it is asked for, and ends it; a URL given is used instead."""

    def __init__(
        self, directory: Path, postgres_url: str = "", redis_url: str = "", migrated: str = ""
    ) -> None:
        self.directory = directory
        self.processes = Processes(directory)
        self._postgres_url = postgres_url or os.environ.get("TEST_DATABASE_URL", "")
        self._migrated = migrated
        self._redis_url = redis_url or os.environ.get("TEST_REDIS_URL", "")
        self._open = ExitStack()

    def __enter__(self) -> "Stack":
        self._open.callback(self.processes.close)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            sys.stderr.write(self.processes.logs())
        self._open.close()

    @cached_property
    def postgres_url(self) -> str:
        return self._postgres_url or self._started(DurablePostgres())

    @cached_property
    def redis_url(self) -> str:
        return self._redis_url or self._started(Redis())

    @cached_property
    def migrated(self) -> str:
        """The name of a database with all tables, to be copied."""
        if self._migrated:
            return self._migrated
        url = self._open.enter_context(new_database(self.postgres_url))
        self.processes.manage(self.environment(url), "migrate")
        return urlsplit(url).path.removeprefix("/")

    @property
    def postgres_version(self) -> str:
        with psycopg.connect(self.postgres_url) as connection:
            return connection.info.parameter_status("server_version") or ""

    @property
    def redis_version(self) -> str:
        with redis.Redis.from_url(self.redis_url) as client:
            return str(client.info("server")["redis_version"])

    @contextmanager
    def database(self, template: str = "") -> Iterator[str]:
        """The URL of a copy of `template`, of an empty database with all tables without one."""
        with new_database(self.postgres_url, template=template or self.migrated) as url:
            yield url

    def environment(self, database_url: str, **more: str) -> Environment:
        """For the product's processes, in the production shape unless `more` says otherwise."""
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": os.environ.get("HOME", str(ROOT)),
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SETTINGS_MODULE": "project.settings",
            "DATABASE_URL": database_url,
            "SECRET_KEY": "for-benchmarks-only",
            "HTTPS": "false",
            "PROMETHEUS_MULTIPROC_DIR": str(self.directory / "metrics"),
        } | more

    def on_redis(self, database_url: str, **more: str) -> Environment:
        return self.environment(
            database_url, CELERY_BROKER_URL=self.redis_url, REDIS_URL=self.redis_url, **more
        )

    def make_key(self, env: Environment, tenant: str = "bench") -> str:
        """A new API key of a tenant, which is made for it."""
        written = self.processes.manage(env, "create_api_key", tenant, "--create")
        match = TOKEN.search(written)
        assert match, written
        return match[0]

    def empty_redis(self) -> None:
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushdb()

    def _started(self, server: Postgres | Redis) -> str:
        self._open.callback(server.close)
        server.start()
        return server.url
