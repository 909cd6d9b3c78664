"""Statements as PostgreSQL itself keeps them: parsed and planned once for each connection.

Planning costs the server a third of its CPU for a delivery (measured, 2026-11), and it is spared
only where the project lets psycopg prepare statements: by `prepare_threshold` in the OPTIONS of
the database, which Django turns off because not every connection pooler can bear it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .columns import Place

FULL = 5
"""Rows from which on a statement is safe to keep, whatever the size of its table.

A plan made while the table is tiny (below 120 rows, measured) reads all of it, and would go on to
when it has grown. After a `prepare_threshold` of 50 such runs the table is past that.
"""

GROWN_BYTES = 1 << 20
"""Size from which on no plan for a few keys reads the whole table."""

ASK_EVERY = 50
"""So often the size of a small table is looked at, in runs for fewer rows than `FULL`."""


@dataclass(frozen=True, slots=True)
class Native:
    """A statement with its constants written out and its places numbered."""

    sql: str
    places: tuple[Place, ...]
    table: str
    """What it searches for keys; empty for what searches nothing."""

    def is_safe(self, connection: Any, count: int) -> bool:
        """Whether its plan for `count` rows stays good however many there will be."""
        return count >= FULL or not self.table or _is_grown(connection, self.table)

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


_grown: set[tuple[str, str]] = set()
_met: Counter[tuple[str, str]] = Counter()


def _is_grown(connection: Any, table: str) -> bool:
    """Whether it is known to be large; a table that grows is found out within `ASK_EVERY` runs."""
    key = connection.alias, table
    if key not in _grown:
        if _met[key] % ASK_EVERY == 0 and _bytes_of(connection, table) >= GROWN_BYTES:
            _grown.add(key)
        _met[key] += 1
    return key in _grown


def _bytes_of(connection: Any, table: str) -> int:
    name = connection.ops.quote_name(table)
    sql = "SELECT pg_relation_size(%s::regclass)"
    with connection.wrap_database_errors:  # past Django's cursor, which logs and counts
        size: int = connection.connection.execute(sql, [name]).fetchone()[0]
    return size
