"""A few rows are claimed by one statement that commits by itself; it claims what two would."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from notifications.enums import Channel, State
from notifications.models import Notification
from notifications.pipeline.lease import FEW, Lease
from tests.pipeline.factories import attempt, fresh, make_due, sms
from tests.plans import Execute, explaining, is_by_key

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]


def claim(ids: list[UUID]) -> list[Notification]:
    return Lease(Channel.SMS, lambda: False).claim(ids)


def due(count: int) -> list[Notification]:
    rows = [sms(body=f"No {number}") for number in range(count)]
    make_due([row.pk for row in rows])
    return rows


def test_a_few_are_claimed_by_one_statement() -> None:
    assert claim([uuid4()]) == []  # the statement is made with its first use
    rows = due(FEW)
    with CaptureQueriesContext(connection) as queries:
        claimed = claim([row.pk for row in rows])
    assert len(queries) == 1, queries.captured_queries
    assert {row.pk for row in claimed} == {row.pk for row in rows}
    assert {fresh(row).state for row in rows} == {State.LEASED}
    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        assert cursor.fetchone() == ("on",), "only the claim does not wait for the disk"


def test_it_reads_what_claiming_many_reads() -> None:
    rows = due(FEW + 1)
    with_many = {row.pk: row.__dict__ for row in claim([row.pk for row in rows])}
    make_waiting = Notification.objects.filter(state=State.LEASED)
    for row in rows:
        make_waiting.filter(pk=row.pk).update(state=State.QUEUED)
        [alone] = claim([row.pk])
        assert said(alone.__dict__) == said(with_many[row.pk])


def said(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != "_state"}


def test_what_is_not_due_or_held_by_another_is_passed_over_at_once() -> None:
    waits, held, free = sms(send_at=datetime.now(UTC) + timedelta(hours=1)), *due(2)
    with locked(held.pk):
        assert claim([waits.pk, held.pk, free.pk, uuid4()]) == [free]
    assert claim([free.pk]) == []
    assert (fresh(waits).state, fresh(held).state) == (State.SCHEDULED, State.QUEUED)


def test_a_whole_delivery_goes_through_it() -> None:
    [row] = due(1)
    with CaptureQueriesContext(connection) as queries:
        attempt(row)
    assert any("WITH quick" in query["sql"] for query in queries)
    assert fresh(row).state == State.SENT


def test_a_row_that_was_moved_meanwhile_is_claimed_as_it_is_now() -> None:
    """Another worker's attempt is committed after the statement has begun to look.

    With the old number of attempts, this one would be written over the other's.
    """
    [row] = due(1)
    with connection.execute_wrapper(slowly(another_attempt(row.pk))):
        [claimed] = claim([row.pk])
    assert claimed.attempt_count == fresh(row).attempt_count == 1


def test_it_finds_its_rows_by_their_keys_whatever_the_statistics_say() -> None:
    row = due(1)[0]
    like = {"tenant": row.tenant, "channel": "sms", "to": "+14155550123", "content": {}}
    Notification.objects.bulk_create(Notification(state=State.SENT, **like) for _ in range(2000))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE notifications_notification")
    Notification.objects.bulk_create(Notification(**like) for _ in range(2000))
    plans: list[str] = []
    with connection.execute_wrapper(explaining(plans, "WITH quick")):
        claim([row.pk])
    [plan] = plans
    assert is_by_key(plan), plan


def slowly(meanwhile: threading.Thread) -> Execute:
    """The claim looks for its row half a second after its snapshot was taken."""

    def execute(run: Execute, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "WITH quick" in sql:
            sql = sql.replace(" WHERE (", " WHERE (SELECT TRUE FROM pg_sleep(0.5)) AND (", 1)
            meanwhile.start()
            result = run(sql, params, many, context)
            meanwhile.join()
            return result
        return run(sql, params, many, context)

    return execute


def another_attempt(pk: UUID) -> threading.Thread:
    def write() -> None:
        Notification.objects.filter(pk=pk).update(attempt_count=F("attempt_count") + 1)
        connection.close()

    return threading.Thread(target=write)


@contextmanager
def locked(pk: UUID) -> Iterator[None]:
    """Another connection holds the row while the block runs."""
    holds, done = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Notification.objects.select_for_update().get(pk=pk)
            holds.set()
            done.wait(30)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert holds.wait(30)
    try:
        yield
    finally:
        done.set()
        thread.join()
