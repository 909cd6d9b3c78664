"""The database the notifications live in: its alias, its transactions, its clock."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from ..models import Notification

CLOCK_SECONDS = 1.0
"""How long a reading of the database's clock is carried on by this host's own."""


def alias() -> str:
    """The alias that the project's routers give to our tables."""
    return router.db_for_write(Notification)


def connection() -> BaseDatabaseWrapper:
    return connections[alias()]


def atomic(*, savepoint: bool = True) -> AbstractContextManager[Any]:
    """A transaction, or a part of the one around it; without `savepoint` it fails as a whole."""
    return transaction.atomic(using=alias(), savepoint=savepoint)


@contextmanager
def quick() -> Iterator[None]:
    """A transaction that may be lost with the database server, though with nothing that followed.

    For what costs time alone when it is lost: its commit does not wait for the disk. Whatever is
    committed later, by anybody, takes it along (https://www.postgresql.org/docs/current/
    wal-async-commit.html).
    """
    with atomic(savepoint=False):
        if connection().vendor == "postgresql" and not _is_within_another():
            with connection().cursor() as cursor:
                cursor.execute("SET LOCAL synchronous_commit TO off")
        yield


def takes_at_once() -> bool:
    """Whether rows can be locked and changed by one statement that commits by itself."""
    return connection().vendor == "postgresql" and not connection().in_atomic_block


def _is_within_another() -> bool:
    return len(connection().atomic_blocks) > 1


def on_commit(function: Callable[[], Any]) -> None:
    """Call `function` once the surrounding transaction, if there is one, has committed."""
    transaction.on_commit(function, using=alias(), robust=True)


def now(*, lock_timeout: str = "") -> datetime:
    """The database's clock, in UTC. SQLite has none but that of its host.

    With `lock_timeout` (as `2s`), the rest of the transaction waits no longer for a row lock.
    """
    if connection().vendor != "postgresql":
        return datetime.now(UTC)
    set_timeout = ", set_config('lock_timeout', %s, true)" if lock_timeout else ""
    with connection().cursor() as cursor:
        cursor.execute(
            f"SELECT clock_timestamp(){set_timeout}", [lock_timeout] if lock_timeout else []
        )
        clock: datetime = cursor.fetchone()[0]
    return clock.astimezone(UTC)


def recent_now() -> datetime:
    """The database's clock without a statement: as it was read a moment ago, and what has passed.

    It may be late by the way of that answer, so what is due at this time is due for the database.
    """
    read_at, clock = _readings.get(alias(), (0.0, None))
    passed = time.monotonic() - read_at
    if clock is not None and passed < CLOCK_SECONDS:
        return clock + timedelta(seconds=passed)
    clock = now()
    _readings[alias()] = time.monotonic(), clock
    return clock


_readings: dict[str, tuple[float, datetime]] = {}


def release_connection() -> None:
    """Give the connection back while a provider is talked to, by Django's own rules.

    A pooled connection goes back to its pool, one with CONN_MAX_AGE 0 is closed, a persistent
    one stays open and idle, outside of any transaction. One that dies meanwhile is found out by
    the next statement, which costs less than asking it before each.
    """
    current: Any = connection()
    if current.in_atomic_block:
        return
    is_old = current.close_at is not None and time.monotonic() >= current.close_at
    if current.settings_dict["OPTIONS"].get("pool") or current.errors_occurred or is_old:
        current.close()
