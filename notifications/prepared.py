"""Statements that the ORM writes once and that run many times.

Building an UPDATE costs the ORM more than running it costs the database: measured, compiling was
half of the CPU of a delivery. Here a statement is built from slots and columns instead of values;
its SQL is kept, and each run only binds the values. The ORM stays the one author of the SQL.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from django.db import connections, models, transaction
from django.db.models.constants import OnConflict
from django.db.models.expressions import DatabaseDefault
from django.db.models.sql import InsertQuery, UpdateQuery

from .columns import FOUND, Cell, Column, Place, Unnest, Values
from .native import Native, native_of, unkept

Rows = models.QuerySet[Any, Any]
Build = Callable[[int], tuple[Rows, Values]]
NOTHING: Mapping[int, Any] = MappingProxyType({})

Source = Callable[[str, "models.Field[Any, Any]"], models.Expression]


@dataclass(frozen=True, slots=True)
class Target:
    """Where found rows go: their `names`, in the order of the selection.

    One that has the same `unique_fields` takes over the `update_fields`, and is one more in the
    `counter`.
    """

    model: type[models.Model]
    names: Sequence[str]
    unique_fields: Sequence[str]
    update_fields: Sequence[str]
    counter: str


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL whose parameters are constants and places; `native` is PostgreSQL's own form of it."""

    sql: str
    params: tuple[Any, ...]
    native: Native | None
    converters: Mapping[int, Any]

    def run(self, using: str, values: Values, count: int) -> int:
        """Execute it for `count` rows with `values` in its places; how many rows it touched."""
        with self._executed(using, values, count) as cursor:
            return int(cursor.rowcount)

    def read(self, using: str, values: Values, count: int) -> list[list[Any]]:
        """Execute it for at most `count` rows with `values` in its places; what it selects."""
        with self._executed(using, values, count) as cursor:
            rows = [list(row) for row in cursor.fetchall()]
        for index, (converters, column) in self.converters.items():
            for convert in converters:
                for row in rows:
                    row[index] = convert(row[index], column, connections[using])
        return rows

    @contextmanager
    def _executed(self, using: str, values: Values, count: int) -> Iterator[Any]:
        connection = connections[using]
        with transaction.mark_for_rollback_on_error(using=using), connection.cursor() as cursor:
            if self.native and self.native.is_safe(connection):
                self.native.execute(connection, cursor, values)
            else:
                with unkept(connection):
                    cursor.execute(self.sql, [_bound(p, values, connection) for p in self.params])
            yield cursor


def update(using: str, key: Hashable, values: Values, count: int, build: Build) -> int:
    """Run the UPDATE that `build` describes for `count` rows: which rows, and their new values.

    It is kept under `key`. Returns how many rows it touched.
    """
    size = _size(using, count)
    statement = _kept((using, key), size, lambda: _compile_update(using, *build(count)))
    return statement.run(using, values, count)


def select(
    using: str, key: Hashable, values: Values, count: int, build: Callable[[int], Rows]
) -> list[list[Any]]:
    """What the query that `build` describes finds among `count` rows; kept under `key`."""
    size = _size(using, count)
    statement = _kept((using, key), size, lambda: _compile_select(using, build(count)))
    return statement.read(using, values, count)


def select_all(using: str, key: Hashable, build: Callable[[], Rows]) -> list[list[Any]]:
    """All that the query finds, which reads its tables from end to end; kept under `key`."""
    statement = _kept((using, key), None, lambda: _compile_select(using, build(), searched=False))
    return statement.read(using, {}, 0)


def take(
    using: str, key: Hashable, values: Values, count: int, find: Callable[[int], Rows], move: Build
) -> list[list[Any]]:
    """What `find` locks among `count` rows, and `move` then changes; PostgreSQL only.

    Both are one statement, kept under `key`: by itself it is a transaction, of one way to the
    server instead of five. Its commit does not wait for the disk. `find` selects the primary key
    first, and `move` changes what is `Found`.
    """
    statement = _kept((using, key), None, lambda: _compile_take(using, find(count), *move(count)))
    return statement.read(using, values, count)


def insert(
    using: str,
    model: type[models.Model],
    rows: Sequence[Values],
    *,
    ignore_conflicts: bool = False,
    unique_fields: Sequence[str] = (),
    update_fields: Sequence[str] = (),
) -> int:
    """Insert `rows`, which all name the same fields; the database's defaults fill the others.

    With `ignore_conflicts`, what is there already stays; with `unique_fields`, it takes over the
    `update_fields` of the new row. Returns how many rows were written.
    """
    names, count = tuple(rows[0]), len(rows)
    conflict = None
    if ignore_conflicts:
        conflict = OnConflict.IGNORE
    elif unique_fields:
        conflict = OnConflict.UPDATE
    unnest = count > 1 and _takes_arrays(using)
    sources: list[Source] = [_unnested] if unnest else [_cell(i) for i in range(count)]
    statement = _kept(
        (using, model, names, conflict),
        None if unnest else count,
        lambda: _compile_insert(
            using, model, names, sources, conflict, unique_fields, update_fields
        ),
    )
    return statement.run(using, {name: [row[name] for row in rows] for name in names}, count)


