"""Kept statements: the same rows, values and guards for one row as for many, on both databases."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from notifications import native
from notifications.columns import array_of
from notifications.enums import State
from notifications.lifecycle import Move
from notifications.models import Notification
from notifications.settlements import Settlement, Way
from tests.pipeline.factories import attempt, copies, fresh, make_due, sms
from tests.plans import explain, explaining, is_by_key

pytestmark = pytest.mark.django_db

SEARCHES = ('UPDATE "notifications_notification"', "FOR UPDATE")
SIZES = (1, 2, 5, 12)


def marked(count: int, token: UUID) -> list[UUID]:
    """Rows that a worker is about to send under `token`."""
    ids = [sms().pk for _ in range(count)]
    make_due(ids)
    with transaction.atomic():
        Notification.objects.claim(ids, token, 60)
    assert Notification.objects.mark_dispatching(ids, token, "simulated", 5) == set(ids)
    return ids


@pytest.mark.parametrize("count", SIZES)
def test_each_row_is_settled_with_its_own_values(count: int) -> None:
    token = uuid4()
    ids = marked(count, token)
    items = [
        Settlement(id, Way(Move.RETRY), delay=100.0 * i, code=f"c{i}", detail=f'{i} "\\" {{,}}')
        for i, id in enumerate(ids)
    ]
    assert Notification.objects.settle(token, items) == count
    for i, id in enumerate(ids):
        row = Notification.objects.annotate(wait=F("due_at") - Now()).get(pk=id)
        assert (row.error_code, row.error_detail) == (f"c{i}", f'{i} "\\" {{,}}')
        assert 100.0 * i - 60 < row.wait.total_seconds() <= 100.0 * i


@pytest.mark.parametrize("count", SIZES)
def test_what_another_holds_stays_as_it_is(count: int) -> None:
    ids = marked(count, uuid4())
    stranger = uuid4()
    assert Notification.objects.mark_dispatching(ids, stranger, "simulated", 5) == set()
    items = [Settlement(id, Way(Move.ACCEPT)) for id in ids]
    assert Notification.objects.settle(stranger, items) == 0


@pytest.mark.parametrize("count", SIZES)
def test_what_was_claimed_has_what_an_attempt_needs(
    count: int, django_assert_num_queries: Any
) -> None:
    rows = [sms(f"slow:{i}", body=f"No {i}") for i in range(count)]
    make_due([row.pk for row in rows])
    with transaction.atomic():
        claimed = Notification.objects.claim([row.pk for row in rows], uuid4(), 60)
    assert {row.pk for row in claimed} == {row.pk for row in rows}
    stored = {row.pk: row for row in rows}
    with django_assert_num_queries(0):
        for row in claimed:
            assert row.content == stored[row.pk].content
            assert row.metadata == stored[row.pk].metadata
            assert row.tenant.name == stored[row.pk].tenant.name
            assert (row.attempt_count, row.spent_attempts, row.was_ambiguous) == (0, 0, False)
            assert row.created_at == stored[row.pk].created_at


@pytest.mark.parametrize("count", SIZES)
def test_a_hint_puts_off_the_message_of_what_waits(count: int) -> None:
    ids = [sms().pk for _ in range(count)]
    held = marked(1, uuid4())
    assert Notification.objects.hint([*ids, *held], 300) == count
    waiting = Notification.objects.filter(pk__in=ids, publish_at__gt=Now() + timedelta(seconds=200))
    assert waiting.count() == count


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("text", ["", "NULL", None, 'a "b"', "\\", "a,b{c}", "e\u0301\n", "'"]),
        ("uuid", [uuid4(), None, uuid4()]),
        ("integer", [0, -1, 2**31 - 1]),
        ("interval", [timedelta(0), timedelta(microseconds=1), timedelta(days=400, seconds=-1)]),
        ("timestamptz", [datetime(2026, 2, 28, 12, 30, 1, 5, tzinfo=UTC), None]),
        ("boolean", [True, False]),
        ("text", []),
    ],
)
def test_an_array_arrives_as_it_was_written(kind: str, values: list[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT %s::{kind}[]", [array_of(values)])
        assert cursor.fetchone()[0] == values


@pytest.mark.postgres
def test_json_arrives_in_an_array_as_it_was_written() -> None:
    values = [{"a": ['"', "\\", None]}, [], {}]
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_jsonb(%s::jsonb[])::text", [array_of(values)])
        assert json.loads(cursor.fetchone()[0]) == values


@pytest.mark.postgres
@pytest.mark.parametrize("count", [1, 5])
def test_a_statement_is_planned_once_where_the_project_and_the_table_allow_it(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    grown = native.GROWN_BYTES
    monkeypatch.setattr(native, "ASK_SECONDS", 0)
    monkeypatch.setattr(native, "GROWN_BYTES", 1 << 60)
    with fresh_plans(threshold=2):
        attempt_some(count)
        assert searching() == []
        assert any(statement.startswith("INSERT") for statement in planned())
        settled = sms()
        Notification.objects.filter(pk=settled.pk).update(state=State.SENT)
        copies(fresh(settled), 40_000)
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE notifications_notification")
        monkeypatch.setattr(native, "GROWN_BYTES", grown)
        attempt_some(count)
        assert len(searching()) >= 3
        if connection.connection.info.server_version >= 160000:  # others know no such option
            plans = [explain(statement, options="(GENERIC_PLAN)") for statement in searching()]
            assert [plan for plan in plans if not is_by_key(plan)] == []
    with fresh_plans(threshold=None):
        attempt_some(count)
        assert planned() == []


def attempt_some(count: int) -> None:
    for _ in range(6):
        attempt(*[sms() for _ in range(count)])


@contextmanager
def fresh_plans(threshold: int | None) -> Iterator[None]:
    connection.ensure_connection()
    raw: Any = connection.connection
    before = raw.prepare_threshold
    raw.prepare_threshold = threshold
    raw.execute("DEALLOCATE ALL")
    try:
        yield
    finally:
        raw.prepare_threshold = before


def searching() -> list[str]:
    """Of what is planned, the statements that find notifications by their keys."""
    return [text for text in planned() if any(words in text for words in SEARCHES)]


def planned() -> list[str]:
    """The statements that the server keeps for this connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        return [statement for (statement,) in cursor.fetchall()]


@pytest.mark.postgres
def test_a_new_backlog_is_found_by_its_keys_whatever_the_statistics_say() -> None:
    rows = [sms() for _ in range(5)]
    like = {"tenant": rows[0].tenant, "channel": "sms", "to": "+14155550123", "content": {}}
    old = [Notification(state=State.SENT, **like) for _ in range(2000)]
    Notification.objects.bulk_create(old)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE notifications_notification")
    Notification.objects.bulk_create([Notification(**like) for _ in range(2000)])
    plans: list[str] = []
    with connection.execute_wrapper(explaining(plans, *SEARCHES)):
        attempt(*rows)
        Notification.objects.hint([row.pk for row in rows], 30)
    assert len(plans) >= 5
    assert [plan for plan in plans if not is_by_key(plan)] == []
