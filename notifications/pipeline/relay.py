"""After the commit and off the caller's thread: what was just accepted becomes broker messages.

One thread for each process publishes what comes after a rest at once, and what comes thick
gathered: one message for each channel and priority, twenty times a second. It may fail, lag or
die: every row stays due, and the dispatcher finds it.
"""

import atexit
import logging
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from ..conf import get_settings
from ..enums import Channel, Priority
from ..exceptions import BrokerUnavailable
from .publish import is_heard, publish, request_dispatch

logger = logging.getLogger(__name__)

QUEUE_MAX = 100_000
"""Ids held at most while the broker is slow; beyond it, rows wait for the dispatcher."""

REST_SECONDS = 5.0
"""How long nothing is tried after the broker failed."""

HANDOVER_SECONDS = 0.003
"""How long a caller lets a publishing thread that was at rest go first. Both would want the
interpreter, and what is published can be under way while the caller writes its answer.
"""

DISPATCH_SECONDS = 0.25
"""How often a dispatcher is woken at most; while there is work, it looks as often by itself."""

Lane = tuple[Channel, Priority]


def offer(channel: Channel, priority: Priority, ids: Sequence[UUID]) -> None:
    """Hand over ids of committed, due rows; returns within milliseconds and never raises."""
    if not _mutes and is_heard():
        _relay.offer((channel, priority), ids)


def offer_dispatch() -> None:
    """Have a dispatcher look at once for rows that are not relayed; never raises."""
    if not _mutes and is_heard():
        _relay.offer_dispatch()


def flush(timeout: float) -> bool:
    """Wait until all that was offered is published or given up; False when time ran out."""
    return _relay.flush(timeout)


@contextmanager
def muted() -> Iterator[None]:
    """Inside the block offers of this process are dropped: for tests, which may have no broker."""
    _mutes.append(True)
    try:
        yield
    finally:
        _mutes.pop()


_mutes: list[bool] = []


class Relay:
    """The queue between callers and the publishing thread, which starts with the first offer."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[Lane, list[UUID]] = defaultdict(list)
        self._count = 0
        self._is_dispatch_wanted = False
        self._dispatch_from = 0.0
        self._gather_until = 0.0
        self._busy = False
        self._rest_until = 0.0
        self._thread: threading.Thread | None = None

    def offer(self, lane: Lane, ids: Sequence[UUID]) -> None:
        with self._changed:
            if self._count + len(ids) > QUEUE_MAX or time.monotonic() < self._rest_until:
                return
            self._waiting[lane].extend(ids)
            self._count += len(ids)
            self._wake()
            if not self._busy and time.monotonic() >= self._gather_until:
                self._changed.wait_for(self._is_done, HANDOVER_SECONDS)

    def offer_dispatch(self) -> None:
        with self._changed:
            if time.monotonic() >= self._rest_until:
                self._is_dispatch_wanted = True
                self._wake()

    def flush(self, timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(self._is_done, timeout)

    def _is_done(self) -> bool:
        return not self._has_work() and not self._busy

    def _has_work(self) -> bool:
        return self._count > 0 or self._is_dispatch_wanted

    def _is_dispatch_due(self) -> bool:
        return self._is_dispatch_wanted and time.monotonic() >= self._dispatch_from

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="relay", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            self._publish(*self._gather())
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _gather(self) -> tuple[dict[Lane, list[UUID]], bool]:
        with self._changed:
            self._wait_for_work()
            gathered, self._waiting = self._waiting, defaultdict(list)
            self._count, self._busy = 0, True
            dispatch = self._is_dispatch_due()
            if dispatch:
                self._is_dispatch_wanted = False
                self._dispatch_from = time.monotonic() + DISPATCH_SECONDS
        return gathered, dispatch

    def _wait_for_work(self) -> None:
        settings = get_settings()
        self._changed.wait_for(self._has_work)
        if not self._count:  # a request too soon after the last one waits, but not for more
            rest = self._dispatch_from - time.monotonic()
            self._changed.wait_for(lambda: self._count > 0, max(0.0, rest))
        if self._count:
            rest = self._gather_until - time.monotonic()
            self._changed.wait_for(lambda: self._count >= settings.batch_size, max(0.0, rest))
            self._gather_until = time.monotonic() + settings.relay_milliseconds / 1000

    def _publish(self, gathered: dict[Lane, list[UUID]], dispatch: bool) -> None:
        size = get_settings().batch_size
        try:
            for (channel, priority), ids in sorted(gathered.items(), key=lambda lane: lane[0][1]):
                for start in range(0, len(ids), size):
                    publish(channel, priority, ids[start : start + size])
            if dispatch:
                request_dispatch()
        except BrokerUnavailable as error:
            self._rest(str(error))
        except Exception as error:  # whatever it is: this thread must outlive it
            self._rest(type(error).__name__)

    def _rest(self, reason: str) -> None:
        logger.warning("the broker is away (%s); the dispatcher will find the rows", reason)
        self._rest_until = time.monotonic() + REST_SECONDS


_relay = Relay()


def _start_anew() -> None:
    """A forked child has neither the thread nor any business with its parent's queue."""
    global _relay
    _relay = Relay()


os.register_at_fork(after_in_child=_start_anew)
atexit.register(flush, 1.0)
