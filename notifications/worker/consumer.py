"""Celery's consumer with a `rate_limit` that holds.

Stock, every buffered message arms a timer of its own that arms itself again when it finds no
token; the event loop then fires ten of them and sleeps a second. `50/s` became 1.6/s with four
buffered messages (celery#6845, celery#5927; measured on 5.7.0, 2026-11). Here a bucket has one
timer. This overrides private methods, so `requirements.txt` pins Celery to 5.7.
"""

import threading
from typing import Any

from celery.utils.time import rate
from celery.worker import consumer
from kombu.utils.limits import TokenBucket

MARGIN = 0.98
"""Share of the limit that is used: what is late once in a while must not add up to more."""

CATCH_UP_SECONDS = 0.005
"""How much lateness of a timer is made up for, at least half the gap between two tasks."""

SHORTEST_WAIT = 0.0005


class Consumer(consumer.Consumer):
    """One pending timer for each bucket, from whichever thread it is asked."""

    _limit_move_to_pool: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._limits = threading.RLock()
        self._wakes: dict[Any, Any] = {}
        super().__init__(*args, **kwargs)

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
        super().on_close()

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
