"""Circuits kept in the database: a row for each provider.

A look at a closed circuit is one statement without a lock; all else locks the row, reads the
clock and moves the row on.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from ...enums import CircuitState
from ...messages import Circuit, Passage, Tally
from .. import circuit
from ..base import Breaker, Step
from ..circuit import Book
from .tables import Table

Decide = Callable[[Book, float], tuple[Passage, Book]]

FIELDS = tuple(field.name for field in fields(Book))

circuits = Table("ProviderCircuit")


class DatabaseBreaker(Breaker):
    """Decides in the table of `ProviderCircuit`, by the database's clock.

    Call it outside of a transaction: it commits its own.
    """

    def state(self, provider: str) -> Circuit:
        return circuit.view(_book(circuits.rows, provider) or Book())

    def states(self, providers: Sequence[str]) -> Mapping[str, Circuit]:
        rows = circuits.rows.filter(pk__in=providers).values("pk", *FIELDS)
        books = {row.pop("pk"): _book_of(row) for row in rows}
        return {name: circuit.view(books.get(name) or Book()) for name in providers}

    def _allow(self, provider: str, units: int, token: str) -> Step:
        book = _book(circuits.rows, provider)
        if book is None or book.state is CircuitState.CLOSED:
            return Step(Passage(units), False)
        rules = self._rules_of(provider)
        return _move(provider, lambda book, now: circuit.allow(book, units, token, now, rules))

    def _record(self, provider: str, tally: Tally, probe: str, luck: float) -> Step:
        rules = self._rules_of(provider)
        return _move(
            provider, lambda book, now: circuit.record(book, tally, probe, now, rules, luck)
        )


def _move(provider: str, decide: Decide) -> Step:
    """What was decided on the locked row, and whether that changed its state."""
    while (step := _move_row(provider, decide)) is None:
        _create(provider)
    return step


def _move_row(provider: str, decide: Decide) -> Step | None:
    with transaction.atomic(using=circuits.alias, savepoint=False):
        before = _book(circuits.rows.select_for_update(), provider)
        if before is None:
            return None
        # Its own statement, after the wait for the lock.
        passage, after = decide(before, circuits.now())
        if after != before:
            circuits.rows.filter(pk=provider).update(**asdict(after))
    return Step(passage, after.state is not before.state)


def _book(rows: QuerySet[Any], provider: str) -> Book | None:
    values = rows.filter(pk=provider).values(*FIELDS).first()
    return _book_of(values) if values else None


def _book_of(values: Mapping[str, Any]) -> Book:
    return Book(**{**values, "state": CircuitState(values["state"])})


def _create(provider: str) -> None:
    """Make the missing row, in a transaction of its own: whoever else does so is waited for."""
    circuits.rows.bulk_create([circuits.model(provider=provider)], ignore_conflicts=True)
