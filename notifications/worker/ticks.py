"""Every worker dispatches what is due: a bootstep runs one tick after the other in its pool.

In the pool, because the main process of a prefork worker must own no database connection: its
children would inherit it. A worker runs at most one tick at a time; any number of workers may.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from celery import bootsteps
from django.core.exceptions import ImproperlyConfigured
from django.db import close_old_connections
from django.utils.module_loading import import_string

from ..discretion import describe
from ..pipeline.publish import listeners
from ..schemes import IN_PROCESS
from .consumer import Consumer
from .shutdown import announce
from .turns import FIRST
from .watch import Watch

logger = logging.getLogger(__name__)

TICK = "notifications.pipeline.tick.tick"
IS_UNHEARD = "notifications.pipeline.watch.is_unheard"
"""Named, not imported: this module is loaded with the Celery app, before Django has its models."""

BACKOFF_MAX = 30.0
HARD_LIMIT_SECONDS = 120.0
"""A prefork pool kills the child whose tick takes longer."""

LOST_WORKER_SECONDS = 2.0
"""How long after a child's death its result may still come."""

GIVEN_UP_SECONDS = HARD_LIMIT_SECONDS + 30
"""A tick unheard of for so long is taken for lost, whatever became of it."""

GUARD_SECONDS = 10.0

_running = threading.Lock()


class Result(NamedTuple):
    """What the pool tells the main process."""

    delay: float | None
    """Seconds until the next tick is wanted, None when it failed."""
    is_unheard: bool = False
    """Whether messages wait in a queue that was asked about."""


def run_tick(
    worker: str, doubtful_queues: Sequence[str] = (), queues: Sequence[str] = ()
) -> Result:
    """One tick, in the pool."""
    if not _running.acquire(blocking=False):
        return Result(None)
    close_old_connections()
    try:
        delay = float(import_string(TICK)(worker, queues))
        return Result(delay, bool(doubtful_queues) and import_string(IS_UNHEARD)(doubtful_queues))
    except Exception as error:  # whatever it is, the next tick tries again
        logger.error("a tick failed: %s", describe(error))
        return Result(None)
    finally:
        close_old_connections()
        _running.release()


class Ticks(bootsteps.StartStopStep):
    """Starts the next tick when the last one is done; starts anew with every connection."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **kwargs: Any) -> None:
        super().__init__(consumer, **kwargs)
        self._lock = threading.Lock()
        self._turn = 0
        self._since: float | None = None
        self._failures = 0
        self._guard: Any = None
        self._watch: Watch | None = None

    def start(self, consumer: Any) -> None:
        _refuse_processes_in_a_broker_of_one(consumer)
        listeners.add(consumer.hostname)
        self._begin_watch(consumer)
        self._guard = consumer.timer.call_repeatedly(GUARD_SECONDS, self._check, (consumer,))
        self._plan(consumer, self._turn, 0.0)

    def stop(self, consumer: Any) -> None:
        listeners.discard(consumer.hostname)
        with self._lock:
            self._turn += 1
            self._since = None
        if self._guard is not None:
            consumer.timer.cancel(self._guard)

    def close(self, consumer: Any) -> None:
        # The only place that also hears of `celery control shutdown`.
        announce()
        self.stop(consumer)

    def _begin_watch(self, consumer: Any) -> None:
        if self._watch is None and isinstance(consumer, Consumer):
            self._watch = Watch(consumer)
        if self._watch is not None:
            self._watch.begin()

    def _plan(self, consumer: Any, turn: int, delay: float) -> None:
        """Enter the turn after `turn`; does nothing when that is over or given up."""
        with self._lock:
            if turn != self._turn:
                return
            self._turn += 1
            self._since = None
            consumer.timer.call_after(delay, self._submit, (consumer, self._turn))

    def _submit(self, consumer: Any, turn: int) -> None:
        with self._lock:
            if turn != self._turn:
                return
            self._since = time.monotonic()
        _with_free_slot(consumer, partial(self._run, consumer, turn))

    def _run(self, consumer: Any, turn: int) -> None:
        if turn != self._turn:
            _give_back_slot(consumer)
            return
        done = partial(self._done, consumer, turn)
        consumer.pool.apply_async(
            run_tick,
            (
                consumer.hostname,
                self._watch.doubtful_queues() if self._watch else (),
                list(consumer.app.amqp.queues.consume_from),
            ),
            callback=done,
            error_callback=lambda _: done(Result(None)),
            timeout=HARD_LIMIT_SECONDS,
            lost_worker_timeout=LOST_WORKER_SECONDS,
        )

    def _done(self, consumer: Any, turn: int, result: Result) -> None:
        delay = result.delay
        self._failures = 0 if delay is not None else self._failures + 1
        if delay is None:
            delay = min(2.0 ** (self._failures - 1), BACKOFF_MAX)
        _in_main_loop(consumer, partial(self._plan, consumer, turn, delay))
        if result.is_unheard and self._watch is not None:
            _in_main_loop(consumer, self._watch.conclude)

    def _check(self, consumer: Any) -> None:
        since, turn = self._since, self._turn
        if since is not None and time.monotonic() - since > GIVEN_UP_SECONDS:
            logger.error("a tick was lost; starting another")
            self._plan(consumer, turn, 0.0)


def _refuse_processes_in_a_broker_of_one(consumer: Any) -> None:
    scheme = consumer.conninfo.transport.driver_type
    if scheme in IN_PROCESS and consumer.pool.uses_semaphore:
        raise ImproperlyConfigured(
            f"the broker {scheme}:// lives in one process; start the worker with --pool threads"
        )


def _with_free_slot(consumer: Any, function: Callable[[], None]) -> None:
    """Call when a process of the pool is free: at once where the pool does not count them."""
    if turns := getattr(consumer, "turns", None):
        turns.take(FIRST, function)
    elif _slots(consumer) is None:
        function()
    else:
        _slots(consumer).acquire(function)


def _give_back_slot(consumer: Any) -> None:
    if _slots(consumer) is not None:
        _slots(consumer).release()


def _slots(consumer: Any) -> Any:
    return consumer.controller.semaphore if consumer.pool.uses_semaphore else None


def _in_main_loop(consumer: Any, function: Callable[[], None]) -> None:
    """From whatever thread a pool reports in; a timer without a loop may be shared by threads."""
    if consumer.hub is None:
        function()
    else:
        consumer.hub.call_soon(function)
