"""The timer of a worker without an event loop, as the embedded one is."""

import threading
from typing import Any

from celery.utils import timer2

IDLE_SECONDS = 1.0


class Timer(timer2.Timer):
    """Celery's timer thread, awake as soon as an earlier entry comes.

    Celery's own sleeps through whatever is entered meanwhile, up to `worker_timer_precision`
    (one second): countdowns come late and a rate limit falls apart.
    """

    not_empty: threading.Condition
    schedule: Any
    scheduler: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._closing = False

    def _next_entry(self) -> None:
        with self.not_empty:
            delay, entry = next(self.scheduler)
            if entry is None:
                if not self._closing:
                    self.not_empty.wait(IDLE_SECONDS if delay is None else delay)
                return
        self.schedule.apply_entry(entry)

    def stop(self) -> None:
        with self.not_empty:
            self._closing = True
            self.not_empty.notify()
        super().stop()
