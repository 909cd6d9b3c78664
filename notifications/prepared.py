"""Statements that the ORM writes once and that run many times.

Building an UPDATE costs the ORM more than running it costs the database: measured, compiling was
half of the CPU of a delivery. Here a statement is built from slots instead of values; its SQL is
kept, and each run only binds the values. The ORM stays the one author of the SQL.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections, models, transaction
from django.db.models.constants import OnConflict
from django.db.models.expressions import DatabaseDefault
from django.db.models.sql import InsertQuery, UpdateQuery

Values = Mapping[str, Any]


class Slot(models.Expression):
    """A place in a statement that each run fills with the value of this name."""

    def __init__(self, name: str, output_field: "models.Field[Any, Any]") -> None:
        super().__init__(output_field=output_field)
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return "%s", [self]


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL whose parameters are constants and slots."""

    sql: str
    params: tuple[Any, ...]

    def run(self, using: str, values: Values) -> int:
        """Execute with `values` in the slots; how many rows it touched."""
        connection = connections[using]
        bound = [
            p.output_field.get_db_prep_save(values[p.name], connection)
            if isinstance(p, Slot)
            else p
            for p in self.params
        ]
        with transaction.mark_for_rollback_on_error(using=using), connection.cursor() as cursor:
            cursor.execute(self.sql, bound)
            return int(cursor.rowcount)


def update(
    using: str, key: Hashable, build: Callable[[], tuple[models.QuerySet[Any], Values]]
) -> Statement:
    """The UPDATE that `build` describes: rows and new values, made of slots. Kept under `key`."""
    return _kept((using, key), lambda: _compile_update(using, *build()))


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
    names = tuple(rows[0])
    conflict = None
    if ignore_conflicts:
        conflict = OnConflict.IGNORE
    elif unique_fields:
        conflict = OnConflict.UPDATE
    statement = _kept(
        (using, model, names, len(rows), conflict),
        lambda: _compile_insert(
            using, model, names, len(rows), conflict, unique_fields, update_fields
        ),
    )
    values = {f"{name}{i}": row[name] for i, row in enumerate(rows) for name in names}
    return statement.run(using, values)


_statements: dict[Hashable, Statement] = {}


def _kept(key: Hashable, compile: Callable[[], Statement]) -> Statement:
    statement = _statements.get(key)
    if statement is None:
        statement = _statements[key] = compile()
    return statement


def _compile_update(using: str, rows: models.QuerySet[Any], values: Values) -> Statement:
    query: Any = rows.query.chain(UpdateQuery)
    query.add_update_values(values)
    sql, params = query.get_compiler(using).as_sql()
    return Statement(sql, tuple(params))


def _compile_insert(
    using: str,
    model: type[models.Model],
    names: Sequence[str],
    count: int,
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
    query.insert_values(fields, [_slotted(model, fields, names, i) for i in range(count)])
    [(sql, params)] = query.get_compiler(using).as_sql()
    return Statement(sql, tuple(params))


def _slotted(
    model: type[models.Model],
    fields: "Sequence[models.Field[Any, Any]]",
    names: Sequence[str],
    index: int,
) -> models.Model:
    row = model()
    for field in fields:
        if field.attname in names:
            target = field.target_field if isinstance(field, models.ForeignKey) else field
            value: Any = Slot(f"{field.attname}{index}", target)
        else:
            default: Any = field.db_default
            value = DatabaseDefault(default, output_field=field)
        row.__dict__[field.attname] = value
    return row
