"""Places in a kept statement that each run fills: with one value, or with one for each row.

PostgreSQL takes the values of all rows as one array, so that the SQL is the same for any number of
rows and a handful of parameters are bound; elsewhere each of them is a parameter of its own.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models import F

from .enums import State

Values = Mapping[str, Any]


class Place(models.Expression):
    """What a run fills with its value of this name."""

    def __init__(self, name: str, output_field: "models.Field[Any, Any]") -> None:
        super().__init__(output_field=output_field)
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return "%s", [self]

    def bind(self, values: Values, connection: Any) -> Any:
        """The parameter, as the database takes it."""
        raise NotImplementedError


class Slot(Place):
    """One value for the whole statement."""

    def bind(self, values: Values, connection: Any) -> Any:
        return self.output_field.get_db_prep_save(values[self.name], connection)


class Cell(Place):
    """The value of one row."""

    def __init__(self, name: str, output_field: "models.Field[Any, Any]", index: int) -> None:
        super().__init__(name, output_field)
        self.index = index

    def bind(self, values: Values, connection: Any) -> Any:
        return self.output_field.get_db_prep_save(values[self.name][self.index], connection)


class Column(Place):
    """The values of all `count` rows."""

    def __init__(self, name: str, output_field: "models.Field[Any, Any]", count: int) -> None:
        super().__init__(name, output_field)
        self.count = count

    @property
    def cells(self) -> list[Cell]:
        return [Cell(self.name, self.output_field, index) for index in range(self.count)]

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return f"({', '.join(['%s'] * self.count)})", self.cells

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return f"(%s::{kind_of(self.output_field, connection)}[])", [self]

    def bind(self, values: Values, connection: Any) -> str:
        return array_of(values[self.name])


class Among(models.Func):
    """Whether the primary key of the row at hand, or another field, is in the column."""

    template = "%(expressions)s"
    arg_joiner = " IN "
    output_field = models.BooleanField()

    def __init__(self, values: Column, field: str = "pk") -> None:
        super().__init__(F(field), values)

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return super().as_sql(compiler, connection, arg_joiner=" = ANY ")


FOUND = "found"
"""What the rest of a statement calls the rows that its beginning has locked."""


class Found(models.Func):
    """Whether the row at hand is one of those that the same statement has locked."""

    output_field = models.BooleanField()

    def __init__(self) -> None:
        super().__init__(F("pk"))

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **__: Any) -> tuple[str, Any]:
        key = self.get_source_expressions()[0]
        column, _none = compiler.compile(key)
        own = connection.ops.quote_name(key.target.column)
        return f"{column} IN (SELECT {own} FROM {FOUND})", []  # noqa: S608 - all of it is ours


class InState(models.Func):
    """Whether the row at hand, which is found by its key, is in one of `states`.

    PostgreSQL must not find it by its state: to statistics that know nothing of a new backlog the
    partial indexes look empty, so it would read 200,000 entries of one for ten keys (measured,
    2026-11). The operator takes them out of its sight.
    """

    output_field = models.BooleanField()

    def __init__(self, states: Iterable[State]) -> None:
        super().__init__(F("state"))
        self.states = ", ".join(f"'{State(state)}'" for state in sorted(states))

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **__: Any) -> tuple[str, Any]:
        column, _none = compiler.compile(self.get_source_expressions()[0])
        return f"{column} IN ({self.states})", []

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        column, _none = compiler.compile(self.get_source_expressions()[0])
        return f"({column} || '') IN ({self.states})", []


class OfRow(models.Func):
    """The value in a column of the row at hand, whose primary key is in another column."""

    def __init__(self, keys: Column, values: Column) -> None:
        super().__init__(F("pk"), keys, values, output_field=values.output_field)

    def as_sql(self, compiler: Any, connection: Any, *_: Any, **__: Any) -> tuple[str, Any]:
        key, keys, values = self.get_source_expressions()
        name, _none = compiler.compile(key)
        pairs = zip(keys.cells, values.cells, strict=True)
        whens = f" WHEN {name} = %s THEN %s" * keys.count
        return f"CASE{whens} END", [cell for pair in pairs for cell in pair]

    def as_postgresql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        key, keys, values = map(compiler.compile, self.get_source_expressions())
        sql = f"{values[0]}[array_position({keys[0]}, {key[0]})]"
        return sql, [*values[1], *keys[1], *key[1]]


class Unnest(models.Func):
    """A row for each value of a column."""

    function = "UNNEST"


def kind_of(field: "models.Field[Any, Any]", connection: Any) -> str:
    """What its values are cast to.

    Without the length, as in `varchar(50)`: a cast to it would cut off what is too long.
    """
    return str(field.db_type(connection)).partition("(")[0]


def array_of(values: Sequence[Any]) -> str:
    """PostgreSQL's text of an array.

    psycopg's own way there takes four times the CPU: it asks for a dumper for each element.
    """
    return f"{{{','.join([_element(value) for value in values])}}}"


def _element(value: Any) -> str:
    match value:
        case str():
            return _quoted(value)
        case UUID():
            return value.hex
        case None:
            return "NULL"
        case timedelta():
            return f'"{value // MICROSECOND} us"'
        case dict() | list():
            return _quoted(json.dumps(value))
    return _quoted(str(value))


MICROSECOND = timedelta(microseconds=1)


def _quoted(text: str) -> str:
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'
