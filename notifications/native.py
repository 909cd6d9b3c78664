"""Statements as PostgreSQL itself keeps them: parsed and planned once for each connection.

Planning costs the server a third of its CPU for a delivery (measured, 2026-11), and it is spared
only where the project lets psycopg prepare statements: by `prepare_threshold` in the OPTIONS of
the database, which Django turns off because not every connection pooler can bear it.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .columns import Place

GROWN_BYTES = 2 << 20
"""Size of a table from which on no plan for a few keys reads all of it, as its statistics know it.

One that was made for a small table does, and would go on to when the table has grown: of 2 rows in
30 pages all was read, in 45 pages the index was taken (measured on PostgreSQL 18, 2026-11; this
is 256). Of a large one whose statistics are of yesterday, plans may do so, kept or not, until
autovacuum has analyzed it.
"""

ASK_SECONDS = 10.0
"""How long the size of a table is taken for known."""


@dataclass(frozen=True, slots=True)
class Native:
    """A statement with its constants written out and its places numbered."""

    sql: str
    places: tuple[Place, ...]
    table: str
    """What it searches for keys; empty for what searches nothing."""

    def is_safe(self, connection: Any) -> bool:
        """Whether its plan stays good however many rows there will be."""
        return not self.table or _is_grown(connection, self.table)

    def execute(self, connection: Any, cursor: Any, values: Mapping[str, Any]) -> None:
        """Run it through Django's `cursor`, which logs and counts it as any other."""
        cursor.cursor.close()
        cursor.cursor = connection.Database.RawCursor(connection.connection)
        cursor.execute(self.sql, [place.bind(values, connection) for place in self.places])


@contextmanager
def unkept(connection: Any) -> Iterator[None]:
    """Let psycopg forget the statements that run within.

    Of a connection that prepares, it counts the last hundred texts, and Django writes the values
    into them: a hundred documents of some megabytes would be held for nothing (measured, 2026-11).
    """
    connection.ensure_connection()
    raw = connection.connection
    threshold = getattr(raw, "prepare_threshold", None)
    if threshold is None:
        yield
        return
    raw.prepare_threshold = None
    try:
        yield
    finally:
        raw.prepare_threshold = threshold


def native_of(connection: Any, sql: str, params: Sequence[Any], table: str) -> Native | None:
    """What `sql` is in PostgreSQL's own words, where those are wanted and psycopg knows them."""
    if connection.vendor != "postgresql" or not hasattr(connection.Database, "RawCursor"):
        return None
    if connection.settings_dict["OPTIONS"].get("prepare_threshold") is None:
        return None
    connection.ensure_connection()
    numbers: dict[str, int] = {}
    places: list[Place] = []
    words = []
    for param in params:
        if not isinstance(param, Place):
            words.append(connection.ops.compose_sql("%s", [param]))
            continue
        if param.name not in numbers:
            places.append(param)
            numbers[param.name] = len(places)
        words.append(f"${numbers[param.name]}")
    return Native(sql % tuple(words), tuple(places), table)


_sizes: dict[tuple[str, str], tuple[float, int]] = {}
"""Of each table, by its alias and name: when it was asked for (`time.monotonic`), and its bytes."""


def _is_grown(connection: Any, table: str) -> bool:
    key, now = (connection.alias, table), time.monotonic()
    asked_at, size = _sizes.get(key, (-ASK_SECONDS, 0))
    if now - asked_at >= ASK_SECONDS:
        size = _bytes_of(connection, table)
        _sizes[key] = now, size
    return size >= GROWN_BYTES


def _bytes_of(connection: Any, table: str) -> int:
    name = connection.ops.quote_name(table)
    sql = "SELECT pg_relation_size(%s::regclass)"
    with connection.wrap_database_errors:  # past Django's cursor, which logs and counts
        size: int = connection.connection.execute(sql, [name]).fetchone()[0]
    return size
