"""An embedded worker on an app of its own, with tasks that note what they do."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from celery import Celery

from notifications.worker import EmbeddedWorker, setup, stopping
from tests.processes import wait_until

ticks: list[float] = []
"""When the dispatcher's stand-in was called."""


def tick(worker: str, queues: Sequence[str] = ()) -> float:
    ticks.append(time.monotonic())
    return 60.0


class Lab:
    """A small app on a broker; `done` holds what tasks have noted, in the order of their end."""

    def __init__(self, broker: str, **conf: Any) -> None:
        self.done: list[tuple[Any, float]] = []
        self.app = Celery("lab", broker=broker, set_as_current=False)
        self.app.conf.update(conf)
        setup(self.app)
        # typing=False: of a bound method Celery would ask for `self` too.
        options = {"acks_late": True, "ignore_result": True, "typing": False, "shared": False}
        self.note = self.app.task(self._note, name="lab.note", **options)
        self.limited = self.app.task(self._note, name="lab.limited", rate_limit="50/s", **options)
        self.nap = self.app.task(self._nap, name="lab.nap", **options)

    @contextmanager
    def worker(self, concurrency: int = 2) -> Iterator[EmbeddedWorker]:
        """A running worker, stopped at the end."""
        worker = EmbeddedWorker(self.app, concurrency)
        assert worker.start()
        try:
            yield worker
        finally:
            assert worker.stop()

    def wait_for(self, count: int, timeout: float = 30) -> None:
        wait_until(lambda: len(self.done) >= count, timeout, f"{count} tasks", every=0.001)

    def names(self) -> list[Any]:
        return [name for name, _ in self.done]

    def _note(self, name: Any = None) -> None:
        self.done.append((name, time.monotonic()))

    def _nap(self, name: Any, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not stopping():
            time.sleep(0.01)
        self._note(name)
