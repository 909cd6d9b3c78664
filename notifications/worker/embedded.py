"""A Celery worker in a thread of this process, as `manage.py serve` runs it."""

import os
import socket
import threading
from typing import Any

from celery import Celery
from celery.worker import WorkController
from celery.worker import state as worker_state
from kombu.asynchronous import set_event_loop

from ..transport import broker
from . import shutdown
from .timer import Timer


class EmbeddedWorker:
    """At most one in a process: Celery keeps the state of a worker in module globals.

    It touches neither signal handlers nor `sys.stdout`.
    """

    def __init__(self, app: Celery, concurrency: int = 2) -> None:
        self.app = app
        self.concurrency = concurrency
        self._ready = threading.Event()
        self._worker: Any = None
        self._thread: threading.Thread | None = None

    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def start(self, timeout: float = 10.0) -> bool:
        """Start, and wait up to `timeout` seconds until it takes messages.

        False when it does not yet: the broker is away, and the worker goes on trying to reach it.
        Raises RuntimeError when it is running already or has failed.
        """
        if self.is_alive():
            raise RuntimeError("the embedded worker is running already")
        shutdown.renew()
        self._ready.clear()
        self._worker = self._make()
        self._thread = threading.Thread(target=self._run, name="celery-embedded", daemon=True)
        self._thread.start()
        ready = self._ready.wait(timeout)
        if not self.is_alive():
            raise RuntimeError("the embedded worker could not start; the log says why")
        return ready

    def stop(self, timeout: float = 30.0) -> bool:
        """Warm shutdown: finish what is running, give back the rest; False when time ran out."""
        if self._thread is None:
            return True
        shutdown.announce()
        _tell_to_stop(os.EX_OK)
        broker.notify()
        if self._worker.hub is not None:
            self._worker.hub.call_soon(_wake)
        self._thread.join(timeout)
        return not self.is_alive()

    def _make(self) -> WorkController:
        # The default of the process, not of the thread: tasks publish from the pool's threads,
        # and a retry from one of them went to Celery's default broker and was lost.
        self.app.set_default()
        self.app.finalize()
        _tell_to_stop(None)
        # A worker takes the loop it finds, and with it the timer of the worker before.
        set_event_loop(None)
        return WorkController(
            app=self.app,
            hostname=f"embedded-{os.getpid()}@{socket.gethostname()}",
            pool="threads",
            concurrency=self.concurrency,
            timer_cls=Timer,
            ready_callback=lambda _: self._ready.set(),
            without_gossip=True,
            without_heartbeat=True,
            without_mingle=True,
        )

    def _run(self) -> None:
        self.app.set_current()
        self._worker.start()


def _tell_to_stop(exit_code: int | None) -> None:
    """Set the flag that every turn of a worker's loop looks at."""
    flags: Any = worker_state
    flags.should_stop = exit_code


def _wake() -> None:
    """Nothing: that it is called turns the event loop once, and the loop sees it is to stop."""
