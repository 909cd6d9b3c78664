"""What one process allows itself while Redis is away: never unlimited, never a halt."""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace

from ...messages import Grant, Limit, Passage, Tally, Want
from .. import circuit, gcra
from ..base import Step
from ..circuit import Book, Rules
from .connection import PROBE_SECONDS


class LocalShare:
    """Counts in memory, by this host's monotonic clock; an instance serves all threads.

    Of each limit it gives `share` of its rate, and at once that part of a second's worth, but at
    least one unit: how much of a day's burst is used up already, nobody can tell just now.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._lock = threading.Lock()
        # Kept when Redis is back: one that comes and goes must not give the burst each time.
        self._arrivals: dict[str, float] = {}

    def take(self, wants: Sequence[Want]) -> list[Grant]:
        with self._lock:
            now = time.monotonic()
            return [self._take(want, now) for want in wants]

    def arrivals(self) -> tuple[dict[str, float], float]:
        """What is used up here, and the clock it goes by."""
        with self._lock:
            return dict(self._arrivals), time.monotonic()

    def _take(self, want: Want, now: float) -> Grant:
        own = Want(tuple(self._part(limit) for limit in want.limits), want.units)
        grant = gcra.take(own, self._arrivals, now)
        if not grant.limited_by:
            return grant
        # Told by the rate of the cluster and to come back soon: Redis may be there again by then.
        rate = next(limit.rate for limit in want.limits if limit.key == grant.limited_by)
        return replace(grant, retry_after=min(grant.retry_after, PROBE_SECONDS), rate=rate)

    def _part(self, limit: Limit) -> Limit:
        burst = int(self._share * min(limit.burst, limit.rate))
        return Limit(limit.key, self._share * limit.rate, max(1, burst) if limit.burst else 0)


class LocalCircuits:
    """The circuits as this process sees them, by this host's clock; serves all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._books: dict[str, Book] = {}

    def book(self, provider: str) -> Book:
        return self._books.get(provider, Book())

    def allow(self, provider: str, units: int, token: str, rules: Rules) -> Step:
        with self._lock:
            before = self.book(provider)
            return self._keep(
                provider, before, *circuit.allow(before, units, token, time.time(), rules)
            )

    def record(self, provider: str, tally: Tally, probe: str, luck: float, rules: Rules) -> Step:
        with self._lock:
            before = self.book(provider)
            return self._keep(
                provider, before, *circuit.record(before, tally, probe, time.time(), rules, luck)
            )

    def _keep(self, provider: str, before: Book, passage: Passage, after: Book) -> Step:
        self._books[provider] = after
        return Step(passage, after.state is not before.state)
