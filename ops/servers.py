"""PostgreSQL and Redis from the wheels that the tests use too, with data that stays.

`python -m ops.servers postgres` becomes that server, in the foreground. The environment says which:
UP_DIRECTORY where its data is, DATABASE_URL or REDIS_URL on which port; `ops.up` sets them.
"""

import os
import pwd
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers.base import Server
from tests.servers.postgres import Postgres
from tests.servers.redis import Redis

DURABLE = ("fsync=on", "full_page_writes=on")


class Kept(Server):
    """A server with its data in a directory that stays."""

    def __init__(self, directory: Path, port: int) -> None:
        super().__init__()
        self.port = port
        self._kept = directory / self.name

    @property
    def directory(self) -> Path:
        return self._kept

    def is_made(self) -> bool:
        return self._kept.exists()

    def become(self) -> None:
        """Turn this process into the server."""
        if not self.is_made():
            self._kept.mkdir(parents=True, exist_ok=True)
            self.prepare()
        command = self.command()
        os.chdir(self._kept)
        if user := self.user():
            _become_user(user)
        self._end_with_parent()
        os.execv(command[0], command)


class KeptPostgres(Kept, Postgres):
    """As in production: a commit is on the disk before it is answered."""

    def is_made(self) -> bool:
        return (self.directory / "data" / "PG_VERSION").exists()

    def prepare(self) -> None:
        if (user := self.user()) and not _can_enter(self.directory, user):
            raise SystemExit(
                f"PostgreSQL does not run as root, and {user} cannot enter {self.directory}. "
                "Run `make up` as another user, or give it a DATABASE_URL."
            )
        super().prepare()

    def command(self) -> list[str]:
        return [*super().command(), *(part for option in DURABLE for part in ("-c", option))]


class KeptRedis(Kept, Redis):
    """With its append-only file; nothing depends on it."""


SERVERS: Mapping[str, tuple[type[Kept], str]] = {
    "postgres": (KeptPostgres, "DATABASE_URL"),
    "redis": (KeptRedis, "REDIS_URL"),
}
"""By their names in the `Procfile`: the class, and the variable that holds the URL."""


def kept(name: str, environment: Mapping[str, str]) -> Kept:
    """The server that the environment speaks of."""
    kind, variable = SERVERS[name]
    port = urlsplit(environment[variable]).port
    assert port, f"{variable} names no port"
    return kind(Path(environment["UP_DIRECTORY"]), port)


def _can_enter(directory: Path, user: str) -> bool:
    done = subprocess.run(["test", "-x", str(directory)], user=user, cwd="/")
    return done.returncode == 0


def _become_user(name: str) -> None:
    user = pwd.getpwnam(name)
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)


if __name__ == "__main__":
    kept(sys.argv[1], os.environ).become()
