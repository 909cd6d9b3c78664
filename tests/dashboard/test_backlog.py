"""What waits and why, as far as a bounded look can tell, and what it costs."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications.dashboard import backlog
from notifications.dashboard.backlog import Lane, Reason, look
from notifications.enums import Channel, Priority, State, WaitReason
from notifications.gates import forget_gates
from notifications.models import Notification, Pause, RateLimit
from notifications.pipeline import policy
from tests.pipeline.factories import copies, tenant

pytestmark = pytest.mark.django_db

SMS = Lane(Channel.SMS, Priority.NORMAL)


@pytest.fixture(autouse=True)
def fresh_policy() -> Iterator[None]:
    policy.forget()
    yield
    policy.forget()


def make(count: int, state: State = State.QUEUED, **values: Any) -> None:
    base = {"channel": "sms", "to": "+14155550123", "content": {}, "fingerprint": "0" * 64}
    shop = values.pop("tenant", None) or tenant("shop")
    Notification.objects.bulk_create(
        Notification(**{**base, "tenant": shop, "state": state, **values}) for _ in range(count)
    )


def test_each_lane_has_what_is_in_it_and_what_is_finished_counts_nowhere() -> None:
    lease = {"lease_token": uuid4(), "lease_until": timezone.now() - timedelta(seconds=1)}
    make(3)
    make(2, State.RETRY_WAIT)
    make(4, State.UNKNOWN)
    make(5, State.DISPATCHING, **lease)
    make(6, State.SCHEDULED, due_at=timezone.now() + timedelta(hours=1))
    make(7, State.SENT)
    make(8, channel="email", priority=Priority.BULK)
    found = look()
    held = found.lanes[SMS]
    assert (held.waiting, held.scheduled, held.retrying, held.unknown) == (9, 6, 2, 4)
    assert (held.in_flight, held.lapsed) == (5, 5)
    assert found.lanes[Channel.EMAIL, Priority.BULK].waiting == 8
    assert (found.total(), found.total(Channel.EMAIL)) == (28, 8)
    assert not found.is_sampled


def test_the_oldest_due_is_that_which_is_due_by_the_databases_clock() -> None:
    make(1, due_at=Now() - timedelta(seconds=90))
    make(1, due_at=Now() - timedelta(seconds=500), cancel_requested=True)
    make(1, State.UNKNOWN, due_at=Now() - timedelta(seconds=900))
    make(1, State.SCHEDULED, due_at=Now() + timedelta(hours=1))
    held = look().lanes[SMS]
    assert held.due_for is not None
    assert 90 <= held.due_for < 400


def test_what_is_not_due_yet_is_not_late() -> None:
    make(3, State.RETRY_WAIT, due_at=Now() + timedelta(minutes=1))
    assert look().lanes[SMS].due_for is None


def test_the_reasons_are_those_that_a_notification_itself_tells() -> None:
    later = Now() + timedelta(minutes=1)
    scope = "provider:simulated:5/s"
    make(2, due_at=later, wait_reason="rate_limit", wait_scope=scope)
    make(3, State.RETRY_WAIT, due_at=later, error_code="timeout", provider="simulated")
    make(1, State.RETRY_WAIT, error_code="timeout", provider="simulated")
    make(4, State.UNKNOWN, provider="simulated")
    make(5, tenant=tenant("bakery"))
    Pause.objects.create(scope="tenant", subject="bakery")
    RateLimit.objects.create(scope="provider", subject="simulated", rates="5/s")
    policy.forget()
    assert dict(look().reasons) == {
        Reason(Channel.SMS, WaitReason.RATE_LIMIT, scope): 2,
        Reason(Channel.SMS, WaitReason.QUEUE, "channel:sms"): 1,
        Reason(Channel.SMS, WaitReason.BACKOFF, "provider:simulated", "timeout"): 3,
        Reason(Channel.SMS, WaitReason.RECONCILE, "provider:simulated"): 4,
        Reason(Channel.SMS, WaitReason.PAUSED, "tenant:bakery"): 5,
    }


def test_a_long_lane_is_counted_though_only_a_part_of_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backlog, "SAMPLE", 10)
    make(25)
    make(3, State.RETRY_WAIT)
    found = look()
    held = found.lanes[SMS]
    assert (held.waiting, held.retrying, held.is_sampled, held.is_estimate) == (25, 3, True, False)
    assert sum(count for _, count in found.reasons) == 13


def test_a_very_long_lane_is_estimated_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backlog, "SAMPLE", 10)
    monkeypatch.setattr(backlog, "COUNTED", 20)
    make(60)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE notifications_notification")
    held = look().lanes[SMS]
    assert held.is_estimate
    assert 21 <= held.waiting <= 120


def test_it_takes_as_many_statements_for_many_as_for_few() -> None:
    make(5)
    few = statements()
    make(300, State.RETRY_WAIT, error_code="x")
    assert few == statements() <= 6


def statements() -> int:
    """How many a look takes of a process that has heard of nothing but the policy."""
    forget_gates()
    policy.forget()
    policy.current()
    with CaptureQueriesContext(connection) as queries:
        look()
    return len(queries)


@pytest.mark.postgres
def test_beside_a_large_table_no_statement_reads_all_of_it() -> None:
    make(1)
    copies(Notification.objects.get(), 2000)
    make(1, State.SENT)
    copies(Notification.objects.get(state=State.SENT), 18_000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE notifications_notification")
    with CaptureQueriesContext(connection) as queries:
        assert look().lanes[SMS].waiting == 2001
    ours = [q["sql"] for q in queries if "notifications_notification" in q["sql"]]
    assert len(ours) >= 2
    with connection.cursor() as cursor:
        for sql in ours:
            cursor.execute(f"EXPLAIN {sql}")
            plan = "\n".join(line for [line] in cursor.fetchall())
            assert "Seq Scan on notifications_notification" not in plan, sql[:200]
