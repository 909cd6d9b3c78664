"""What is counted, and that what is finished is never looked at."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications.enums import Channel, Priority, State, Status
from notifications.models import Tenant, Worker
from notifications.observability import stats
from tests.observability.conftest import lease, stored
from tests.pipeline.factories import copies

pytestmark = pytest.mark.django_db


def test_the_backlog_is_counted_by_channel_priority_and_status(tenant: Tenant) -> None:
    for state in (State.QUEUED, State.SCHEDULED, State.RETRY_WAIT, State.UNKNOWN):
        stored(tenant, state=state)
    stored(tenant, state=State.LEASED, **lease())
    stored(tenant, state=State.DISPATCHING, **lease())
    stored(tenant, state=State.QUEUED, channel="sms", priority=Priority.URGENT)
    for state in (State.SENT, State.FAILED, State.CANCELLED, State.EXPIRED, State.SUPPRESSED):
        stored(tenant, state=state)
    counts = {(row.channel, row.priority, row.status): row.count for row in stats.backlog()}
    email = (Channel.EMAIL, Priority.NORMAL)
    assert counts == {
        (*email, Status.SCHEDULED): 1,
        (*email, Status.QUEUED): 2,  # what is leased is provably not sent
        (*email, Status.SENDING): 1,
        (*email, Status.RETRYING): 1,
        (*email, Status.UNKNOWN): 1,
        (Channel.SMS, Priority.URGENT, Status.QUEUED): 1,
    }


def test_the_oldest_due_is_as_late_as_it_is(tenant: Tenant) -> None:
    now = datetime.now(UTC)
    for seconds in (30, 90, -3600):
        stored(tenant, due_at=now - timedelta(seconds=seconds))
    stored(tenant, due_at=now - timedelta(days=1), state=State.SENT)
    [row] = stats.oldest_due()
    assert (row.channel, row.priority) == (Channel.EMAIL, Priority.NORMAL)
    assert row.due_at == now - timedelta(seconds=90)
    assert 89 < row.seconds < 120


def test_workers_are_seen_by_when_they_showed_themselves(db: None) -> None:
    now = datetime.now(UTC)
    Worker.objects.create(name="b", seen_at=now - timedelta(seconds=10))
    Worker.objects.create(name="a", seen_at=now)
    Worker.objects.create(name="gone", seen_at=now - timedelta(minutes=5))
    seen = stats.workers_seen()
    assert [worker.name for worker in seen] == ["a", "b"]
    assert 9 < seen[1].seconds < 40


@pytest.mark.postgres
def test_counting_reads_no_finished_row(tenant: Tenant) -> None:
    """With many finished rows and few waiting, PostgreSQL takes the partial indexes."""
    copies(stored(tenant, state=State.SENT), 20_000)
    for state in (State.QUEUED, State.UNKNOWN):
        stored(tenant, state=state)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE notifications_notification")
        with CaptureQueriesContext(connection) as queries:
            stats.backlog()
            stats.oldest_due()
        for query in queries.captured_queries:
            cursor.execute(f"EXPLAIN {query['sql']}")
            plan = "\n".join(row[0] for row in cursor.fetchall())
            assert "Seq Scan" not in plan, plan


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the plans are those of SQLite")
def test_counting_reads_the_partial_indexes_of_sqlite(db: None) -> None:
    """It takes one only for a query that says its condition word for word."""
    with CaptureQueriesContext(connection) as queries:
        stats.backlog()
        stats.oldest_due()
    with connection.cursor() as cursor:
        for query in queries.captured_queries:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            plans = [row[3] for row in cursor.fetchall() if "notifications_notification" in row[3]]
            assert all("USING INDEX" in plan for plan in plans), plans
