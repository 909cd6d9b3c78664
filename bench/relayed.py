"""Draining what was accepted one by one, against the same number accepted in calls of 1,000.

The relay has made small messages of it, of the few ids that it gathered while they came in: two
processes with four threads each accept as fast as they can while no worker runs. The database and
what stood in the broker are copied for each round.
"""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import psycopg
import redis
from tqdm import tqdm

from tests.processes import ROOT

from .backlog import backlog, check, held_back, stop, wait, workers
from .report import Bar, Row
from .stack import Stack

COUNT, QUICK_COUNT = 10_000, 400
PROCESSES, THREADS = 2, 4
QUEUES = "notifications.*.*"
AS_IF_JUST_ACCEPTED = """
    UPDATE notifications_notification SET publish_at = statement_timestamp()
        + CASE WHEN id = ANY(%s::uuid[]) THEN interval '30 s' ELSE interval '0 s' END
"""


@dataclass(frozen=True, slots=True)
class Backlog:
    """A database to be copied, and what goes with it in the broker."""

    template: str
    messages: dict[bytes, list[bytes]] = field(default_factory=dict)

    @property
    def ids(self) -> list[list[str]]:
        """The ids in each message."""
        return [_ids(message) for queue in self.messages.values() for message in queue]


def run(stack: Stack, repeat: int, quick: bool = False) -> list[Row]:
    """Every notification must be delivered once: one attempt, one receipt."""
    count = QUICK_COUNT if quick else COUNT
    baseline_is = (
        "the same number accepted in calls of 1,000, for which the dispatcher makes messages"
    )
    rate = Row(f"relayed: {count:,} accepted one by one", "/s", baseline_is, Bar(1500))
    size = Row("relayed: ids in a message of the relay", "ids")
    bar = tqdm(total=count * (1 + 2 * repeat), unit="row")
    with bar, _accepted_one_by_one(stack, count, bar) as singles, backlog(stack, count) as calls:
        size.product.append(sum(map(len, singles.ids)) / max(1, len(singles.ids)))
        for _ in range(repeat):
            rate.product.append(_measure(stack, singles, count, "one by one", bar))
            rate.baseline.append(_measure(stack, Backlog(calls), count, "calls of 1,000", bar))
    return [rate, size]


@contextmanager
def _accepted_one_by_one(stack: Stack, count: int, bar: "tqdm[Any]") -> Iterator[Backlog]:
    bar.set_description("relayed, accepting")
    stack.empty_redis()
    with stack.database() as url:
        env = stack.on_redis(url)
        command = [sys.executable, "-m", "bench.one_by_one", str(count // PROCESSES), str(THREADS)]
        started = [
            subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            for _ in range(PROCESSES)
        ]
        for process in started:
            done = 0
            for line in process.stdout or ():
                bar.update(int(line) - done)
                done = int(line)
            assert process.wait() == 0
        yield Backlog(urlsplit(url).path.removeprefix("/"), _waiting_messages(stack))


def _waiting_messages(stack: Stack) -> dict[bytes, list[bytes]]:
    with redis.Redis.from_url(stack.redis_url) as client:
        return {queue: client.lrange(queue, 0, -1) for queue in client.scan_iter(QUEUES)}


def _ids(message: bytes) -> list[str]:
    args, _, _ = json.loads(base64.b64decode(json.loads(message)["body"]))
    found: list[str] = args[0]
    return found


def _measure(stack: Stack, held: Backlog, count: int, name: str, bar: "tqdm[Any]") -> float:
    """Notifications settled a second."""
    bar.set_description(f"relayed, {name}")
    stack.empty_redis()
    with stack.database(held.template) as url:
        _make_recent(url, held)
        with held_back(url):
            started = workers(stack, stack.on_redis(url))
        _put_back(stack, held)  # now: a message that came while its rows were held would be spent
        seconds = wait(url, count, bar)
        check(url, count)
        stop(started)
    return count / seconds


def _make_recent(url: str, held: Backlog) -> None:
    """What has a message is owed none for 30 s, as when it was accepted a moment ago."""
    relayed = [id for message in held.ids for id in message]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(AS_IF_JUST_ACCEPTED, [relayed])
        connection.execute("VACUUM ANALYZE")


def _put_back(stack: Stack, held: Backlog) -> None:
    with redis.Redis.from_url(stack.redis_url) as client:
        for queue, messages in held.messages.items():
            client.rpush(queue, *messages)
