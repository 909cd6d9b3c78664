"""Whose turn it is: deficit round robin over tenants, where every notification weighs the same.

https://en.wikipedia.org/wiki/Deficit_round_robin: each tenant in its turn gets a quantum. A
round ends when there is no more room; who was cut short by that begins the next one, with the
rest of its quantum. Who had nothing left to send keeps no credit.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple
from uuid import UUID

from .owing import Owed

STATEMENTS = 100
"""A quantum is at least this part of the room: a turn costs a statement, however small it is."""


class Taken(NamedTuple):
    """What a tenant got in its turn; when `is_last`, nobody gets more in this round."""

    ids: Sequence[UUID]
    is_last: bool = False


Take = Callable[[Owed, int], Taken]
"""Called with a tenant and how many it may have at most."""


class Turns:
    """The order of one lane's tenants, over its rounds."""

    def __init__(self) -> None:
        self._first = 0
        self._credit = 0

    def serve(self, tenants: Iterable[Owed], room: int, take: Take) -> list[list[UUID]]:
        """Let `tenants` take up to `room` in turns; what each of them got.

        Who takes less than it may has no more for now, and its turns are over.
        """
        got: defaultdict[int, list[UUID]] = defaultdict(list)
        waiting = deque(self._in_order(tenants))
        while waiting and room > 0:
            quantum = max(1, room // len(waiting), room // STATEMENTS)
            for tenant in _each_once(waiting):
                due = quantum + self._credit_of(tenant)
                wanted = min(due, room)
                ids, is_last = take(tenant, wanted)
                got[tenant.id] += ids
                room = 0 if is_last else room - len(ids)
                is_served = len(ids) < wanted and not is_last
                self._remember(tenant, 0 if is_served else due - len(ids))
                if not is_served:
                    waiting.append(tenant)
                if not room:
                    break
        return list(got.values())

    def _in_order(self, tenants: Iterable[Owed]) -> list[Owed]:
        return sorted(tenants, key=lambda tenant: (tenant.id < self._first, tenant.id))

    def _credit_of(self, tenant: Owed) -> int:
        credit, self._credit = self._credit, 0
        return credit if tenant.id == self._first else 0

    def _remember(self, tenant: Owed, credit: int) -> None:
        """Who begins, should this have been the last turn of the round."""
        self._first = tenant.id if credit else tenant.id + 1
        self._credit = credit


def _each_once(waiting: deque[Owed]) -> Iterator[Owed]:
    """Those who wait now, taken off the front; who is put back is for the next time."""
    return (waiting.popleft() for _ in range(len(waiting)))


def in_turns(queues: Iterable[Sequence[UUID]]) -> Iterator[UUID]:
    """One of each queue, then the next of each."""
    for turn in zip_longest(*queues):
        yield from (id for id in turn if id is not None)
