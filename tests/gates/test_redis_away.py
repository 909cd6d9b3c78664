"""Redis killed, frozen, emptied and unwilling, under gates that are in use."""

import time
from collections.abc import Callable, Iterator
from itertools import chain
from uuid import uuid4

import pytest
import redis as redis_py
from hypothesis import given
from hypothesis import strategies as st

from notifications.enums import CircuitState
from notifications.gates import Limiter, gcra, redis
from notifications.gates.redis import connection
from notifications.gates.redis.local import LocalShare
from notifications.messages import Grant, Limit, Passage, Tally, Want
from notifications.signals import limiter_degraded
from tests.processes import wait_until
from tests.servers.base import free_port
from tests.servers.redis import Redis

from .breakers import FOUR_FAILURES, RULES, wait_for_probe
from .conformance import slow
from .load import in_threads

limits = st.builds(Limit, st.just("limit"), st.floats(1e-4, 1e4), st.integers(1, 1000))


@pytest.fixture(scope="module")
def started() -> Iterator[Redis]:
    server = Redis()
    yield server
    server.close()


@pytest.fixture
def own(started: Redis) -> Redis:
    """A Redis that no other test has, to be hurt."""
    started.start()
    started.thaw()
    return started


@pytest.fixture
def fragile(own: Redis) -> Limiter:
    connection.connection.cache_clear()
    return redis.Limiter({"URL": own.url})


def taken(limiter: Limiter, limit: Limit, seconds: float) -> int:
    """What one caller gets that asks again and again."""
    until, units = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        units += limiter.take([Want((limit,), 10)])[0].units
        time.sleep(0.01)
    return units


def waits(limiter: Limiter, limit: Limit, seconds: float) -> list[float]:
    """How long each call took of one caller that asks again and again."""
    until, found = time.monotonic() + seconds, []
    while (began := time.monotonic()) < until:
        limiter.take([Want((limit,), 1)])
        found.append(time.monotonic() - began)
        time.sleep(0.01)
    return found


@pytest.mark.parametrize("hurt", [Redis.kill, Redis.freeze])
def test_while_redis_is_away_a_small_share_of_the_limit_goes_on_and_then_all_of_it(
    hurt: Callable[[Redis], None], own: Redis, fragile: Limiter
):
    limit = Limit(f"limit:{uuid4()}", 50.0, 50)
    assert fragile.take([Want((limit,), 1)]) == [Grant(1)]
    hurt(own)
    began = time.monotonic()
    units = taken(fragile, limit, 2.0)
    share = 0.1 * limit.rate * (time.monotonic() - began)
    assert 0.9 * share <= units <= share + 5
    own.start()
    own.thaw()
    all_of_it = [Want((limit,), 50)]
    wait_until(lambda: fragile.take(all_of_it)[0].units > 5, timeout=connection.PROBE_SECONDS + 2)


def test_once_redis_is_known_to_hang_one_caller_at_a_time_waits_for_it(
    own: Redis, fragile: Limiter
):
    fragile.take([Want((slow(5),), 1)])
    own.freeze()
    fragile.take([Want((slow(5),), 1)])
    seconds = connection.PROBE_SECONDS + 1
    found = chain(*in_threads(4, lambda: waits(fragile, slow(5), seconds)))
    waited = [wait for wait in found if wait > connection.TIMEOUT_SECONDS / 2]
    assert len(waited) == 1
    assert waited[0] < 4 * connection.TIMEOUT_SECONDS


def test_nobody_waits_long_for_a_redis_that_begins_to_hang(own: Redis, fragile: Limiter):
    fragile.take([Want((slow(5),), 1)])
    own.freeze()
    found = chain(*in_threads(8, lambda: waits(fragile, slow(5), 0.1)))
    assert max(found) < 4 * connection.TIMEOUT_SECONDS


def test_a_redis_that_was_restarted_has_the_script_again_and_nobody_notices(
    own: Redis, fragile: Limiter
):
    limit = slow(9)
    fragile.take([Want((limit,), 4)])
    own.stop()
    own.start()
    assert fragile.take([Want((limit,), 9)])[0].units == 5


