"""The limiter in the database: the conformance suite, on whichever database this run has."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from notifications.conf import GateSettings
from notifications.gates import Limiter, database, forget_limiter, get_limiter, problems
from notifications.messages import Grant, Limit, Want
from notifications.models import RateBucket

from .conformance import LimiterConformance, in_threads, slow

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def limiter() -> Limiter:
    return database.Backend({})


class TestDatabaseLimiter(LimiterConformance):
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
    assert get_limiter() is get_limiter()


def test_other_settings_make_another_limiter(settings):
    before = get_limiter()
    settings.NOTIFICATIONS = {}
    assert get_limiter() is not before
    forget_limiter()


@pytest.mark.parametrize(
    ("gates", "word"),
    [
        (GateSettings("notifications.gates.nowhere"), "nowhere"),
        (GateSettings("notifications.gates.gcra"), "Backend"),
        (GateSettings(options={"URL": "x"}), '"URL"'),
    ],
)
def test_unusable_settings_are_reported(gates: GateSettings, word: str):
    [problem] = problems(gates)
    assert word in problem


def test_usable_settings_are_no_problem():
    assert problems(GateSettings()) == []
