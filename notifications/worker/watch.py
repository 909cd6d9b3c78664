"""A worker that no longer hears its broker notices it, and takes a new connection.

Consumers of Celery have gone deaf after a reconnection (celery#8030, kombu#2498, 2026-11): the
process lives, answers pings, and receives nothing. The main process knows what it receives and
whether its pool has places free; the pool is asked whether messages wait all the same.
"""

import logging
import time
from typing import Any

from celery.signals import task_received

from ..signals import consumer_restarted

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 10.0
"""For how long a worker with free places receives nothing before it asks whether it should."""

PATIENCE_MAX = 320.0
"""What patience grows to, doubling with each new connection that changed nothing."""

ASK_SECONDS = 5.0
"""How often it asks at most while it goes on receiving nothing."""


class Watch:
    """What one consumer has heard; all but `hear` is called in the worker's main loop."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._patience = PATIENCE_SECONDS
        self._quiet_since = self._asked_at = time.monotonic()
        task_received.connect(self.hear, sender=consumer)

    def hear(self, **_: Any) -> None:
        """A message has come: whatever was wrong, it is over."""
        self._quiet_since = time.monotonic()
        self._patience = PATIENCE_SECONDS

    def begin(self) -> None:
        """The consumer has a connection, and some time to hear something."""
        self._quiet_since = time.monotonic()

    def doubtful_queues(self) -> list[str]:
        """The queues it reads, when it has had time for long and heard nothing; else none."""
        now = time.monotonic()
        if not self._has_time():
            self._quiet_since = now
        if now - self._quiet_since < self._patience or now - self._asked_at < ASK_SECONDS:
            return []
        self._asked_at = now
        return list(self._consumer.app.amqp.queues.consume_from)

    def conclude(self) -> None:
        """Messages wait: take a new connection, unless something was heard meanwhile."""
        quiet = time.monotonic() - self._quiet_since
        if quiet < self._patience:
            return
        self._patience = min(self._patience * 2, PATIENCE_MAX)
        logger.warning(
            "nothing was received for %d s although messages wait; taking a new connection", quiet
        )
        consumer_restarted.send_robust(sender=type(self._consumer))
        self._consumer.restart()

    def _has_time(self) -> bool:
        places = self._consumer.pool.num_processes
        return bool(self._consumer.count_in_hand() < places)
