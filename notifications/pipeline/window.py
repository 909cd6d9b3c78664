"""How many messages of one process may be with a provider at a time.

A killed process leaves at most a window of notifications whose fate is unknown, so all threads
of the process share one window for each provider.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Window:
    """So many places; a taker waits for at least one and gets what is free, up to its wish."""

    def __init__(self, size: int) -> None:
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

    def is_wanted(self) -> bool:
        """Whether another thread waits for a place: whoever holds some should let it in."""
        return self._waiting > 0


def window_of(provider: str, size: int) -> Window:
    """The window of this process for `provider`."""
    with _lock:
        if provider not in _windows:
            _windows[provider] = Window(size)
        return _windows[provider]


_lock = threading.Lock()
_windows: dict[str, Window] = {}


def _start_anew() -> None:
    global _lock
    _lock = threading.Lock()
    _windows.clear()


os.register_at_fork(after_in_child=_start_anew)
