"""One broker message's worth of notifications, from claim to settle.

claim → gates → mark → send → settle, in windows of what the provider takes at a time. Only
`mark` makes a notification possibly sent; everything before it is undone free of charge.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from django.db import InterfaceError, OperationalError

from ..conf import LEASE_MARGIN_SECONDS, get_settings
from ..enums import Channel, WaitReason
from ..gates import get_limiter
from ..lifecycle import Move
from ..messages import Grant, Limit, Message, Outcome, Want
from ..models import Notification
from ..providers.base import Provider
from ..providers.registry import get_provider
from ..retry import FAST_RETRY_SECONDS, Decision
from ..signals import rows_snoozed
from . import database, policy
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
    report = Report()
    rows = lease.claim(ids)
    report.claimed = len(rows)
    allowed = lease.pass_gates(rows, report)
    while allowed and lease.is_open():
        allowed = lease.send_window(allowed, report)
    report.released = lease.give_back([row.pk for row in allowed])
    return report


class Lease:
    """The hold of one task on the rows it claimed, under one token."""

    def __init__(self, channel: Channel, stopping: Callable[[], bool]) -> None:
        self.channel = channel
        self.stopping = stopping
        self.token = uuid4()
        self.seconds = get_settings().lease_seconds
        self.until = time.monotonic() + self.seconds
        self.provider: Provider = get_provider(get_settings().channel(channel).providers[0])

    def claim(self, ids: Sequence[UUID]) -> list[Notification]:
        with database.atomic():
            return Notification.objects.claim(ids, self.token, self.seconds)

    def pass_gates(self, rows: Sequence[Notification], report: Report) -> list[Notification]:
        """The rows that may go now; the others are put off, each with its reason."""
        allowed: list[Notification] = []
        by_tenant: dict[str, list[Notification]] = defaultdict(list)
        for row in rows:
            by_tenant[row.tenant.name].append(row)
        open_ways = self._put_off_paused(by_tenant, report)
        wants = [Want(self._limits(tenant), len(by_tenant[tenant])) for tenant in open_ways]
        for tenant, grant in zip(open_ways, get_limiter().take(wants), strict=True):
            queue = by_tenant[tenant]
            allowed += queue[: grant.units]
            self._put_off_limited(queue[grant.units :], grant, report)
        return allowed

    def is_open(self) -> bool:
        """Whether another window can still be sent within this lease."""
        remaining = self.until - time.monotonic()
        return remaining > self.provider.timeout + LEASE_MARGIN_SECONDS and not self.stopping()

    def send_window(self, rows: list[Notification], report: Report) -> list[Notification]:
        """Mark, send and settle the next rows; returns the rows that are left."""
        window = window_of(self.provider.name, self.provider.window)
        with window.take(min(len(rows), self.provider.window)) as size:
            marked = self._mark(rows[:size])
            outcomes = self._send(marked)
            self._settle(marked, outcomes, report)
        return rows[size:]

    def give_back(self, ids: Sequence[UUID]) -> int:
        return Notification.objects.release(ids, self.token) if ids else 0

    def _put_off_paused(
        self, by_tenant: dict[str, list[Notification]], report: Report
    ) -> list[str]:
        open_ways = []
        for tenant, rows in by_tenant.items():
            scope = policy.current().pause_on(self.channel, self.provider.name, tenant)
            if scope is None:
                open_ways.append(tenant)
            else:
                delays = dict.fromkeys((row.pk for row in rows), PAUSE_RECHECK_SECONDS)
                self._put_off(delays, WaitReason.PAUSED, scope, report)
        return open_ways

    def _limits(self, tenant: str) -> tuple[Limit, ...]:
        return policy.current().limits_on(self.channel, self.provider.name, tenant)

    def _put_off_limited(self, rows: Sequence[Notification], grant: Grant, report: Report) -> None:
        """Spread what the limit refused over the time that it will take, instead of a herd."""
        gap = 1 / grant.rate if grant.rate else 0.0
        delays = {row.pk: grant.retry_after + i * gap for i, row in enumerate(rows)}
        self._put_off(delays, WaitReason.RATE_LIMIT, grant.limited_by, report)

    def _put_off(
        self, delays: dict[UUID, float], reason: WaitReason, scope: str, report: Report
    ) -> None:
        if not delays:
            return
        count = Notification.objects.release(list(delays), self.token, delays, reason, scope)
        report.put_off += count
        rows_snoozed.send_robust(
            sender=Notification, channel=self.channel, reason=reason, scope=scope, count=count
        )

    def _mark(self, rows: list[Notification]) -> list[Notification]:
        ids = [row.pk for row in rows]
        margin = self.provider.timeout + LEASE_MARGIN_SECONDS
        marked = Notification.objects.mark_dispatching(ids, self.token, self.provider.name, margin)
        if len(marked) < len(ids):
            refused = [id for id in ids if id not in marked]
            expire(refused)
            self.give_back(refused)
        held = [row for row in rows if row.pk in marked]
        for row in held:
            row.attempt_count += 1
        return held

    def _send(self, rows: Sequence[Notification]) -> list[Outcome]:
        """Talk to the provider with no transaction open; whatever it raises may have been sent."""
        database.release_connection()
        messages = [_message(row) for row in rows]
        deadline = self.until - self.provider.timeout - LEASE_MARGIN_SECONDS
        try:
            outcomes = self.provider.send(messages, deadline) if messages else []
        except Exception as error:  # a provider's bug must not decide that nothing was sent
            logger.error("provider %s raised %s", self.provider.name, type(error).__name__)
            outcomes = []
        if len(outcomes) != len(messages):
            broken = Outcome.ambiguous("provider_error", "the provider's code failed while sending")
            return [broken] * len(messages)
        return outcomes

    def _settle(
        self, rows: Sequence[Notification], outcomes: Sequence[Outcome], report: Report
    ) -> None:
        ended = [Ended(row, outcome) for row, outcome in zip(rows, outcomes, strict=True)]
        decisions = self._persist(ended)
        report.settled += len(decisions)
        report.again |= {
            id: decision.delay
            for id, decision in decisions.items()
            if decision.move is Move.RETRY and decision.delay <= FAST_RETRY_SECONDS
        }

    def _persist(self, ended: Sequence[Ended]) -> Mapping[UUID, Decision]:
        """Settle; while the database is away, keep what is known as long as the lease lasts."""
        while True:
            try:
                return settle(self.token, self.provider.name, ended)
            except (OperationalError, InterfaceError):
                if time.monotonic() > self.until or database.connection().in_atomic_block:
                    raise
                database.connection().close()
                time.sleep(PERSIST_SECONDS)


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
