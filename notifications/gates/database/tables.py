"""The tables of this backend, and the clock of the database they are in."""

from typing import Any

from django.apps import apps
from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model, QuerySet

CLOCK = {
    "postgresql": "EXTRACT(EPOCH FROM CLOCK_TIMESTAMP())::double precision",
    "sqlite": "ROUND((JULIANDAY('now') - 2440587.5) * 86400.0, 3)",
}
"""Seconds since 1970, as SQL."""


class Table:
    """A model asked of Django by name: models and gates are walls that never touch."""

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def model(self) -> type[Model]:
        model: type[Any] = apps.get_model("notifications", self._name)
        return model

    @property
    def alias(self) -> str:
        return router.db_for_write(self.model)

    @property
    def connection(self) -> BaseDatabaseWrapper:
        return connections[self.alias]

    @property
    def rows(self) -> QuerySet[Any]:
        return self.model._default_manager.using(self.alias)

    def now(self) -> float:
        """The database's clock at this very moment."""
        with self.connection.cursor() as cursor:
            cursor.execute(f"SELECT {CLOCK[self.connection.vendor]}")
            return float(cursor.fetchone()[0])
