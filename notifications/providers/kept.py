"""Connections that wait for the next request to the same place.

A name is resolved and its addresses are checked for each request all the same: one is taken up
again only while it leads to an address of that answer.
"""

import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass

IDLE_SECONDS = 4.0
"""Shorter than most servers wait: whoever sends while the other side hangs up learns nothing."""

MOST = 100

Place = tuple[str, str, int]
"""Scheme, host and port."""


@dataclass(frozen=True, slots=True)
class Idle:
    place: Place
    connection: socket.socket
    since: float

    def is_alive(self) -> bool:
        """Neither too old, nor closed by the other side, nor spoken to without having asked."""
        if time.monotonic() - self.since > IDLE_SECONDS:
            return False
        if isinstance(self.connection, ssl.SSLSocket) and self.connection.pending():
            return False
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        return not poll.poll(0)

    def leads_to(self, addresses: Collection[str]) -> bool:
        try:
            return str(self.connection.getpeername()[0]) in addresses
        except OSError:
            return False


class Kept:
    """The idle connections of a process, the one used last in front."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: deque[Idle] = deque()

    def take(self, place: Place, addresses: Collection[str]) -> socket.socket | None:
        """One to `place` at one of `addresses`, or None; what is dead on the way is closed."""
        for idle in self._of(place):
            if idle.is_alive() and idle.leads_to(addresses):
                return idle.connection
            idle.connection.close()
        return None

    def give(self, place: Place, connection: socket.socket) -> None:
        """Keep it; the oldest goes where there are too many."""
        with self._lock:
            self._idle.appendleft(Idle(place, connection, time.monotonic()))
            surplus = self._idle.pop() if len(self._idle) > MOST else None
        if surplus:
            surplus.connection.close()

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, deque()
        for each in idle:
            each.connection.close()

    def _of(self, place: Place) -> Iterator[Idle]:
        """Those to `place`, each given to one caller alone."""
        while True:
            with self._lock:
                found = next((each for each in self._idle if each.place == place), None)
                if found is None:
                    return
                self._idle.remove(found)
            yield found
