"""The gates in Redis: the conformance suites, and what their scripts reckon."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis as redis_py
from django.core.exceptions import ImproperlyConfigured
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifications.conf import GateSettings
from notifications.enums import CircuitState
from notifications.gates import (
    Breaker,
    Limiter,
    circuit,
    gcra,
    get_breaker,
    get_limiter,
    problems,
    redis,
)
from notifications.gates.base import Step
from notifications.gates.circuit import Rules
from notifications.gates.redis import breaker as breaker_module
from notifications.gates.redis import limiter as limiter_module
from notifications.messages import Grant, Limit, Tally, Want
from tests.processes import ROOT, wait_until

from .breakers import FOUR_FAILURES, BreakerConformance, MakeBreaker
from .conformance import LimiterConformance, slow
from .pacers import MakePacer, PacerConformance

BACKEND = "notifications.gates.redis"
START = 1_800_000_000


@pytest.fixture
def make(redis_url: str) -> Callable[[], Limiter]:
    # What is right does not depend on how busy this machine is: Redis has all the time it takes.
    return partial(redis.Limiter, {"URL": f"{redis_url}?socket_timeout=20"})


@pytest.fixture
def limiter(make: Callable[[], Limiter]) -> Limiter:
    return make()


@pytest.fixture
def client(redis_url: str) -> Iterator[redis_py.Redis]:
    with redis_py.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def make_breaker(redis_url: str) -> MakeBreaker:
    return partial(redis.Breaker, {"URL": f"{redis_url}?socket_timeout=20"})


@pytest.fixture
def make_pacer(redis_url: str) -> MakePacer:
    return partial(redis.Pacer, {"URL": f"{redis_url}?socket_timeout=20"})


class TestRedisLimiter(LimiterConformance):
    pass


class TestRedisBreaker(BreakerConformance):
    pass


class TestRedisPacer(PacerConformance):
    pass


# The scripts


limits = st.builds(
    Limit,
    st.sampled_from("abcd"),
    st.floats(1e-4, 1e4) | st.sampled_from([50.0, 5 / 86400, 1 / 3]),
    st.integers(1, 1000),
)
steps = st.lists(
    st.tuples(
        st.integers(-(10**6), 10**7),  # microseconds since the step before
        st.lists(
            st.tuples(st.lists(limits, unique_by=lambda limit: limit.key), st.integers(0, 1200)),
            min_size=1,
            max_size=3,
        ),
    ),
    max_size=12,
)


def at_any_time(name: str, expiry: str, lasting: str) -> str:
    """The script with a clock that the first two arguments set, and with keys that last."""
    source = Path(redis.__file__).with_name(name).read_text()
    clock = ('redis.call("TIME")', "{table.remove(ARGV, 1), table.remove(ARGV, 1)}")
    for ours, tests in (clock, (expiry, lasting)):
        assert source.count(ours) == 1
        source = source.replace(ours, tests)
    return source


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps)
def test_the_script_reckons_as_gcra_does_to_the_last_bit(
    client: redis_py.Redis, steps: list[tuple[int, list[tuple[list[Limit], int]]]]
):
    source = at_any_time(limiter_module.SCRIPT, ', "PX", milliseconds)', ")")
    script = client.register_script(source)
    names = {key: f"test:{uuid4()}" for key in "abcd"}
    places = {key: place for place, key in enumerate(names, start=1)}
    arrivals, micros = dict[str, float](), START * 10**6
    for passed, asked in steps:
        micros += passed
        clock = divmod(micros, 10**6)
        wants = [Want(tuple(limits), units) for limits, units in asked]
        expected = [gcra.take(want, arrivals, clock[0] + clock[1] / 1e6) for want in wants]
        answers = script(list(names.values()), [*clock, *limiter_module._arguments(wants, places)])
        assert [
            limiter_module._grant(w, *a) for w, a in zip(wants, answers, strict=True)
        ] == expected
        kept = zip(names, client.mget(list(names.values())), strict=True)
        assert {key: float(value) for key, value in kept if value is not None} == arrivals


questions = st.lists(
    st.tuples(
        st.integers(-(10**6), 10**7) | st.integers(-(10**11), 10**11),  # microseconds
        st.one_of(
            st.tuples(st.just("allow"), st.integers(0, 100), st.sampled_from(["one", "two"])),
            st.tuples(
                st.just("record"),
                st.builds(Tally, st.integers(0, 9), st.integers(0, 9), st.booleans()),
                st.sampled_from(["", "one", "two"]),
                st.floats(0, 1),
            ),
        ),
    ),
    max_size=25,
)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.builds(
        Rules,
        failure_ratio=st.floats(0.1, 1),
        min_calls=st.integers(1, 30),
        window=st.floats(0.5, 60),
        open_for=st.floats(0.1, 30),
        probe_for=st.floats(0.1, 15),
    ),
    questions,
)
def test_the_script_decides_as_circuit_does_to_the_last_bit(
    client: redis_py.Redis, rules: Rules, questions: list[tuple[int, tuple[Any, ...]]]
):
    expiry = 'redis.call("EXPIRE", KEYS[1], math.ceil(lasts))'
    script = client.register_script(at_any_time(breaker_module.SCRIPT, expiry, ""))
    key, book, micros = f"test:{uuid4()}", circuit.Book(), START * 10**6
    for passed, question in questions:
        micros += passed
        clock = divmod(micros, 10**6)
        now, before = clock[0] + clock[1] / 1e6, book
        match question:
            case ("allow", units, token):
                passage, book = circuit.allow(book, units, token, now, rules)
                asked = ["allow", units, token]
            case ("record", tally, probe, luck):
                passage, book = circuit.record(book, tally, probe, now, rules, luck)
                asked = ["record", tally.ok, tally.failed, int(tally.fatal), probe, repr(luck)]
        expected = Step(passage, book.state is not before.state)
        answer = script([key], [*clock, *map(repr, astuple(rules)), *asked])
        assert breaker_module._step(*answer) == expected
        assert kept_book(client, key) == book


def kept_book(client: redis_py.Redis, key: str) -> circuit.Book:
    kept = {name.decode(): text.decode() for name, text in client.hgetall(key).items()}
    numbers = {n: float(kept[n]) for n in ("since", "until", "trips") if n in kept}
    state = CircuitState(kept.get("state", "closed"))
    return circuit.Book(**{**kept, **numbers, "state": state})


def test_a_circuit_nobody_asks_for_is_forgotten_after_a_day(
    breaker: Breaker, provider: str, client: redis_py.Redis
):
    breaker.record(provider, FOUR_FAILURES)
    assert 86400 <= client.ttl(f"{{notifications}}:circuit:{provider}") <= 2 * 86400


def test_a_limit_that_is_whole_again_leaves_nothing_behind(
    limiter: Limiter, client: redis_py.Redis
):
    limit = Limit(f"limit:{uuid4()}", 5.0, 5)
    limiter.take([Want((limit,), 5)])
    [key] = client.keys(f"*{limit.key}")
    assert 0 < client.pttl(key) <= 1000
    wait_until(lambda: not client.exists(key))


def test_a_refusal_writes_nothing(limiter: Limiter, client: redis_py.Redis):
    wants = [Want((slow(1),), 1)]
    limiter.take(wants)
    before = changes(client)
    limiter.take(wants)
    assert changes(client) == before


def changes(client: redis_py.Redis) -> int:
    """How often a key was written since the server began."""
    return client.info("persistence")["rdb_changes_since_last_save"]


def test_limits_under_another_prefix_are_others(redis_url: str, limiter: Limiter):
    limit = slow(3)
    other = redis.Limiter({"URL": redis_url, "PREFIX": f"other-{uuid4()}"})
    assert limiter.take([Want((limit,), 3)]) == [Grant(3)]
    assert other.take([Want((limit,), 3)]) == [Grant(3)]


# Settings


def test_the_settings_name_the_backend(settings, redis_url: str):
    settings.NOTIFICATIONS = {"GATES": {"BACKEND": BACKEND, "OPTIONS": {"URL": redis_url}}}
    assert get_limiter().take([Want((slow(3),), 5)])[0].units == 3
    assert isinstance(get_breaker(), redis.RedisBreaker)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ["URL", "is missing"]),
        ({"URL": "localhost:6379"}, ["URL", "redis://"]),
        ({"URL": "redis://x", "PREFIX": "{a}"}, ["PREFIX", "braces"]),
        ({"URL": "redis://x", "LOCAL_SHARE": 0}, ["LOCAL_SHARE", "above 0"]),
        ({"URL": "redis://x", "HOST": "x"}, ["HOST", "known are: LOCAL_SHARE, PREFIX, URL"]),
    ],
)
def test_unusable_options_are_reported(options: dict[str, object], words: list[str]):
    [problem] = problems(GateSettings(BACKEND, options))
    assert all(word in problem for word in words)
    with pytest.raises(ImproperlyConfigured, match=words[0]):
        redis.Limiter(options)


def test_usable_options_are_no_problem():
    options = {"URL": "rediss://u:p@host:6380/2", "PREFIX": "shop", "LOCAL_SHARE": 0.25}
    assert problems(GateSettings(BACKEND, options)) == []


def run(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_the_gates_do_without_redis_until_it_is_named():
    assert run("import notifications.gates, sys; print('redis' in sys.modules)") == "False\n"


def test_where_redis_is_not_installed_it_says_what_to_type():
    problem = run(
        "import sys; sys.modules['redis'] = None\n"
        "from notifications.conf import GateSettings\n"
        "from notifications.gates import problems\n"
        f"print(*problems(GateSettings('{BACKEND}', {{'URL': 'redis://x'}})))"
    )
    assert 'pip install "django-notifications-engine[redis]"' in problem


def test_processes_that_were_forked_share_the_limit_and_no_connection(redis_url: str):
    units = run(
        "import os\n"
        "from notifications.gates import redis\n"
        "from notifications.messages import Limit, Want\n"
        f"limiter = redis.Limiter({{'URL': '{redis_url}?socket_timeout=20'}})\n"
        f"wants = [Want((Limit('limit:{uuid4()}', 1e-5, 100),), 1)]\n"
        "limiter.take(wants)\n"
        "is_child = not (os.fork() and os.fork())\n"
        "granted = sum(limiter.take(wants)[0].units for _ in range(60))\n"
        "os.write(1, f'{granted}\\n'.encode())\n"
        "is_child or (os.wait(), os.wait())\n"
    ).split()
    assert len(units) == 3
    assert sum(map(int, units)) == 99
