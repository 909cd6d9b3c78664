"""How much of a lane should wait in the broker: what can be sent soon, and not everything.

What waits in the broker waits in the order of its coming, and nothing that is more urgent or of
another tenant can pass it. So it is kept to about what the workers take between two looks,
which nobody has to be told: found empty while more was owed, it was too little, and is doubled;
still half there after a second, it was too much, and shrinks by a quarter. (So TCP finds the
speed of a network: RFC 5681.)

All dispatchers learn together, and one at a time fills a queue. With an account of its own each
would size its messages otherwise, and take those of the others for its own: some then release
nothing and some seconds of work.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from math import ceil, inf
from uuid import UUID, uuid4

from django.db.models import DurationField, ExpressionWrapper, F
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now

from ..conf import get_settings
from ..models import QueueBacklog
from . import database

MESSAGES = 4
"""For each worker, in so many messages: a slow provider's are small, so that none takes long."""

LEAST_MESSAGES, LEAST_IDS = 2, 5
"""For each worker and in a message, at least: each message costs some statements of its own, and
where these are what makes it slow, smaller ones would make it slower."""

MOST_MESSAGES = 20
"""Full messages for each worker at most."""

FRESH_SECONDS = 5.0
"""What was released longer ago says nothing of the speed now."""

FORGET_SECONDS = 300.0
"""After so long without a look, providers and workers may be others: it is learnt anew."""

GROW_SECONDS = 0.2
"""Several looks at once are one: what the first has just released has had no time to go."""

SHRINK_SECONDS = 1.0
"""About so much work is to wait in the broker."""

HOLD_SECONDS = 2.0
"""How long a dispatcher that died keeps the others from its queue."""


@dataclass(slots=True)
class Backlog:
    """What is known of one lane; `target` counts notifications, the last two are seconds ago."""

    batch_size: int
    workers: int = 1
    target: int = 0
    was_filled: bool = False
    looked: float = inf
    adjusted: float = inf

    def __post_init__(self) -> None:
        if not self.target or self.looked > FORGET_SECONDS:
            self.target = MESSAGES * self.batch_size

    @property
    def size(self) -> int:
        """How many ids a message carries."""
        share = ceil(self.target / (MESSAGES * self.workers))
        return min(self.batch_size, max(LEAST_IDS, share))

    def room(self, waiting: int) -> int:
        """How many notifications may be released while so many messages are still waiting."""
        self._adjust(waiting)
        self.looked = 0.0
        return max(0, self.target - waiting * self.size)

    def tell(self, room: int, released: int) -> None:
        """Whether the room was used up, or there was no more to release."""
        self.was_filled = 0 < room <= released

    def _adjust(self, waiting: int) -> None:
        if waiting * 2 > ceil(self.target / self.size):
            if self.adjusted >= SHRINK_SECONDS:
                least = LEAST_MESSAGES * LEAST_IDS * self.workers
                self._become(max(least, self.target * 3 // 4))
        elif not waiting and self.was_filled and self._is_telling():
            most = MOST_MESSAGES * self.batch_size * self.workers
            self._become(min(most, self.target * 2))

    def _is_telling(self) -> bool:
        return self.adjusted >= GROW_SECONDS and self.looked < FRESH_SECONDS

    def _become(self, target: int) -> None:
        self.target = target
        self.adjusted = 0.0


@contextmanager
def held(queue: str, workers: int) -> Iterator[Backlog | None]:
    """The backlog of `queue`, for the caller alone; None while another dispatcher has it."""
    holder = uuid4()
    backlog = _take(queue, workers, holder)
    try:
        yield backlog
    finally:
        if backlog:
            _give_back(queue, holder, backlog)


def _take(queue: str, workers: int, holder: UUID) -> Backlog | None:
    row = QueueBacklog.objects.filter(pk=queue)
    known = ("target", "was_filled", _ago("looked_at"), _ago("adjusted_at"))
    free = row.filter(held_until__lte=Now()).lock().values_list(*known)
    until = Now() + timedelta(seconds=HOLD_SECONDS)
    with database.quick():
        found = free.first()
        if not found and not row.exists():
            QueueBacklog.objects.bulk_create([QueueBacklog(queue=queue)], ignore_conflicts=True)
            found = free.first()
        if not found:
            return None
        row.update(holder=holder, held_until=until)
    target, was_filled, looked, adjusted = found
    ages = looked.total_seconds(), adjusted.total_seconds()
    return Backlog(get_settings().batch_size, workers, target, was_filled, *ages)


def _give_back(queue: str, holder: UUID, backlog: Backlog) -> None:
    with database.quick():
        QueueBacklog.objects.filter(pk=queue, holder=holder).update(
            target=backlog.target,
            was_filled=backlog.was_filled,
            looked_at=F("looked_at") if backlog.looked else Now(),
            adjusted_at=F("adjusted_at") if backlog.adjusted else Now(),
            held_until=Now(),
        )


def _ago(moment: str) -> "ExpressionWrapper[CombinedExpression]":
    return ExpressionWrapper(Now() - F(moment), output_field=DurationField())
