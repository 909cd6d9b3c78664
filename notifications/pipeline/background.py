"""Work that a row stands for: a worker holds it under a lease, and another takes it over.

The broker's message is a hint: what nobody has in hand is found by the workers' ticks.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from ..enums import JobState
from ..exceptions import BrokerUnavailable
from ..models import Import, Job
from . import database

logger = logging.getLogger(__name__)

LEASE_SECONDS = 30.0

Work = TypeVar("Work", Job, Import)
Ask = Callable[[UUID], None]


def take(rows: QuerySet[Work], id: UUID, token: UUID) -> bool:
    """Lease it, where it is among `rows` and nobody is at work on it: a message may come twice."""
    free = rows.filter(pk=id, state=JobState.RUNNING, lease_token=None)
    return bool(free.update(lease_token=token, lease_until=_later()))


def held(rows: QuerySet[Work], id: UUID, token: UUID) -> Work | None:
    """The row, locked, while it is still to be done by the holder of `token`; in a transaction."""
    mine = rows.filter(pk=id, lease_token=token, state=JobState.RUNNING)
    return mine.select_for_update().first()


def let_go(rows: QuerySet[Work], id: UUID, token: UUID) -> None:
    rows.filter(pk=id, lease_token=token).update(lease_token=None, lease_until=Now())


def resume(rows: QuerySet[Work], ask: Ask) -> None:
    """Have a worker go on with what nobody has in hand; never raises for the broker's sake."""
    left = rows.filter(state=JobState.RUNNING, lease_until__lt=Now())
    for id in list(left.values_list("pk", flat=True)):
        # So that no other worker asks for it too; a message that is lost is sent again then.
        if left.filter(pk=id).update(lease_token=None, lease_until=_later()):
            ask(id)


def stop(rows: QuerySet[Work], id: UUID) -> bool:
    """End it after the slice at hand; whether it was still running."""
    running = rows.filter(pk=id, state=JobState.RUNNING)
    return bool(running.update(state=JobState.STOPPED, finished_at=Now()))


def go_on(rows: QuerySet[Work], id: UUID, ask: Ask) -> bool:
    """Take up one that was stopped, from where it was; whether it was."""
    stopped = rows.filter(pk=id, state=JobState.STOPPED)
    found = stopped.update(
        state=JobState.RUNNING, finished_at=None, lease_token=None, lease_until=_later()
    )
    if found:
        database.on_commit(lambda: ask(id))
    return bool(found)


def ask_for(request: Ask, id: UUID) -> None:
    """`request` it of a worker; without a broker, a worker's tick finds it."""
    try:
        request(id)
    except BrokerUnavailable as error:
        logger.warning("the broker is away (%s); a worker's tick goes on with it", error)


def _later() -> CombinedExpression:
    return Now() + timedelta(seconds=LEASE_SECONDS)
