"""Turns over tenants: everybody's come, nobody's are longer, and nothing is saved up."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from notifications.pipeline.owing import Owed
from notifications.pipeline.turns import STATEMENTS, Taken, Turns, in_turns


class Queues:
    """So many notifications for each tenant; `limits` is how many may go in all, if any."""

    def __init__(self, limit: int | None = None, **counts: int) -> None:
        self.tenants = [Owed(id, name) for id, name in enumerate(counts, start=1)]
        self.left = Counter(counts)
        self.served: Counter[str] = Counter()
        self.limit = limit
        self.takes = 0

    def take(self, tenant: Owed, most: int) -> Taken:
        self.takes += 1
        wished = min(most, self.left[tenant.name])
        count = wished if self.limit is None else min(wished, self.limit)
        if self.limit is not None:
            self.limit -= count
        self.left[tenant.name] -= count
        self.served[tenant.name] += count
        return Taken([uuid4() for _ in range(count)], is_last=count < wished)


def serve(turns: Turns, queues: Queues, room: int) -> list[int]:
    """A round: how many it was for each tenant that took part."""
    owing = [tenant for tenant in queues.tenants if queues.left[tenant.name]]
    return [len(ids) for ids in turns.serve(owing, room, queues.take)]


def test_each_tenant_has_the_same_share() -> None:
    assert serve(Turns(), Queues(a=900, b=900, c=900), room=300) == [100, 100, 100]


def test_what_a_small_tenant_leaves_is_shared_by_the_others() -> None:
    assert serve(Turns(), Queues(a=900, b=10, c=900), room=300) == [145, 10, 145]


def test_one_alone_gets_all_in_one_turn() -> None:
    queues = Queues(a=900)
    assert serve(Turns(), queues, room=300) == [300]
    assert queues.takes == 1


def test_no_more_than_the_room_is_given() -> None:
    for room in range(20):
        assert sum(serve(Turns(), Queues(a=5, b=50, c=1), room)) == room


def test_where_room_is_for_fewer_than_all_the_next_round_goes_on() -> None:
    turns, queues = Turns(), Queues(a=9, b=9, c=9, d=9, e=9)
    for _ in range(10):
        serve(turns, queues, room=2)
    assert set(queues.served.values()) == {4}


def test_who_is_cut_short_has_the_rest_in_the_next_round() -> None:
    """A limit ends each round early; over time all have got the same for all that."""
    turns, queues = Turns(), Queues(a=500, b=500, c=500)
    for _ in range(21):
        queues.limit = 7
        serve(turns, queues, room=60)
    assert max(queues.served.values()) - min(queues.served.values()) <= 20, "more than a quantum"


def test_who_had_nothing_to_send_has_saved_nothing_up() -> None:
    turns, queues = Turns(), Queues(a=1000, b=1000)
    queues.left["b"] = 5
    for _ in range(3):
        serve(turns, queues, room=100)
    queues.left["b"] = 500
    assert serve(turns, queues, room=100) == [50, 50]


def test_a_round_over_very_many_tenants_costs_few_statements() -> None:
    queues = Queues(**{f"t{number}": 50 for number in range(1000)})
    serve(Turns(), queues, room=2000)
    assert queues.takes <= STATEMENTS


@pytest.mark.parametrize("counts", [(3, 1, 2), (0, 4), ()])
def test_a_message_holds_one_of_each_before_the_second_of_any(counts: Sequence[int]) -> None:
    queues: list[list[UUID]] = [[uuid4() for _ in range(count)] for count in counts]
    order = list(in_turns(queues))
    assert sorted(order) == sorted(id for queue in queues for id in queue)
    firsts = [queue[0] for queue in queues if queue]
    assert order[: len(firsts)] == firsts
