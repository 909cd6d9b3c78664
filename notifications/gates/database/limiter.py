"""Rate limits kept in the database: a row for each limit, locked while it is read and moved on.

Two statements a call, and one row lock held between them: enough for some hundred calls a
second for one limit, each for as many units as wanted.
"""

from collections.abc import Mapping, Sequence

from django.db import transaction

from ...messages import Grant, Limit, Want
from .. import gcra
from ..base import Limiter
from .tables import CLOCK, Table

LOCK_AND_READ = {
    # The clock is read outside of the CTE and so after the wait for each lock: PostgreSQL works
    # out the columns of a SELECT … FOR UPDATE before it waits.
    "postgresql": """
        WITH locked AS MATERIALIZED (
            SELECT key, arrival FROM {table} WHERE key IN ({keys}) ORDER BY key FOR UPDATE
        )
        SELECT key, arrival, {clock} FROM locked
    """,
    # An immediate transaction holds the only lock there is.
    "sqlite": "SELECT key, arrival, {clock} FROM {table} WHERE key IN ({keys})",
}

buckets = Table("RateBucket")


class DatabaseLimiter(Limiter):
    """Counts in the table of `RateBucket`, by the database's clock.

    Call it outside of a transaction: it commits its own. SQLite needs `transaction_mode`
    IMMEDIATE, as everything here does.
    """

    def take(self, wants: Sequence[Want]) -> list[Grant]:
        keys = sorted({limit.key for want in wants for limit in want.limits})
        if not keys:
            return [Grant(want.units) for want in wants]
        while (grants := _take(wants, keys)) is None:
            _create(keys)
        return grants

    def used(self, limits: Sequence[Limit]) -> Mapping[str, float]:
        arrivals, now = _read([limit.key for limit in limits]) if limits else ({}, 0.0)
        return {limit.key: gcra.used(limit, arrivals.get(limit.key, 0.0), now) for limit in limits}


def _take(wants: Sequence[Want], keys: Sequence[str]) -> list[Grant] | None:
    """The grants, or None when a row is missing."""
    with transaction.atomic(using=buckets.alias, savepoint=False):
        arrivals, now = _lock(keys)
        if len(arrivals) < len(keys):
            return None
        before = dict(arrivals)
        grants = [gcra.take(want, arrivals, now) for want in wants]
        _save({key: arrivals[key] for key in keys if arrivals[key] != before[key]})
    return grants


def _lock(keys: Sequence[str]) -> tuple[dict[str, float], float]:
    """The arrival times, locked in the order of their keys, and the database's clock after it."""
    return _run(LOCK_AND_READ[buckets.connection.vendor], keys)


def _read(keys: Sequence[str]) -> tuple[dict[str, float], float]:
    return _run(LOCK_AND_READ["sqlite"], keys)


def _run(statement: str, keys: Sequence[str]) -> tuple[dict[str, float], float]:
    connection = buckets.connection
    sql = statement.format(
        table=connection.ops.quote_name(buckets.model._meta.db_table),
        keys=", ".join(["%s"] * len(keys)),
        clock=CLOCK[connection.vendor],
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, keys)
        rows = cursor.fetchall()
    return {key: arrival for key, arrival, _ in rows}, max((row[2] for row in rows), default=0.0)


def _save(arrivals: Mapping[str, float]) -> None:
    """Move the rows on in one statement: an upsert that always finds its row."""
    buckets.rows.bulk_create(
        [buckets.model(key=key, arrival=arrival) for key, arrival in arrivals.items()],
        update_conflicts=True,
        unique_fields=["key"],
        update_fields=["arrival"],
    )


def _create(keys: Sequence[str]) -> None:
    """Make the missing rows, in a transaction of their own.

    An insert waits for whoever is inserting the same key; waiting so with rows locked, or in
    another order than the other, would be a deadlock.
    """
    buckets.rows.bulk_create(
        [buckets.model(key=key, arrival=0.0) for key in keys], ignore_conflicts=True
    )
