"""One INSERT for any number of rows, with the same SQL whatever their number.

PostgreSQL is sent all rows as one JSON document and reads it as a table: a parameter for each
value takes more CPU to bind than the row takes to store (measured with 1,000).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from django.db import connections, models, transaction

from .columns import Slot, kind_of
from .prepared import Statement, statement

Values = Mapping[str, Any]
Names = tuple[str, ...]
Model = type[models.Model]

DOCUMENT, TIMEOUT = TEXTS = "rows", "lock_timeout"
"""What a statement takes beside the values of fields."""

_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


def insert(
    using: str, model: Model, rows: Sequence[Values], *, alike: Values, lock_timeout: str = ""
) -> int:
    """Insert `rows`, but for those whose unique key is taken; how many were written.

    All rows name the same fields; `alike` has the fields that are the same in each of them. What
    neither names gets its default. With `lock_timeout` (as `2s`), PostgreSQL waits no longer for
    another transaction that is storing the same key.
    """
    if not rows:
        return 0
    if connections[using].vendor == "postgresql":
        return _as_document(using, model, rows, alike, lock_timeout)
    return _one_by_one(using, model, rows, alike)


def _as_document(
    using: str, model: Model, rows: Sequence[Values], alike: Values, lock_timeout: str
) -> int:
    values = {**alike, DOCUMENT: _encode(rows), TIMEOUT: lock_timeout or None}
    from_document = _from_document(using, model, tuple(rows[0]), tuple(alike))
    return from_document.run(using, values, len(rows))


def _one_by_one(using: str, model: Model, rows: Sequence[Values], alike: Values) -> int:
    alike = {**_defaults(model, (*rows[0], *alike)), **alike}
    sql = _from_values(using, model, (*rows[0], *alike))
    params = [_bound(using, model, {**row, **alike}) for row in rows]
    with transaction.atomic(using=using, savepoint=False), connections[using].cursor() as cursor:
        cursor.executemany(sql, params)
        return int(cursor.rowcount)


def _bound(using: str, model: Model, values: Values) -> list[Any]:
    connection, fields = connections[using], _fields(model)
    return [fields[n].get_db_prep_save(value, connection) for n, value in values.items()]


@cache
def _fields(model: Model) -> "Mapping[str, models.Field[Any, Any]]":
    return {field.attname: field for field in model._meta.concrete_fields}


@cache
def _defaults(model: Model, named: Names) -> Values:
    """What is in the fields not `named`, but for those that the database fills itself."""
    missing = [field for name, field in _fields(model).items() if name not in named]
    return {field.attname: field.get_default() for field in missing if not field.has_db_default()}


@cache
def _from_document(using: str, model: Model, names: Names, alike: Names) -> Statement:
    """Takes the values that are `alike`, the JSON of the rows, and the lock timeout or NULL."""
    connection, fields = connections[using], _fields(model)
    quote = connection.ops.quote_name
    defaults = _defaults(model, (*names, *alike))
    given = [*defaults, *alike]
    casts = [f"%s::{kind_of(fields[name], connection)}" for name in given]
    values = ", ".join([*casts, *(f"rows.{quote(name)}" for name in names)])
    table = ", ".join(f"{quote(name)} {fields[name].db_type(connection)}" for name in names)
    timeout = "set_config('lock_timeout', coalesce(%s, current_setting('lock_timeout')), true)"
    sql = (
        f"{_into(using, model, (*given, *names))} SELECT {values} "  # noqa: S608 - its own names
        f"FROM json_to_recordset(%s) AS rows({table}), (SELECT {timeout}) AS waiting "
        "ON CONFLICT DO NOTHING"
    )
    slots = {name: fields[name] for name in alike} | dict.fromkeys(TEXTS, models.TextField())
    params = [*_bound(using, model, defaults), *(Slot(*slot) for slot in slots.items())]
    return statement(using, sql, params)


@cache
def _from_values(using: str, model: Model, names: Names) -> str:
    slots = ", ".join("%s" for _ in names)
    return f"{_into(using, model, names)} VALUES ({slots}) ON CONFLICT DO NOTHING"


def _into(using: str, model: Model, names: Iterable[str]) -> str:
    quote, fields = connections[using].ops.quote_name, _fields(model)
    columns = ", ".join(quote(str(fields[name].column)) for name in names)
    return f"INSERT INTO {quote(model._meta.db_table)} ({columns})"
