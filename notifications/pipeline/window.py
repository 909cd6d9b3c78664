"""How many messages of one process may be with a provider at a time.

A killed process leaves at most a window of notifications whose fate is unknown, so all threads
of the process share one window for each provider. Each window costs a commit: a quick provider is
handed as many as it may have, a slow one no more than it gets through in a moment.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..providers.base import Provider

WINDOW_SECONDS = 0.1
"""How long a provider may be busy with one window, unless a single message takes it longer."""


class Window:
    """So many places; a taker waits for at least one and gets what is free, up to its wish.

    `fitting` is how many of them to fill at once: `least`, until it is known how fast it goes.
    """

    def __init__(self, size: int, least: int = 1) -> None:
        self.fitting = least
        self._size, self._least = size, least
        self._free = size
        self._waiting = 0
        self._changed = threading.Condition()

    @contextmanager
    def take(self, most: int) -> Iterator[int]:
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: self._free > 0)
            self._waiting -= 1
            taken = min(most, self._free)
            self._free -= taken
        try:
            yield taken
        finally:
            with self._changed:
                self._free += taken
                self._changed.notify_all()

    def learn(self, count: int, seconds: float) -> None:
        """Note how long the provider was busy with so many."""
        fitting = count * WINDOW_SECONDS / max(seconds, 1e-6)
        self.fitting = round(min(max(fitting, self._least), self._size))

    def is_wanted(self) -> bool:
        """Whether another thread waits for a place: whoever holds some should let it in."""
        return self._waiting > 0


def window_of(provider: Provider) -> Window:
    """The window of this process for `provider`."""
    with _lock:
        if provider.name not in _windows:
            _windows[provider.name] = Window(provider.window, provider.concurrency)
        return _windows[provider.name]


def forget_windows() -> None:
    """Nothing is known of any provider's pace any more, as in a new process."""
    with _lock:
        _windows.clear()


_lock = threading.Lock()
_windows: dict[str, Window] = {}


def _start_anew() -> None:
    global _lock
    _lock = threading.Lock()
    _windows.clear()


os.register_at_fork(after_in_child=_start_anew)
