"""One broker message's worth of notifications, from claim to settle.

claim → gates → mark → send → settle, in windows of what the provider takes at a time. Only
`mark` makes a notification possibly sent; everything before it is undone free of charge.
"""

import logging
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID, uuid4

from django.db import InterfaceError, OperationalError

from ..conf import LEASE_MARGIN_SECONDS, get_settings
from ..enums import Channel, Scope, WaitReason
from ..gates import get_limiter
from ..lifecycle import Move
from ..messages import Grant, Limit, Message, Outcome, Passage, Want
from ..models import Notification
from ..providers.base import Provider
from ..providers.registry import get_provider
from ..retry import FAST_RETRY_SECONDS
from ..signals import rows_snoozed
from . import database, policy
from .circuit import Circuit
from .rescue import expire
from .settle import Ended, settle
from .window import window_of

logger = logging.getLogger(__name__)

PERSIST_SECONDS = 0.5
"""How often an outcome is offered to a database that is away."""

PAUSE_RECHECK_SECONDS = 2.0
"""How long a row met by a pause is put off; the dispatcher holds it while the pause lasts."""


@dataclass(slots=True)
class Report:
    """What became of a message's ids; `again` holds the delay of those soon to be retried."""

    claimed: int = 0
    settled: int = 0
    put_off: int = 0
    released: int = 0
    again: dict[UUID, float] = field(default_factory=dict)


def deliver(
    channel: Channel, ids: Sequence[UUID], stopping: Callable[[], bool] = lambda: False
) -> Report:
    """Deliver what is due of `ids`; ids that are not due, or not there, are passed over.

    `stopping` is asked between windows: once it is true the rest is given back unsent.
    """
    lease = Lease(channel, stopping)
    rows = lease.pass_gates(lease.claim(ids))
    while rows and lease.is_open():
        rows = lease.send_windows(rows)
    lease.give_back(rows)
    return lease.report


Step = tuple[list[Notification], list[Notification]]
"""The rows that are marked to be sent now, and those that are left for later."""


