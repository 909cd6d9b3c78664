"""Where scenarios are played: makes stages, and clears them away."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.faults.fake import Fake
from tests.faults.stack import Stack, Told
from tests.processes import Processes, environment
from tests.servers.base import Server
from tests.servers.postgres import Postgres, new_database
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis

TIMEOUT = 2.0
LEASE = 6.0
RESCUED = LEASE + 15
"""Seconds in which what a lost worker held is taken in hand: lease, grace, and a round of ticks."""

BROKERS: Mapping[str, type[Redis] | type[RabbitMQ]] = {"redis": Redis, "rabbitmq": RabbitMQ}


class Lab:
    """What stages share is one PostgreSQL, of which each has a database of its own.

    Servers end with the thread that started them: a stage is made and left in one thread.
    """

    def __init__(self, directory: Path, told: Told = lambda settled, count: None) -> None:
        self.directory, self.told = directory, told
        self._open = ExitStack()
        self._lock = threading.Lock()
        self._made = 0
        self._postgres = Postgres()
        _start(self._open, self._postgres)
        self._template = self._open.enter_context(new_database(self._postgres.url))
        _migrate(directory, self._template)

    def close(self) -> None:
        self._open.close()

    @contextmanager
    def stack(
        self,
        broker: str = "redis",
        *,
        keys: bool = False,
        postgres: Postgres | None = None,
        channel: Mapping[str, Any] | None = None,
        provider: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Iterator[Stack]:
        """A stage; `keys` says whether its provider honours them, `postgres` is one to be hurt.

        `channel`, `provider` and `settings` are added to the settings of the product.
        """
        with ExitStack() as opened:
            directory = self._new_directory()
            processes = Processes(directory)
            opened.callback(processes.close)
            fake = Fake(processes, directory / "provider.log", keys)
            fake.start()
            server = BROKERS[broker]()
            _start(opened, server)
            url = self._database(opened, directory, postgres)
            env = environment(url, directory / "metrics") | {"CELERY_BROKER_URL": server.url}
            told = _settings(fake.url, keys, channel or {}, provider or {}, settings)
            stack = Stack(processes, env, told, fake, server, self.told)
            yield stack

    def _database(self, opened: ExitStack, directory: Path, postgres: Postgres | None) -> str:
        if postgres is not None:
            _start(opened, postgres)
            _migrate(directory, postgres.url)
            return postgres.url
        with self._lock:  # a template must not be in use while it is copied
            template = urlsplit(self._template).path.removeprefix("/")
            return opened.enter_context(new_database(self._postgres.url, template=template))

    def _new_directory(self) -> Path:
        with self._lock:
            self._made += 1
            directory = self.directory / str(self._made)
        directory.mkdir()
        return directory


def _settings(
    url: str,
    keys: bool,
    channel: Mapping[str, Any],
    provider: Mapping[str, Any],
    more: Mapping[str, Any],
) -> dict[str, Any]:
    retry = {"BACKOFF": 0.5, "BACKOFF_MAX": 5, "MAX_ATTEMPTS": 50}
    unused = {name: {"PROVIDERS": ["fake"]} for name in ("email", "webhook")}
    return {
        "CHANNELS": unused | {"sms": {"PROVIDERS": ["fake"], "RETRY": retry, **channel}},
        "PROVIDERS": {
            "fake": {
                "BACKEND": "tests.faults.http_provider.HTTPProvider",
                "OPTIONS": {"URL": url, "HONOURS_KEY": keys},
                "TIMEOUT": TIMEOUT,
                **provider,
            }
        },
        "LEASE_SECONDS": LEASE,
        "HINT_SECONDS": 5,
        **more,
    }


def _start(opened: ExitStack, server: Server) -> None:
    opened.callback(server.close)
    server.start()


def _migrate(directory: Path, url: str) -> None:
    Processes(directory).manage(environment(url, directory / "metrics"), "migrate")
