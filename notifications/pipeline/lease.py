"""The hold of one task on the rows it claimed, under one token."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID, uuid4

from django.db import InterfaceError, OperationalError

from ..conf import LEASE_MARGIN_SECONDS, get_settings
from ..enums import Channel, WaitReason
from ..models import Notification
from ..providers.base import Provider
from ..signals import rows_claimed, rows_snoozed
from . import database, waits

T = TypeVar("T")

PERSIST_SECONDS = 0.5
"""How often an outcome is offered to a database that is away."""

FEW = 25
"""So many rows are claimed by one statement: a tenth less time for a message of 8 ids, of 16 and of
20. For 50 and 100, two statements in a transaction take as long (measured, 2026-11).
"""

TURN_SECONDS = 2.0
"""How long a task goes on beginning windows: a slow provider must not hold the worker hostage."""


@dataclass(slots=True)
class Report:
    """What became of a message's ids; `again` holds the delay of those soon to be retried."""

    claimed: int = 0
    settled: int = 0
    put_off: int = 0
    released: int = 0
    again: dict[UUID, float] = field(default_factory=dict)


class Lease:
    """Begins with the claim; what it still holds at its end is given back unsent."""

    def __init__(self, channel: Channel, stopping: Callable[[], bool]) -> None:
        self.channel = channel
        self.stopping = stopping
        self.token = uuid4()
        self.report = Report()
        self._seconds = get_settings().lease_seconds
        began = time.monotonic()
        self._until = began + self._seconds
        self._turn_until = began + TURN_SECONDS

    def claim(self, ids: Sequence[UUID]) -> list[Notification]:
        rows = self._claim(ids)
        self.report.claimed = len(rows)
        if rows:
            rows_claimed.send_robust(sender=Notification, channel=self.channel, notifications=rows)
        return self._without_company(rows)

    def _claim(self, ids: Sequence[UUID]) -> list[Notification]:
        """Lost with the database server, a claim leaves the rows as they were, and unsent."""
        if len(ids) <= FEW and database.takes_at_once():
            return Notification.objects.claim_few(ids, self.token, self._seconds)
        with database.quick():
            return Notification.objects.claim(ids, self.token, self._seconds)

    def _without_company(self, rows: list[Notification]) -> list[Notification]:
        """One row alone where a worker died over it again and again; the others are given back.

        It may be what kills them. Held beside it, the others would be counted out along with it.
        """
        suspects = [row for row in rows if row.abandon_count >= _most_in_company()]
        if not suspects:
            return rows
        self.give_back([row for row in rows if row is not suspects[0]])
        return suspects[:1]

    def is_open(self) -> bool:
        """Whether anything more is to be begun under it."""
        return time.monotonic() < self._turn_until and not self.stopping()

    def is_open_for(self, provider: Provider) -> bool:
        """Whether `provider` can still take all the time it may, within it."""
        return self.is_open() and time.monotonic() < self.deadline(provider)

    def deadline(self, provider: Provider) -> float:
        """After it nothing is begun at `provider`; of `time.monotonic`."""
        return self._until - provider.timeout - LEASE_MARGIN_SECONDS

    def give_back(self, rows: Sequence[Notification]) -> None:
        if rows:
            ids = [row.pk for row in rows]
            self.report.released += Notification.objects.release(ids, self.token)

    def put_off(self, delays: Mapping[UUID, float], reason: WaitReason, scope: str) -> None:
        """Give rows back for so many seconds each, unsent and free of charge."""
        with database.atomic(savepoint=False):
            count = Notification.objects.release(list(delays), self.token, delays, reason, scope)
            if count:
                waits.record(delays, self.token)
        self.report.put_off += count
        rows_snoozed.send_robust(
            sender=Notification, channel=self.channel, reason=reason, scope=scope, count=count
        )

    def persist(self, write: Callable[[], T]) -> T:
        """Run `write`; while the database is away, keep what is known while the lease lasts."""
        while True:
            try:
                return write()
            except (OperationalError, InterfaceError):
                if time.monotonic() > self._until or database.connection().in_atomic_block:
                    raise
                database.connection().close()
                time.sleep(PERSIST_SECONDS)


def _most_in_company() -> int:
    """How often a row's worker may die before the row is held alone: half of MAX_ABANDONS."""
    return max(1, get_settings().max_abandons // 2)
