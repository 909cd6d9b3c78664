"""Accepting one by one: `POST /notify` against a bare DRF view that inserts the same row."""

import json
import subprocess
import sys
from typing import Any
from urllib.parse import urlsplit

import psycopg
from tqdm import tqdm

from tests.processes import ROOT

from .report import Bar, Row
from .stack import Environment, Stack

COUNT, QUICK_COUNT = 3000, 100
WARM_UP = 100
CONNECTIONS = 4

SERVER = ("--workers", "1", "--threads", str(CONNECTIONS), "--keep-alive", "60")
"""One process, so that what is compared is its work and not how the machine shares its cores."""

TABLE = "notifications_notification"


def run(stack: Stack, repeat: int, quick: bool = False) -> list[Row]:
    """Both servers stand on one PostgreSQL database, empty before each measurement."""
    count = QUICK_COUNT if quick else COUNT
    row = Row(
        "accept: POST /notify, one by one",
        "/s",
        "a DRF APIView with a serializer that inserts the same row; no key, no relay",
        Bar(0.8, of="ratio"),
    )
    with stack.database() as url, tqdm(total=2 * repeat * count, unit="post") as bar:
        env = stack.on_redis(url)
        key = stack.make_key(env)
        product = _Server("product", stack, env, key)
        baseline = _Server(
            "baseline", stack, {**env, "DJANGO_SETTINGS_MODULE": "bench.settings"}, key
        )
        for _ in range(repeat):
            row.product.append(product.measure(count, bar))
            row.baseline.append(baseline.measure(count, bar))
    return [row]


class _Server:
    """gunicorn in an environment, and a client that is another process."""

    def __init__(self, name: str, stack: Stack, env: Environment, key: str) -> None:
        self.name, self.stack, self.key = name, stack, key
        self.database_url = env["DATABASE_URL"]
        _, url = stack.processes.gunicorn(env, *SERVER)
        self.address = urlsplit(url)

    def measure(self, count: int, bar: "tqdm[Any]") -> float:
        """Notifications accepted a second; raises AssertionError when one is missing."""
        bar.set_description(f"accept, {self.name}")
        self._empty()
        self._post(WARM_UP, None)
        self._empty()
        seconds = self._post(count, bar)
        with psycopg.connect(self.database_url) as connection:
            stored = connection.execute(f"SELECT count(*) FROM {TABLE}").fetchone()
        assert stored == (count,), f"{count} were accepted, {stored} are stored"
        return count / seconds

    def _empty(self) -> None:
        self.stack.empty_redis()
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute(f"TRUNCATE {TABLE} CASCADE")

    def _post(self, count: int, bar: "tqdm[Any] | None") -> float:
        host, port = str(self.address.hostname), str(self.address.port)
        command = [sys.executable, "-m", "bench.client", host, port, self.key]
        command += [str(count), str(CONNECTIONS)]
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