class Lease:
    """The hold of one task on the rows it claimed, under one token."""

    def __init__(self, channel: Channel, stopping: Callable[[], bool]) -> None:
        self.channel = channel
        self.stopping = stopping
        self.token = uuid4()
        self.seconds = get_settings().lease_seconds
        self.until = time.monotonic() + self.seconds
        self.provider: Provider = get_provider(get_settings().channel(channel).providers[0])
        self.circuit = Circuit(self.provider.name)
        self.report = Report()

    def claim(self, ids: Sequence[UUID]) -> list[Notification]:
        with database.atomic():
            rows = Notification.objects.claim(ids, self.token, self.seconds)
        self.report.claimed = len(rows)
        return rows

    def pass_gates(self, rows: list[Notification]) -> list[Notification]:
        """The rows that may go now; the others are put off, each with its reason."""
        by_tenant = _by_tenant(self._hold_paused(rows))
        wants = [Want(self._limits(tenant), len(queue)) for tenant, queue in by_tenant.items()]
        allowed: list[Notification] = []
        for queue, grant in zip(by_tenant.values(), get_limiter().take(wants), strict=True):
            allowed += queue[: grant.units]
            self._put_off_limited(queue[grant.units :], grant)
        return allowed

    def is_open(self) -> bool:
        """Whether another window can still be sent within this lease."""
        remaining = self.until - time.monotonic()
        return remaining > self.provider.timeout + LEASE_MARGIN_SECONDS and not self.stopping()

    def send_windows(self, rows: list[Notification]) -> list[Notification]:
        """Mark, send and settle window after window; returns the rows that are left.

        One commit settles a window and marks the next. It ends when the lease does, or when
        another thread of this process wants its turn at the provider.
        """
        window = window_of(self.provider.name, self.provider.window)
        with window.take(min(len(rows), self.provider.window)) as size:
            passage = self.circuit.ask(size)
            marked, rows = self._persist(partial(self._mark_next, rows, passage.units))
            while marked:
                outcomes = self._send(marked)
                self.circuit.tell(outcomes, passage)
                goes_on = bool(rows) and self.is_open() and not window.is_wanted()
                passage = self.circuit.ask(min(size, len(rows))) if goes_on else Passage(0)
                following = partial(self._mark_next, rows, passage.units)
                marked, rows = self._persist(partial(self._settle, marked, outcomes, following))
            self.circuit.tell([], passage)
        return self._hold_circuit(rows, passage)

    def give_back(self, rows: Sequence[Notification]) -> None:
        if rows:
            ids = [row.pk for row in rows]
            self.report.released += Notification.objects.release(ids, self.token)

    def _hold_paused(self, rows: list[Notification]) -> list[Notification]:
        """Put off what a pause is on; asked again before each window, so that a pause is prompt."""
        held: dict[str, list[Notification]] = defaultdict(list)
        snapshot = policy.current()
        for row in rows:
            scope = snapshot.pause_on(self.channel, self.provider.name, row.tenant.name)
            held[scope or ""].append(row)
        open_rows = held.pop("", [])
        for scope, queue in held.items():
            delays = dict.fromkeys((row.pk for row in queue), PAUSE_RECHECK_SECONDS)
            self._put_off(delays, WaitReason.PAUSED, scope)
        return open_rows

    def _hold_circuit(self, rows: list[Notification], passage: Passage) -> list[Notification]:
        """Put off what an open circuit holds back, some of it a little longer than the rest."""
        if not passage.retry_after:
            return rows
        ids = [row.pk for row in rows]
        delays = {id: passage.retry_after * random.uniform(1, 1.25) for id in ids}  # noqa: S311 - no secret
        self._put_off(delays, WaitReason.CIRCUIT_OPEN, f"{Scope.PROVIDER}:{self.provider.name}")
        return []

    def _limits(self, tenant: str) -> tuple[Limit, ...]:
        return policy.current().limits_on(self.channel, self.provider.name, tenant)

    def _put_off_limited(self, rows: Sequence[Notification], grant: Grant) -> None:
        """Spread what the limit refused over the time that it will take, instead of a herd."""
        gap = 1 / grant.rate if grant.rate else 0.0
        delays = {row.pk: grant.retry_after + i * gap for i, row in enumerate(rows)}
        self._put_off(delays, WaitReason.RATE_LIMIT, grant.limited_by)

    def _put_off(self, delays: dict[UUID, float], reason: WaitReason, scope: str) -> None:
        if not delays:
            return
        count = Notification.objects.release(list(delays), self.token, delays, reason, scope)
        self.report.put_off += count
        rows_snoozed.send_robust(
            sender=Notification, channel=self.channel, reason=reason, scope=scope, count=count
        )

    def _mark_next(self, rows: list[Notification], size: int) -> Step:
        """Mark the next rows that may still go."""
        rows = self._hold_paused(rows) if size else rows
        following, left = rows[:size], rows[size:]
        marked = self._mark(following) if following else []
        if following and not marked:
            return self._mark_next(left, size)
        return marked, left

    def _mark(self, rows: list[Notification]) -> list[Notification]:
        ids = [row.pk for row in rows]
        margin = self.provider.timeout + LEASE_MARGIN_SECONDS
        marked = Notification.objects.mark_dispatching(ids, self.token, self.provider.name, margin)
        if len(marked) < len(ids):
            refused = [row for row in rows if row.pk not in marked]
            expire([row.pk for row in refused])
            self.give_back(refused)
        return [row for row in rows if row.pk in marked]

    def _send(self, rows: Sequence[Notification]) -> list[Outcome]:
        """Talk to the provider with no transaction open; whatever it raises may have been sent."""
        for row in rows:
            row.attempt_count += 1  # as the committed mark has it
        database.release_connection()
        deadline = self.until - self.provider.timeout - LEASE_MARGIN_SECONDS
        try:
            outcomes = self.provider.send([_message(row) for row in rows], deadline)
        except Exception as error:  # a provider's bug must not decide that nothing was sent
            logger.error("provider %s raised %s", self.provider.name, type(error).__name__)
            outcomes = []
        if len(outcomes) != len(rows):
            broken = Outcome.ambiguous("provider_error", "the provider's code failed while sending")
            return [broken] * len(rows)
        return outcomes

    def _settle(
        self,
        rows: Sequence[Notification],
        outcomes: Sequence[Outcome],
        following: Callable[[], Step],
    ) -> Step:
        ended = [Ended(row, outcome) for row, outcome in zip(rows, outcomes, strict=True)]
        with database.atomic(savepoint=False):
            decisions = settle(self.token, self.provider.name, ended)
            step = following()
        self.report.settled += len(decisions)
        self.report.again |= {
            id: decision.delay
            for id, decision in decisions.items()
            if decision.move is Move.RETRY and decision.delay <= FAST_RETRY_SECONDS
        }
        return step

    def _persist(self, write: Callable[[], Step]) -> Step:
        """Run `write`; while the database is away, keep what is known while the lease lasts."""
        while True:
            try:
                return write()
            except (OperationalError, InterfaceError):
                if time.monotonic() > self.until or database.connection().in_atomic_block:
                    raise
                database.connection().close()
                time.sleep(PERSIST_SECONDS)


def _by_tenant(rows: Sequence[Notification]) -> dict[str, list[Notification]]:
    by_tenant: dict[str, list[Notification]] = defaultdict(list)
    for row in rows:
        by_tenant[row.tenant.name].append(row)
    return by_tenant


def _message(row: Notification) -> Message:
    return Message(
        key=str(row.pk),
        channel=Channel(row.channel),
        tenant=row.tenant.name,
        to=row.to,
        content=row.content,
        metadata=row.metadata,
        attempt=row.attempt_count,
    )
