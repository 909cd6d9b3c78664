"""What was left behind: leases that ran out, and notifications whose time is over."""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from ..conf import get_settings
from ..enums import Channel, State, Status
from ..messages import Outcome
from ..models import Notification
from ..signals import rows_rescued
from . import database, events
from .settle import Ended, settle
from .told import Settled, tell_settled

GRACE_SECONDS = 5.0
"""How long after the end of a lease its holder may still report before it is given up."""

MOST = 1000
"""Rows of one kind taken in hand in one round."""

LOST = Outcome.ambiguous("worker_lost", "the worker ended while the provider may have had it")


def rescue() -> int:
    """Take in hand what a lost worker held; how many rows that was.

    Leased rows were provably not sent and go back in line. Dispatching rows may have been
    sent: their attempt is written down as ambiguous and the channel's policy decides.
    """
    return _return_leased() + _settle_dispatching()


def expire(ids: Collection[UUID] | None = None) -> int:
    """End what is past its `expires_at`, among `ids` or wherever it waits; how many."""
    with database.atomic():
        overdue = Notification.objects.overdue()
        rows = list((overdue if ids is None else overdue.filter(pk__in=ids)).lock()[:MOST])
        _close(rows, Notification.objects.expire([row.pk for row in rows]), Status.EXPIRED)
    return len(rows)


def _return_leased() -> int:
    most = get_settings().max_abandons
    with database.atomic():
        rows = list(Notification.objects.lapsed(State.LEASED, GRACE_SECONDS).lock()[:MOST])
        poisonous = [row for row in rows if row.abandon_count + 1 >= most]
        sound = [row.pk for row in rows if row.abandon_count + 1 < most]
        Notification.objects.return_lapsed(sound)
        _close(poisonous, Notification.objects.poison([row.pk for row in poisonous]), Status.FAILED)
    _report("leased", len(rows))
    return len(rows)


def _settle_dispatching() -> int:
    now = database.now()
    with database.atomic():
        rows = list(Notification.objects.lapsed(State.DISPATCHING, GRACE_SECONDS).lock()[:MOST])
        by_attempt: dict[tuple[UUID | None, str], list[Notification]] = defaultdict(list)
        for row in rows:
            by_attempt[row.lease_token, row.provider].append(row)
        for (token, provider), held in by_attempt.items():
            if token is not None:
                settle(token, provider, [Ended(row, _lost(row, now)) for row in held])
    _report("dispatching", len(rows))
    return len(rows)


def _lost(row: Notification, now: datetime) -> Outcome:
    began = row.dispatched_at or now
    return replace(LOST, seconds=max(0.0, (now - began).total_seconds()))


def _close(rows: list[Notification], moved: int, status: Status) -> None:
    """Announce what `moved` says has ended; the rows are locked, so it is all of them."""
    assert moved == len(rows), "a locked row moved under our hands"  # noqa: S101 - an invariant
    events.record([row.pk for row in rows])
    database.on_commit(lambda: _tell(rows, status))


def _tell(rows: list[Notification], status: Status) -> None:
    tell_settled(Settled(row.pk, Channel(row.channel), status) for row in rows)


def _report(reason: str, count: int) -> None:
    if count:
        rows_rescued.send_robust(sender=Notification, reason=reason, count=count)
