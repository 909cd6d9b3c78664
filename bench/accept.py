"""Accepting over HTTP, one by one and in calls of 1,000, against bare DRF views.

The bare views insert the same rows and do no more.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psycopg
from tqdm import tqdm

from tests.processes import ROOT

from .report import Bar, Row
from .stack import Environment, Stack

CONNECTIONS = 4

SERVER = ("--workers", "1", "--threads", str(CONNECTIONS), "--keep-alive", "60")
"""One process, so that what is compared is its work and not how the machine shares its cores."""

TABLE = "notifications_notification"


@dataclass(frozen=True, slots=True)
class Load:
    """So many notifications, so many in each call; so many before, to warm up."""

    count: int
    size: int = 1
    warm_up: int = 100


ONE_BY_ONE, IN_CALLS = Load(3000), Load(20_000, size=1000, warm_up=4000)
QUICK_ONE_BY_ONE, QUICK_IN_CALLS = Load(50, warm_up=10), Load(200, size=100, warm_up=100)


def run(stack: Stack, repeat: int, quick: bool = False) -> list[Row]:
    """Both servers stand on one PostgreSQL database, empty before each measurement."""
    one_by_one = Row(
        "accept: POST /notify, one by one",
        "/s",
        "a DRF APIView with a serializer that inserts the same rows; no key, no relay",
        Bar(0.8, of="ratio"),
    )
    in_calls = Row(
        "accept: POST /notify/batch, in calls of 1,000",
        "/s",
        one_by_one.baseline_is,
        Bar(8000),
    )
    loads = [
        (one_by_one, QUICK_ONE_BY_ONE if quick else ONE_BY_ONE),
        (in_calls, QUICK_IN_CALLS if quick else IN_CALLS),
    ]
    total = 2 * repeat * sum(load.count for _, load in loads)
    with stack.database() as url, tqdm(total=total, unit="notification") as bar:
        product, baseline = _servers(stack, url)
        for row, load in loads * repeat:
            row.product.append(product.measure(load, bar))
            row.baseline.append(baseline.measure(load, bar))
    return [one_by_one, in_calls]


def _servers(stack: Stack, database_url: str) -> "tuple[_Server, _Server]":
    env = stack.on_redis(database_url)
    key = stack.make_key(env)
    bare = {**env, "DJANGO_SETTINGS_MODULE": "bench.settings"}
    return _Server("product", stack, env, key), _Server("baseline", stack, bare, key)


class _Server:
    """gunicorn in an environment, and a client that is another process."""

    def __init__(self, name: str, stack: Stack, env: Environment, key: str) -> None:
        self.name, self.stack, self.key = name, stack, key
        self.database_url = env["DATABASE_URL"]
        _, url = stack.processes.gunicorn(env, *SERVER)
        self.address = urlsplit(url)

    def measure(self, load: Load, bar: "tqdm[Any]") -> float:
        """Notifications accepted a second; raises AssertionError when one is missing."""
        bar.set_description(f"accept, {self.name}")
        self._empty()
        self._post(load.warm_up, load.size, None)
        self._empty()
        seconds = self._post(load.count, load.size, bar)
        with psycopg.connect(self.database_url) as connection:
            stored = connection.execute(f"SELECT count(*) FROM {TABLE}").fetchone()
        assert stored == (load.count,), f"{load.count} were accepted, {stored} are stored"
        return load.count / seconds

    def _empty(self) -> None:
        self.stack.empty_redis()
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(f"TRUNCATE {TABLE} CASCADE")

    def _post(self, count: int, size: int, bar: "tqdm[Any] | None") -> float:
        host, port = str(self.address.hostname), str(self.address.port)
        command = [sys.executable, "-m", "bench.client", host, port, self.key]
        command += [str(count), str(CONNECTIONS), str(size)]
        client = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        last, done = "", 0
        for last in client.stdout or ():
            if bar is not None and last.strip().isdigit():
                bar.update(int(last) - done)
                done = int(last)
        assert client.wait() == 0, "the client failed"
        told = json.loads(last)
        assert told["statuses"] == {"202": count}, told
        return float(told["seconds"])
