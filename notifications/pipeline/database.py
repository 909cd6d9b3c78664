"""The database the notifications live in: its alias, its transactions, its clock."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

from django.db import connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from ..models import Notification


def alias() -> str:
    """The alias that the project's routers give to our tables."""
    return router.db_for_write(Notification)


def connection() -> BaseDatabaseWrapper:
    return connections[alias()]


def atomic(*, savepoint: bool = True) -> AbstractContextManager[Any]:
    """A transaction, or a part of the one around it; without `savepoint` it fails as a whole."""
    return transaction.atomic(using=alias(), savepoint=savepoint)


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


def release_connection() -> None:
    """Give the connection back while a provider is talked to, by Django's own rules.

    A pooled connection goes back to its pool, one with CONN_MAX_AGE 0 is closed, a persistent
    one stays open and idle, outside of any transaction.
    """
    current = connection()
    if current.in_atomic_block:
        return
    if current.settings_dict["OPTIONS"].get("pool"):
        current.close()
    else:
        current.close_if_unusable_or_obsolete()
