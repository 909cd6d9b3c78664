"""Celery's consumer with a `rate_limit` that holds, turns by urgency, and a way to begin anew.

Stock, every buffered message arms a timer of its own that arms itself again when it finds no
token; the event loop then fires ten of them and sleeps a second. `50/s` became 1.6/s with four
buffered messages (celery#6845, celery#5927; measured on 5.7.0, 2026-11). Here a bucket has one
timer. This overrides private methods, so `requirements.txt` pins Celery to 5.7.
"""

import logging
import threading
from typing import Any

from amqp.exceptions import PreconditionFailed
from celery.utils.time import rate
from celery.worker import consumer, state
from kombu.utils.limits import TokenBucket

from .turns import Turns, rank_of

logger = logging.getLogger(__name__)

MARGIN = 0.98
"""Share of the limit that is used: what is late once in a while must not add up to more."""

CATCH_UP_SECONDS = 0.005
"""How much lateness of a timer is made up for, at least half the gap between two tasks."""

SHORTEST_WAIT = 0.0005

OTHER_KIND = (
    "RabbitMQ has a queue of another kind under a name of ours, most likely a classic one of an "
    "older installation; nothing is delivered until it is gone. Our queues hold no more than "
    "hints: delete it with `rabbitmqctl delete_queue NAME`, for every queue that begins with "
    "`notifications.`, and the worker goes on by itself. The broker says: %s"
)


class Consumer(consumer.Consumer):
    """One pending timer for each bucket, from whichever thread it is asked."""

    _limit_move_to_pool: Any
    controller: Any
    hub: Any
    task_buckets: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._limits = threading.RLock()
        self._wakes: dict[Any, Any] = {}
        self._is_restart_wanted = False
        self.turns: Turns | None = None
        super().__init__(*args, **kwargs)
        if self.pool.uses_semaphore and self.controller.semaphore is not None:
            self.turns = Turns(self.controller.semaphore)
            self.on_task_request = self._take_turn

    def restart(self) -> None:
        """Drop the connection and connect anew, as after a connection loss; from any thread."""
        if self.hub is None:
            self._is_restart_wanted = True
        else:
            self.hub.call_soon(_lose_connection)

    def perform_pending_operations(self) -> None:
        """Without an event loop, the one place of each turn from which an error gets out."""
        if self._is_restart_wanted:
            self._is_restart_wanted = False
            _lose_connection()
        super().perform_pending_operations()

    def count_in_hand(self) -> int:
        """Messages that wait for the pool, are in it, or wait for their rate limit."""
        buckets = [bucket for bucket in self.task_buckets.values() if bucket]
        return len(state.reserved_requests) + sum(len(bucket.contents) for bucket in buckets)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        if isinstance(exc, PreconditionFailed) and "inequivalent arg" in str(exc):
            logger.critical(OTHER_KIND, exc)
        super().on_connection_error_after_connected(exc)

    def bucket_for_task(self, type: Any) -> Any:
        """The bucket of a task with a `rate_limit`, None for one without."""
        limit = rate(type.rate_limit) if type.rate_limit else 0
        if not limit:
            return None
        capacity: Any = 1 + max(0.5, limit * CATCH_UP_SECONDS)
        return TokenBucket(limit * MARGIN, capacity)

    def on_close(self) -> None:
        """Forget the timers with the connection: their messages come again with the next one."""
        with self._limits:
            for entry in self._wakes.values():
                self.timer.cancel(entry)
            self._wakes.clear()
        if self.turns is not None:
            self.turns.clear()
        super().on_close()

    def _take_turn(self, request: Any) -> None:
        assert self.turns is not None  # noqa: S101 - an invariant
        self.turns.take(rank_of(request), self.controller._process_task, request)

    def _schedule_bucket_request(self, bucket: Any) -> None:
        with self._limits:
            while bucket.contents and bucket not in self._wakes:
                request, tokens = bucket.contents[0]
                if bucket.can_consume(tokens):
                    bucket.contents.popleft()
                    self._limit_move_to_pool(request)
                else:
                    wait = max(bucket.expected_time(tokens), SHORTEST_WAIT)
                    self._wakes[bucket] = self.timer.call_after(wait, self._wake, (bucket,))

    def _wake(self, bucket: Any) -> None:
        with self._limits:
            self._wakes.pop(bucket, None)
            self._schedule_bucket_request(bucket)


def _lose_connection() -> None:
    raise ConnectionResetError("the worker takes a new connection")
