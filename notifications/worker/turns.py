"""Who goes next when a place in the pool becomes free: a tick, then the most urgent message.

Celery's own line is first come, first served. RabbitMQ grants a worker its prefetch of every
quorum queue apart, so that with ten queues it may hold ten times as many messages as the pool has
places: what is urgent, and the tick that keeps everything moving, would stand behind them all.
"""

import heapq
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

from ..enums import Priority
from ..pipeline.publish import OPERATIONS_QUEUE

FIRST = -1
"""Before every message."""

RANKS = {f".{priority.label}": priority.value for priority in Priority}

Turn = tuple[int, int, Callable[[], Any]]


class Turns:
    """A semaphore whose places go by rank, the lowest first, then by age."""

    def __init__(self, semaphore: Any) -> None:
        self._semaphore = semaphore
        self._waiting: list[Turn] = []
        self._count = itertools.count()

    def take(self, rank: int, function: Callable[..., Any], *args: Any) -> None:
        """Call when it is its turn, now if a place is free; the pool gives the place back."""
        turn: Turn = (rank, next(self._count), partial(function, *args))
        heapq.heappush(self._waiting, turn)
        # Celery's line keeps only places in it: whose they are is decided when one is free.
        self._semaphore.acquire(self._call_next)

    def clear(self) -> None:
        """Forget who waits, as Celery's own line is forgotten with the connection."""
        self._waiting.clear()

    def _call_next(self) -> None:
        _, _, function = heapq.heappop(self._waiting)
        function()


def rank_of(request: Any) -> int:
    """How urgent a message is by its queue; those of the project stand among the normal ones."""
    queue = str((request.delivery_info or {}).get("routing_key") or "")
    if queue.endswith(OPERATIONS_QUEUE):
        return Priority.URGENT.value
    ranks = (rank for ending, rank in RANKS.items() if queue.endswith(ending))
    return next(ranks, Priority.NORMAL.value)
