"""One broker message's worth of notifications, from claim to settle.

claim → gates → mark → send → settle, in windows of what the provider takes at a time. Only
`mark` makes a notification possibly sent; everything before it is undone free of charge.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

from ..conf import LEASE_MARGIN_SECONDS
from ..enums import AttemptOutcome, Channel, WaitReason
from ..lifecycle import Move
from ..messages import Message, Outcome, Passage, recipients_of
from ..models import Notification
from ..providers.base import Provider
from ..providers.registry import get_provider
from ..retry import FAST_RETRY_SECONDS
from . import database, files, pace, policy
from .admit import admit
from .circuit import Circuit
from .lease import Lease, Report
from .receivers import Receivers
from .rescue import expire
from .settle import Ended, settle
from .unsubscribe import link_of
from .window import window_of

logger = logging.getLogger(__name__)


def deliver(
    channel: Channel, ids: Sequence[UUID], stopping: Callable[[], bool] = lambda: False
) -> Report:
    """Deliver what is due of `ids`; ids that are not due, or not there, are passed over.

    `stopping` is asked between windows: once it is true the rest is given back unsent.
    """
    lease = Lease(channel, stopping)
    rows = lease.claim(ids)
    while rows and lease.is_open():
        rows = _send(lease, rows)
    lease.give_back(rows)
    return lease.report


def _send(lease: Lease, rows: list[Notification]) -> list[Notification]:
    """Send what may go now; returns what was held up on the way, and may go another."""
    left: list[Notification] = []
    receivers = Receivers(rows)
    rows = _hold(lease, receivers, rows)
    for provider, queue in admit(lease, rows).items():
        left += Sending(lease, get_provider(provider), receivers).send(queue)
    return left


def _hold(lease: Lease, receivers: Receivers, rows: list[Notification]) -> list[Notification]:
    """Put off what waits for its receiver; returns the rest."""
    held = receivers.held(rows)
    for scope, delays in held.items():
        lease.put_off(delays, WaitReason.CIRCUIT_OPEN, scope)
    return [row for row in rows if not any(row.pk in delays for delays in held.values())]


Step = tuple[list[Notification], list[Notification]]
"""The rows that are marked to be sent now, and those that are left for later."""


class Sending:
    """The windows of one lease at one provider."""

    def __init__(self, lease: Lease, provider: Provider, receivers: Receivers) -> None:
        self.lease = lease
        self.provider = provider
        self.receivers = receivers
        self.circuit = Circuit(provider.name)
        self.policy = policy.current()
        self.window = window_of(provider)

    def send(self, rows: list[Notification]) -> list[Notification]:
        """Send until all are gone, the lease ends, or something holds the provider up."""
        while rows and self._is_open():
            before = len(rows)
            rows = self._send_windows(rows)
            if len(rows) == before:
                break
        return rows

    def _is_open(self) -> bool:
        """Whether another window can be begun: what was admitted may have been held up since."""
        return (
            self.lease.is_open_for(self.provider)
            and policy.current() == self.policy
            and not pace.current(self.provider.name).held
        )

    def _send_windows(self, rows: list[Notification]) -> list[Notification]:
        """Mark, send and settle window after window; returns the rows that are left.

        One commit settles a window and marks the next. It ends when the lease does, or when
        another thread of this process wants its turn at the provider.
        """
        with self.window.take(min(len(rows), self.provider.window)) as size:
            passage = self.circuit.ask(min(size, self.window.fitting))
            marked, rows = self.lease.persist(partial(self._mark_next, rows, passage.units))
            while marked:
                outcomes = self._hand_over(marked)
                self.circuit.tell(outcomes, passage)
                pace.tell(self.provider.name, outcomes)
                passage = self._ask_next(rows, size)
                following = partial(self._mark_next, rows, passage.units)
                settle_and_mark = partial(self._settle, marked, outcomes, following)
                marked, rows = self.lease.persist(settle_and_mark)
            self.circuit.tell([], passage)
        return rows

    def _ask_next(self, rows: list[Notification], size: int) -> Passage:
        if not rows or self.window.is_wanted() or not self._is_open():
            return Passage(0)
        return self.circuit.ask(min(size, self.window.fitting, len(rows)))

    def _mark_next(self, rows: list[Notification], size: int) -> Step:
        """Mark the next rows that may still go."""
        following, left = rows[:size], rows[size:]
        marked = self._mark(following) if following else []
        if following and not marked:
            return self._mark_next(left, size)
        return marked, left

    def _mark(self, rows: list[Notification]) -> list[Notification]:
        ids = [row.pk for row in rows]
        margin = self.provider.timeout + LEASE_MARGIN_SECONDS
        marked = Notification.objects.mark_dispatching(
            ids, self.lease.token, self.provider.name, margin
        )
        if len(marked) < len(ids):
            refused = [row for row in rows if row.pk not in marked]
            expire([row.pk for row in refused])
            self.lease.give_back(refused)
        return [row for row in rows if row.pk in marked]

    def _hand_over(self, rows: Sequence[Notification]) -> list[Outcome]:
        """Talk to the provider with no transaction open; whatever it raises may have been sent."""
        for row in rows:
            row.attempt_count += 1  # as the committed mark has it
        stored = self.lease.persist(partial(files.read, rows))
        database.release_connection()
        began = time.monotonic()
        try:
            deadline = self.lease.deadline(self.provider)
            secrets = self.receivers.secrets
            messages = [message_of(row, secrets(row), stored.get(row.pk, ())) for row in rows]
            outcomes = self.provider.send(messages, deadline)
        except Exception as error:  # a provider's bug must not decide that nothing was sent
            logger.error("provider %s raised %s", self.provider.name, type(error).__name__)
            outcomes = []
        self.window.learn(len(rows), time.monotonic() - began)
        if len(outcomes) != len(rows):
            broken = Outcome.ambiguous("provider_error", "the provider's code failed while sending")
            return [broken] * len(rows)
        return [_noting(row, outcome) for row, outcome in zip(rows, outcomes, strict=True)]

    def _settle(
        self,
        rows: Sequence[Notification],
        outcomes: Sequence[Outcome],
        following: Callable[[], Step],
    ) -> Step:
        ended = [Ended(row, outcome) for row, outcome in zip(rows, outcomes, strict=True)]
        with database.atomic(savepoint=False):
            decisions = settle(self.lease.token, self.provider.name, ended)
            self.receivers.learn(rows, outcomes)
            step = following()
        report = self.lease.report
        report.settled += len(decisions)
        report.again |= {
            id: decision.delay
            for id, decision in decisions.items()
            if decision.move is Move.RETRY and decision.delay <= FAST_RETRY_SECONDS
        }
        return step


def _noting(row: Notification, outcome: Outcome) -> Outcome:
    """The outcome, with a word on those of several recipients whom it was not sent to."""
    if not row.withheld or outcome.kind is not AttemptOutcome.ACCEPTED:
        return outcome
    left_out = f"Not sent to {len(row.withheld)} of its recipients, who are suppressed."
    return replace(outcome, detail=f"{left_out} {outcome.detail}".strip())


def message_of(
    row: Notification, secrets: tuple[str, ...] = (), stored: Sequence[bytes] = ()
) -> Message:
    """The notification as its provider sees it; `stored` are the bytes that belong to it."""
    everybody = recipients_of(row.to, row.content)
    return Message(
        key=str(row.pk),
        channel=Channel(row.channel),
        tenant=row.tenant.name,
        to=row.to,
        content=row.content,
        metadata=row.metadata,
        attempt=row.attempt_count,
        secrets=secrets,
        unsubscribe_url=link_of(row) if len(everybody) == 1 else "",
        recipients=tuple(to for to in everybody if to not in row.withheld),
        attachments=files.attachments_of(row.content, stored),
        mime=files.mime_of(row.content, stored),
    )
