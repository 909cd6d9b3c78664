"""Backlogs and histories of any size within seconds: rows of the product, under other ids.

Whatever columns a table has, the copies have them too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
from tqdm import tqdm

from .backlog import accept, stop, wait, workers
from .stack import Stack

CHUNK = 20_000
TENANTS = 10

NOTIFICATION, ATTEMPT, RECEIPT, TENANT = (
    f"notifications_{name}" for name in ("notification", "attempt", "receipt", "tenant")
)
NEW_ID = """(
    lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0')
    || '7' || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15)
)::uuid"""
"""A UUIDv7, which PostgreSQL makes by itself from 18 on only."""

OTHER = {
    "id": NEW_ID,
    "idempotency_key": "'copy-' || nextval('bench_copies')",
    "tenant_id": f"(SELECT min(id) FROM {TENANT}) + number % {TENANTS}",
}
SET_UP = f"""
    CREATE SEQUENCE bench_copies;
    CREATE TABLE bench_finished AS SELECT * FROM {NOTIFICATION} WHERE state = 'sent';
    CREATE TABLE bench_waiting AS SELECT * FROM {NOTIFICATION} WHERE state = 'queued';
    DELETE FROM {NOTIFICATION} WHERE state = 'queued';
"""
NOW = dict.fromkeys(("created_at", "due_at", "publish_at"), "statement_timestamp()")
NUMBERS = "generate_series(1, {}) AS number"
OF_NEW = {"notification_id": "new.id", "event_id": "new.id || ':delivered'"}


@contextmanager
def originals(stack: Stack) -> Iterator[str]:
    """The name of a database to be filled: ten tenants, and one notification, delivered."""
    with stack.database() as url:
        env = stack.on_redis(url)
        accept(env, 1)
        started = workers(stack, env)
        with tqdm(total=1, desc="the original", leave=False) as bar:
            wait(url, 1, bar)
        stop(started)
        accept(env, 1)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(SET_UP)
            name = {"name": "'tenant-' || number"}
            numbers = NUMBERS.format(TENANTS - 1)
            connection.execute(_copy(connection, TENANT, TENANT, numbers, name))
        yield urlsplit(url).path.removeprefix("/")


def add_waiting(url: str, count: int, bar: "tqdm[Any]") -> None:
    """So many more that are due, of all tenants in turn."""
    with psycopg.connect(url, autocommit=True) as connection:
        for size in _chunks(count):
            changes = OTHER | NOW
            times = NUMBERS.format(size)
            connection.execute(_copy(connection, "bench_waiting", NOTIFICATION, times, changes))
            bar.update(size)


def add_finished(url: str, count: int, bar: "tqdm[Any]") -> None:
    """So many more that were delivered, each with its attempt and its receipt."""
    with psycopg.connect(url, autocommit=True) as connection:
        for size in _chunks(count):
            times = NUMBERS.format(size)
            rows = _copy(connection, "bench_finished", NOTIFICATION, times, OTHER)
            attempts, receipts = (
                _copy(connection, table, table, "new", OF_NEW) for table in (ATTEMPT, RECEIPT)
            )
            connection.execute(
                f"WITH new AS ({rows} RETURNING id), attempts AS ({attempts}) {receipts}"
            )
            bar.update(size)


def settle_down(url: str) -> None:
    """What autovacuum and the next checkpoint would do, now; the user must be allowed to."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def _copy(
    connection: psycopg.Connection, source: str, table: str, times: str, changes: dict[str, str]
) -> str:
    """The statement that adds a row of `source` to `table` for each row of `times`."""
    described = connection.execute(f"SELECT * FROM {table} LIMIT 0").description or ()
    columns = [c.name for c in described if c.name != "id" or "id" in changes]
    values = [changes.get(column, f'original."{column}"') for column in columns]
    names = ", ".join(f'"{column}"' for column in columns)
    return (
        f"INSERT INTO {table} ({names}) SELECT {', '.join(values)} "
        f"FROM (SELECT * FROM {source} LIMIT 1) AS original, {times}"
    )


def _chunks(count: int) -> Iterator[int]:
    for start in range(0, count, CHUNK):
        yield min(CHUNK, count - start)
