"""A broker inside the process, for the embedded worker: `CELERY_BROKER_URL=embedded://`.

Kombu's own `memory://` sleeps a second whenever there is nothing to do or the prefetch is full:
17 tasks a second, two seconds of latency. This one waits on a condition variable, gives back what
was taken but not finished when its worker stops, and serves queues in the order of their
declaration, so that urgent goes before bulk. Messages live as long as the process.
"""

import os
import threading
import time
from collections import defaultdict, deque
from queue import Empty
from typing import Any

from celery.worker import state as worker_state
from kombu.exceptions import OperationalError
from kombu.transport import base, virtual

from .schemes import EMBEDDED

QUEUE_MAX = 100_000
"""Messages a queue holds at most: one that nobody reads must not eat the memory."""


class Broker:
    """All messages and declarations of the process, and the condition their readers wait on."""

    def __init__(self) -> None:
        self.queues: defaultdict[str, deque[Any]] = defaultdict(deque)
        self.declared = virtual.BrokerState()
        self.version = 0
        self.renew_lock()

    def notify(self) -> None:
        """Wake every waiting reader: something may have become possible."""
        with self.changed:
            self.version += 1
            self.changed.notify_all()

    def wait(self, seen: int, timeout: float | None) -> bool:
        """True as soon as anything changed since `seen`, False after `timeout` seconds."""
        with self.changed:
            return self.changed.wait_for(lambda: self.version != seen, timeout)

    def renew_lock(self) -> None:
        """A new lock; in a forked child the old one may be held by a thread it does not have."""
        self.changed = threading.Condition(threading.RLock())


broker = Broker()
os.register_at_fork(after_in_child=broker.renew_lock)


class QoS(virtual.QoS):
    """Counts what a channel holds; every place that becomes free wakes the reader."""

    def ack(self, delivery_tag: Any) -> None:
        super().ack(delivery_tag)
        broker.notify()

    def reject(self, delivery_tag: Any, requeue: bool = False) -> None:
        super().reject(delivery_tag, requeue=requeue)
        broker.notify()


class Channel(virtual.Channel):
    """One reader's or writer's view of the broker."""

    QoS = QoS
    do_restore = True
    supports_fanout = True

    def exchange_declare(self, *args: Any, **kwargs: Any) -> None:
        # Kombu looks and then adds; two threads that declare at once would lose a binding.
        with broker.changed:
            super().exchange_declare(*args, **kwargs)

    def queue_bind(self, *args: Any, **kwargs: Any) -> None:
        with broker.changed:
            super().queue_bind(*args, **kwargs)

    def _put(self, queue: str, message: Any, **_: Any) -> None:
        with broker.changed:
            waiting = broker.queues[queue]
            if message.get("redelivered"):
                waiting.appendleft(message)
            elif len(waiting) < QUEUE_MAX:
                waiting.append(message)
            else:
                raise OperationalError(f"{QUEUE_MAX} messages wait in {queue}: nobody reads it")
            broker.notify()

    def _put_fanout(self, exchange: str, message: Any, routing_key: str, **_: Any) -> None:
        for queue in self._lookup(exchange, routing_key):
            self._put(queue, message)

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        try:
            return broker.queues[queue].popleft()
        except IndexError:
            raise Empty from None

    def _poll(self, cycle: Any, callback: Any, timeout: float | None = None) -> None:
        # In the order of declaration, not in turn: what is urgent is declared first.
        for queue in self._active_queues:
            if broker.queues[queue]:
                return self._get_and_deliver(queue, callback)
        raise Empty

    def _has_queue(self, queue: str, **_: Any) -> bool:
        return queue in broker.queues

    def _new_queue(self, queue: str, **_: Any) -> None:
        with broker.changed:
            broker.queues.setdefault(queue, deque())

    def _queue_bind(self, *_: Any) -> None:
        """Nothing to add: the bindings are in the broker's declarations."""

    def _size(self, queue: str) -> int:
        return len(broker.queues[queue])

    def _purge(self, queue: str) -> int:
        with broker.changed:
            size = self._size(queue)
            broker.queues[queue].clear()
            return size

    def _delete(self, queue: str, *_: Any, **__: Any) -> None:
        broker.queues.pop(queue, None)


class Transport(virtual.Transport):
    """What kombu opens for `embedded://`."""

    Channel = Channel
    cycle: Any
    driver_type = driver_name = EMBEDDED
    implements = base.Transport.implements

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self.state = broker.declared

    @property
    def default_connection_params(self) -> dict[str, Any]:
        return {}

    def driver_version(self) -> str:
        return "N/A"

    def drain_events(self, connection: Any, timeout: float | None = None, **_: Any) -> None:
        """Deliver one message; raises TimeoutError when none came, or the worker is to stop."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not _worker_stops():
            seen = broker.version
            try:
                self.cycle.get(self._deliver)
                return
            except Empty:
                rest = None if deadline is None else max(deadline - time.monotonic(), 0)
                if not broker.wait(seen, rest):
                    break
        raise TimeoutError


def _worker_stops() -> bool:
    """Whether Celery was told to stop; its flags hold an exit code, and 0 is one."""
    flags: tuple[Any, ...] = (worker_state.should_stop, worker_state.should_terminate)
    return any(flag is not None and flag is not False for flag in flags)
