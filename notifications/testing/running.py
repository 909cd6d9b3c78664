"""The pipeline, run by the test itself: what workers do, one round after the other, until now."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import product
from uuid import UUID

from ..conf import get_settings
from ..enums import Channel, Priority
from ..models import Notification
from ..pipeline import database, policy
from ..pipeline.deliver import deliver
from ..pipeline.rescue import expire, rescue
from .isolation import SCRIPTED, isolated

SQLITE_TICK_SECONDS = 0.002
"""SQLite's clock counts milliseconds: what was stored in this one is not due before the next."""

ROUNDS_MAX = 1000


def deliver_due() -> int:
    """Deliver all that is due now, by scripted providers; how many attempts were made.

    The transaction of a `TestCase` counts as committed; inside any other it raises RuntimeError.
    What becomes due later, as a retry or on schedule, stays as it is: `travel` there. Receivers of
    signals are called as after a commit.
    """
    _refuse_uncommitted()
    with nullcontext() if _is_isolated() else isolated(), _committing():
        time.sleep(SQLITE_TICK_SECONDS)
        policy.forget()
        rescue()
        expire()
        return _run()


def _run() -> int:
    """Until nothing is due: what an attempt comes to may make the row due again at once."""
    attempts = 0
    for _ in range(ROUNDS_MAX):
        settled = [deliver(channel, ids).settled for channel, ids in _due()]
        if not settled:
            break
        attempts += sum(settled)
    return attempts


def _due() -> Iterator[tuple[Channel, list[UUID]]]:
    """What one broker message would carry of each lane, the most urgent first."""
    most = get_settings().batch_size
    for priority, channel in product(Priority, Channel):
        due = Notification.objects.due().filter(channel=channel, priority=priority)
        if ids := list(due.order_by("due_at", "pk").values_list("pk", flat=True)[:most]):
            yield channel, ids


def _is_isolated() -> bool:
    return all(provider.backend == SCRIPTED for provider in get_settings().providers.values())


def _refuse_uncommitted() -> None:
    """A worker sees nothing of a transaction that is open; only the test's own does not count."""
    blocks = database.connection().atomic_blocks
    if not all(getattr(block, "_from_testcase", False) for block in blocks):
        raise RuntimeError(
            "deliver_due() was called inside atomic(): nothing is committed there yet, so nothing "
            "would be delivered. Call it after the block."
        )


@contextmanager
def _committing() -> Iterator[None]:
    """Call what was to be called after the commits of the block, which a `TestCase` never makes."""
    connection = database.connection()
    before = len(connection.run_on_commit)
    yield
    while len(connection.run_on_commit) > before:
        function: Callable[[], object] = connection.run_on_commit.pop(before)[1]
        function()
