"""How much of a lane should wait in the broker: what can be sent soon, and not everything.

What waits in the broker waits in the order of its coming, and nothing that is more urgent or of
another tenant can pass it. So it is kept to about what the workers take between two looks,
which nobody has to be told: found empty while more was owed, it was too little, and is doubled;
still half there after a second, it was too much, and shrinks by a quarter. (So TCP finds the
speed of a network: RFC 5681.)
"""

import time
from collections.abc import Callable
from math import ceil

MESSAGES = 4
"""For each worker, in so many messages: a slow provider's are small, so that none takes long."""

LEAST_MESSAGES, LEAST_IDS = 2, 5
"""For each worker and in a message, at least: each message costs some statements of its own, and
where these are what makes it slow, smaller ones would make it slower."""

MOST_MESSAGES = 20
"""Full messages for each worker at most."""

FRESH_SECONDS = 5.0
"""What was released longer ago says nothing of the speed now."""

GROW_SECONDS = 0.2
"""Several looks at once are one: what the first has just released has had no time to go."""

SHRINK_SECONDS = 1.0
"""About so much work is to wait in the broker."""


class Backlog:
    """What one process has learnt of one lane; `target` counts notifications."""

    def __init__(self, batch_size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._batch_size = batch_size
        self._clock = clock
        self._was_filled = False
        self._looked = 0.0
        self._adjusted = 0.0
        self.workers = 1
        self.target = MESSAGES * batch_size

    @property
    def size(self) -> int:
        """How many ids a message carries."""
        share = ceil(self.target / (MESSAGES * self.workers))
        return min(self._batch_size, max(LEAST_IDS, share))

    def room(self, waiting: int) -> int:
        """How many notifications may be released while so many messages are still waiting."""
        self._adjust(waiting)
        return max(0, self.target - waiting * self.size)

    def tell(self, room: int, released: int) -> None:
        """Whether the room was used up, or there was no more to release."""
        self._was_filled = 0 < room <= released

    def _adjust(self, waiting: int) -> None:
        now = self._clock()
        since, self._looked = now - self._looked, now
        age = now - self._adjusted
        if waiting * 2 > ceil(self.target / self.size):
            if age >= SHRINK_SECONDS:
                least = LEAST_MESSAGES * LEAST_IDS * self.workers
                self._become(max(least, self.target * 3 // 4))
        elif not waiting and self._was_filled and age >= GROW_SECONDS and since < FRESH_SECONDS:
            most = MOST_MESSAGES * self._batch_size * self.workers
            self._become(min(most, self.target * 2))

    def _become(self, target: int) -> None:
        self.target = target
        self._adjusted = self._looked
