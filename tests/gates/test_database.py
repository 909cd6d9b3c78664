"""The gates in the database: the conformance suites, on whichever database this run has."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from notifications import conf
from notifications.conf import GateSettings
from notifications.gates import (
    Breaker,
    Limiter,
    database,
    forget_gates,
    get_breaker,
    get_limiter,
    problems,
)
from notifications.messages import Grant, Limit, Passage, Tally, Want
from notifications.models import ProviderCircuit, RateBucket

from .breakers import FOUR_FAILURES, BreakerConformance, MakeBreaker
from .conformance import LimiterConformance, slow
from .load import breaker_in, in_threads, limiter_in, pacer_in
from .pacers import MakePacer, PacerConformance

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def make() -> Callable[[], Limiter]:
    return partial(limiter_in, connection.settings_dict)


@pytest.fixture
def limiter(make: Callable[[], Limiter]) -> Limiter:
    return make()


@pytest.fixture
def make_breaker() -> MakeBreaker:
    return partial(breaker_in, connection.settings_dict)


@pytest.fixture
def make_pacer() -> MakePacer:
    return partial(pacer_in, connection.settings_dict)


class TestDatabaseLimiter(LimiterConformance):
    pass


class TestDatabaseBreaker(BreakerConformance):
    pass


class TestDatabasePacer(PacerConformance):
    pass


def test_without_limits_the_database_is_left_alone(limiter: Limiter, django_assert_num_queries):
    with django_assert_num_queries(0):
        limiter.take([Want((), 5)])


def statements(limiter: Limiter, wants: list[Want]) -> int:
    """How many statements a call makes, beginning and ending its transaction not counted."""
    with CaptureQueriesContext(connection) as captured:
        limiter.take(wants)
    return sum(not q["sql"].startswith(("BEGIN", "COMMIT")) for q in captured)


def test_a_call_takes_two_statements_for_any_number_of_limits(limiter: Limiter):
    wants = [Want((slow(9), slow(9)), 1) for _ in range(20)]
    limiter.take(wants)
    assert statements(limiter, wants) == 2


def test_a_refusal_writes_nothing(limiter: Limiter):
    wants = [Want((slow(1),), 1)]
    limiter.take(wants)
    assert statements(limiter, wants) == 1


def test_a_closed_circuit_is_looked_at_once_in_a_while_and_without_a_lock(
    make_breaker: MakeBreaker, provider: str, django_assert_num_queries
):
    breaker = make_breaker({})
    with django_assert_num_queries(1) as captured:
        for _ in range(10):
            breaker.allow(provider, 5)
    assert captured[0]["sql"].startswith("SELECT")
    assert "UPDATE" not in captured[0]["sql"]


def test_calls_that_go_well_are_written_once_in_a_while(breaker: Breaker, provider: str):
    breaker.record(provider, Tally(ok=1))
    with CaptureQueriesContext(connection) as captured:
        for _ in range(10):
            breaker.record(provider, Tally(ok=1))
    assert not len(captured)


def test_circuits_that_were_deleted_are_made_anew(breaker: Breaker, provider: str):
    breaker.record(provider, FOUR_FAILURES)
    ProviderCircuit.objects.all().delete()
    assert breaker.allow(provider, 5) == Passage(5)
    breaker.record(provider, FOUR_FAILURES)
    assert breaker.allow(provider, 5).units == 0


def test_buckets_that_were_deleted_are_made_anew(limiter: Limiter):
    wants = [Want((slow(1),), 1)]
    limiter.take(wants)
    RateBucket.objects.all().delete()
    assert limiter.take(wants) == [Grant(1)]


def test_a_rate_that_was_raised_is_not_held_up_by_the_old_one(limiter: Limiter):
    key = f"limit:{uuid4()}"
    limiter.take([Want((Limit(key, 1 / 86400, 1),), 1)])
    [grant] = limiter.take([Want((Limit(key, 100.0, 10),), 1)])
    assert grant.retry_after < 0.02


@contextmanager
def locked(limit: Limit) -> Iterator[None]:
    """Meanwhile another transaction holds the limit's row."""
    sql = "SELECT * FROM notifications_ratebucket WHERE key = %s FOR UPDATE"
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, [limit.key])
        yield


@pytest.mark.postgres
def test_one_limit_does_not_wait_for_another(limiter: Limiter):
    held, free = slow(5), slow(5)
    limiter.take([Want((held,), 1), Want((free,), 1)])
    with locked(held):
        assert in_threads(1, lambda: limiter.take([Want((free,), 1)])) == [[Grant(1)]]


@pytest.mark.postgres
def test_the_clock_is_read_after_the_wait_for_the_lock(limiter: Limiter):
    limit = Limit(f"limit:{uuid4()}", 4.0, 1)
    limiter.take([Want((limit,), 1)])
    with ThreadPoolExecutor(1) as pool:
        with locked(limit):
            waiting = pool.submit(in_threads, 1, lambda: limiter.take([Want((limit,), 1)]))
            time.sleep(0.4)
        assert waiting.result(10) == [[Grant(1)]]


def test_the_settings_name_the_backend(settings):
    settings.NOTIFICATIONS = {"GATES": {"BACKEND": "notifications.gates.database"}}
    assert isinstance(get_limiter(), database.DatabaseLimiter)
    assert isinstance(get_breaker(), database.DatabaseBreaker)
    assert get_limiter() is get_limiter()
    assert get_breaker() is get_breaker()


def test_the_breaker_has_the_rules_of_the_settings(settings, provider: str):
    circuit = {"MIN_CALLS": 2, "FAILURE_RATIO": 1, "OPEN_FOR": 600}
    values = {"BACKEND": conf.SIMULATED, "CIRCUIT": circuit}
    settings.NOTIFICATIONS = {"PROVIDERS": {provider: values}}
    get_breaker().record(provider, Tally(failed=2))
    assert get_breaker().allow(provider, 1).retry_after > 590


def test_other_settings_make_other_gates(settings):
    before = get_limiter(), get_breaker()
    settings.NOTIFICATIONS = {}
    assert get_limiter() is not before[0]
    assert get_breaker() is not before[1]
    forget_gates()


@pytest.mark.parametrize(
    ("gates", "word"),
    [
        (GateSettings("notifications.gates.nowhere"), "nowhere"),
        (GateSettings("notifications.gates.gcra"), "Limiter"),
        (GateSettings(options={"URL": "x"}), '"URL"'),
    ],
)
def test_unusable_settings_are_reported(gates: GateSettings, word: str):
    [problem] = problems(gates)
    assert word in problem


def test_usable_settings_are_no_problem():
    assert problems(GateSettings()) == []