def insert_found(
    using: str,
    key: Hashable,
    values: Values,
    count: int,
    build: Callable[[int], Rows],
    *,
    into: Target,
) -> int:
    """Insert what the query that `build` describes finds among `count` rows; kept under `key`.

    It may select a row that is there already: that one is counted on. Returns how many there were.
    """
    size = _size(using, count)
    statement = _kept((using, key), size, lambda: _compile_insert_found(using, build(count), into))
    return statement.run(using, values, count)


def statement(
    using: str,
    sql: str,
    params: Sequence[Any],
    table: str = "",
    converters: Mapping[int, Any] = NOTHING,
) -> Statement:
    """What `sql` is, of which `params` are constants and places; it searches `table`, if any."""
    native = native_of(connections[using], sql, params, table)
    return Statement(sql, tuple(params), native, converters)


KEPT_SIZES = 100
"""Up to so many rows a statement is kept where their number is part of its SQL."""

_statements: dict[Hashable, Statement] = {}


def _kept(key: Hashable, size: int | None, compile: Callable[[], Statement]) -> Statement:
    statement = _statements.get((key, size))
    if statement is None:
        statement = compile()
        if size is None or size <= KEPT_SIZES:
            _statements[key, size] = statement
    return statement


def _size(using: str, count: int) -> int | None:
    """What of the number of rows is part of the SQL."""
    return None if _takes_arrays(using) else count


def _takes_arrays(using: str) -> bool:
    return connections[using].vendor == "postgresql"


def _bound(param: Any, values: Values, connection: Any) -> Any:
    return param.bind(values, connection) if isinstance(param, Place) else param


def _compile_select(using: str, rows: Rows, *, searched: bool = True) -> Statement:
    compiler = rows.query.get_compiler(using)
    sql, params = compiler.as_sql()
    selected = [column for column, *_ in compiler.select[: compiler.col_count]]
    table = rows.model._meta.db_table if searched else ""
    return statement(using, sql, params, table, compiler.get_converters(selected))


def _compile_update(using: str, rows: Rows, values: Values) -> Statement:
    query: Any = rows.query.chain(UpdateQuery)
    query.add_update_values(values)
    sql, params = query.get_compiler(using).as_sql()
    return statement(using, sql, params, rows.model._meta.db_table)


def _compile_take(using: str, rows: Rows, moved: Rows, values: Values) -> Statement:
    with transaction.atomic(using=using):  # elsewhere the ORM locks no rows
        found = _compile_select(using, rows)
    change = _compile_update(using, moved, values)
    key = connections[using].ops.quote_name(moved.model._meta.pk.column)
    steps = (
        "quick AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))",
        f"{FOUND} AS ({found.sql})",
        f"moved AS ({change.sql} RETURNING {key})",
    )
    what = f"SELECT {FOUND}.* FROM quick, {FOUND} JOIN moved USING ({key})"  # noqa: S608 - all ours
    sql = f"WITH {', '.join(steps)} {what}"
    params = [*found.params, *change.params]
    return statement(using, sql, params, rows.model._meta.db_table, found.converters)


def _compile_insert(
    using: str,
    model: type[models.Model],
    names: Sequence[str],
    sources: Sequence[Source],
    conflict: OnConflict | None,
    unique_fields: Sequence[str],
    update_fields: Sequence[str],
) -> Statement:
    meta = model._meta
    fields = [f for f in meta.concrete_fields if f.attname in names or f.has_db_default()]
    query = InsertQuery(
        model,
        on_conflict=conflict,
        unique_fields=[meta.get_field(name) for name in unique_fields],
        update_fields=[meta.get_field(name) for name in update_fields],
    )
    query.insert_values(fields, [_row_of(model, fields, names, source) for source in sources])
    [(sql, params)] = query.get_compiler(using).as_sql()
    return statement(using, sql, params)


def _compile_insert_found(using: str, rows: Rows, into: Target) -> Statement:
    ops = connections[using].ops
    found, params = rows.query.get_compiler(using).as_sql()
    meta: Any = into.model._meta
    fields, updated, unique = (
        [meta.get_field(name) for name in names]
        for names in (into.names, into.update_fields, into.unique_fields)
    )
    conflict = ops.on_conflict_suffix_sql(
        fields, OnConflict.UPDATE, [f.column for f in updated], [f.column for f in unique]
    )
    columns = ", ".join(ops.quote_name(field.column) for field in fields)
    table, counter = ops.quote_name(meta.db_table), ops.quote_name(into.counter)
    insert = f"INSERT INTO {table} ({columns}) {found}"
    sql = f"{insert} {conflict}, {counter} = {table}.{counter} + 1"
    return statement(using, sql, params, rows.model._meta.db_table)


def _row_of(
    model: type[models.Model],
    fields: "Sequence[models.Field[Any, Any]]",
    names: Sequence[str],
    source: Source,
) -> models.Model:
    row = model()
    for field in fields:
        if field.attname in names:
            target = field.target_field if isinstance(field, models.ForeignKey) else field
            value: Any = source(field.attname, target)
        else:
            default: Any = field.db_default
            value = DatabaseDefault(default, output_field=field)
        row.__dict__[field.attname] = value
    return row


def _cell(index: int) -> Source:
    return lambda name, field: Cell(name, field, index)


def _unnested(name: str, field: "models.Field[Any, Any]") -> models.Expression:
    return Unnest(Column(name, field, 0))