def test_a_redis_that_was_emptied_begins_anew(own: Redis, fragile: Limiter):
    limit = slow(9)
    fragile.take([Want((limit,), 9)])
    own.flush()
    assert fragile.take([Want((limit,), 9)]) == [Grant(9)]


def test_a_redis_that_takes_no_writes_is_as_good_as_away(own: Redis, fragile: Limiter):
    limit = Limit(f"limit:{uuid4()}", 50.0, 50)
    with redis_py.Redis.from_url(own.url) as client:
        client.config_set("min-replicas-to-write", 1)
        try:
            assert fragile.take([Want((limit,), 50)])[0].units == 5
        finally:
            client.config_set("min-replicas-to-write", 0)


def test_it_is_told_when_redis_is_away_and_each_time_it_is_asked_in_vain(
    own: Redis, fragile: Limiter
):
    reasons: list[str] = []

    def listen(reason: str, **_: object) -> None:
        reasons.append(reason)

    limiter_degraded.connect(listen)
    own.stop()
    waits(fragile, slow(5), connection.PROBE_SECONDS + 0.5)
    assert reasons == ["ConnectionError", "ConnectionError"]


def test_limits_without_keys_ask_nobody(own: Redis, fragile: Limiter):
    own.stop()
    assert fragile.take([Want((), 1000)]) == [Grant(1000)]


class OneNodeCluster(Redis):
    def __init__(self) -> None:
        super().__init__()
        while self.port > 55535:  # another port, higher by 10,000, is for other nodes
            self.port = free_port()

    def command(self) -> list[str]:
        return [*super().command(), "--cluster-enabled", "yes"]


def test_a_cluster_takes_a_call_with_several_limits():
    server = OneNodeCluster()
    try:
        server.start()
        with redis_py.Redis.from_url(server.url) as client:
            client.execute_command("CLUSTER", "ADDSLOTS", *range(16384))
            wait_until(lambda: b"state:ok" in client.execute_command("CLUSTER", "INFO"))
        limiter = redis.Limiter({"URL": server.url})
        limits = tuple(slow(n) for n in (9, 8, 7))
        assert limiter.take([Want(limits, 9)])[0].units == 7
        assert limiter.take([Want(limits[:1], 9)])[0].units == 2
    finally:
        server.close()


@pytest.mark.parametrize("hurt", [Redis.kill, Redis.freeze])
def test_while_redis_is_away_each_process_breaks_its_own_circuit(
    hurt: Callable[[Redis], None], own: Redis, provider: str
):
    connection.connection.cache_clear()
    breaker = redis.Breaker({"URL": own.url}, {provider: RULES})
    assert breaker.allow(provider, 5) == Passage(5)
    hurt(own)
    breaker.record(provider, FOUR_FAILURES)
    assert breaker.allow(provider, 5).state is CircuitState.OPEN
    assert breaker.state(provider).reason == "failures"
    breaker.record(provider, Tally(ok=1), wait_for_probe(breaker, provider).probe)
    assert breaker.allow(provider, 5) == Passage(5)


# The local share


@given(limits, st.floats(0.01, 1), st.integers(1, 100))
def test_the_local_share_is_never_nothing_and_never_more_than_its_part(
    limit: Limit, share: float, times: int
):
    local, began = LocalShare(share), time.monotonic()
    units = sum(local.take([Want((limit,), 100)])[0].units for _ in range(times))
    part = share * limit.rate * (time.monotonic() - began + gcra.TICK)
    assert 1 <= units <= max(1, share * min(limit.rate, limit.burst)) + part


def test_what_the_local_share_refuses_comes_back_soon_and_at_the_limits_own_rate():
    day = Limit("day", 5000 / 86400, 5000)
    [grant] = LocalShare(0.1).take([Want((day,), 100)])
    assert grant == Grant(1, "day", connection.PROBE_SECONDS, day.rate)


def test_a_redis_that_comes_and_goes_gives_the_local_burst_only_once(own: Redis, fragile: Limiter):
    limit = Limit(f"limit:{uuid4()}", 1.0, 100)
    own.stop()
    assert fragile.take([Want((limit,), 10)])[0].units == 1
    own.start()
    wait_until(lambda: fragile.take([Want((limit,), 10)])[0].units == 10, timeout=10)
    own.stop()
    assert fragile.take([Want((limit,), 10)])[0].units == 0
