"""The pace of providers kept in the database: a row for each account that was ever slowed."""

from dataclasses import asdict, fields
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from .. import pace
from ..base import Pacer
from ..pace import Book
from .tables import Table

FIELDS = tuple(field.name for field in fields(Book))

paces = Table("ProviderPace")


class DatabasePacer(Pacer):
    """Keeps its books in the table of `ProviderPace`, by the database's clock.

    Call `slow` outside of a transaction: it commits its own.
    """

    def _read(self, provider: str) -> tuple[Book, float]:
        book = _book(paces.rows.filter(pk=provider))
        return book, paces.now() if book.until else 0.0

    def _slow(self, provider: str, wait: float, rate: float) -> tuple[Book, float]:
        paces.rows.bulk_create([paces.model(provider=provider)], ignore_conflicts=True)
        with transaction.atomic(using=paces.alias, savepoint=False):
            row = paces.rows.filter(pk=provider)
            before = _book(row.select_for_update())
            now = paces.now()  # its own statement, after the wait for the lock
            after = pace.slow(before, now, wait, rate)
            row.update(**asdict(after))
        return after, now


def _book(row: QuerySet[Any]) -> Book:
    return Book(**(row.values(*FIELDS).first() or {}))
