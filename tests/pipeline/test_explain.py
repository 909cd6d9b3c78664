"""Why one has not gone: what is true now, whatever it was put off for."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.translation import override

from notifications import notify_many
from notifications.enums import CircuitState, Priority, State, WaitReason
from notifications.gates import get_breaker, get_pacer
from notifications.labels import spoken
from notifications.messages import Tally
from notifications.models import (
    Notification,
    Pause,
    ProviderCircuit,
    RateBucket,
    RateLimit,
    Tenant,
    Worker,
)
from notifications.pipeline import endpoints, explain, policy
from notifications.pipeline.explain import Waiting, waiting

from .factories import attempt, fresh, sms

pytestmark = pytest.mark.django_db

SIMULATED = "notifications.providers.simulated.SimulatedProvider"
CIRCUIT = {"MIN_CALLS": 1, "OPEN_FOR": 60}


@pytest.fixture(autouse=True)
def _a_worker_and_a_fresh_policy() -> None:
    Worker.objects.create(name="w@host", seen_at=timezone.now())
    policy.forget()


def told(row: Notification) -> Waiting:
    policy.forget()
    found = waiting(fresh(row))
    assert found is not None
    return found


def use(settings: Any, limit: str | None = None, **provider: Any) -> None:
    settings.NOTIFICATIONS = {
        "PROVIDERS": {"one": {"BACKEND": SIMULATED, **provider}},
        "CHANNELS": {"sms": {"PROVIDERS": ["one"], "RATE_LIMIT": limit}},
    }


def set_row(row: Notification, **values: Any) -> None:
    Notification.objects.filter(pk=row.pk).update(**values)


def later(minutes: float = 10) -> datetime:
    return timezone.now() + timedelta(minutes=minutes)


def test_what_is_sent_waits_for_nothing() -> None:
    row = sms()
    attempt(row)
    assert waiting(fresh(row)) is None


def test_what_has_a_send_at_waits_for_it_even_while_its_channel_is_paused() -> None:
    at = later(60)
    row = sms(send_at=at)
    Pause.objects.create(scope="channel", subject="sms")
    found = told(row)
    assert (found.reason, found.scope, found.until) == (WaitReason.SCHEDULED, "channel:sms", at)


def test_what_was_due_long_ago_is_no_longer_scheduled() -> None:
    row = sms(send_at=later(60))
    set_row(row, due_at=later(-1), publish_at=later(-1))
    assert told(row).reason == WaitReason.QUEUE


def test_in_line_it_says_how_many_of_its_tenant_are_ahead() -> None:
    first, second, last = (sms() for _ in range(3))
    sms(tenant=Tenant.objects.create(name="other"))
    sms(priority="urgent")
    assert told(first).detail == "it is due; 0 of its tenant are ahead of it"
    assert told(second).detail == "it is due; 1 of its tenant is ahead of it"
    found = told(last)
    assert (found.reason, found.scope, found.until) == (WaitReason.QUEUE, "channel:sms", None)
    assert "2 of its tenant are ahead of it" in found.detail


def test_it_is_english_whatever_language_is_active_and_can_be_said_in_that_one() -> None:
    row = sms()
    with override("de"):
        detail = told(row).detail
        assert detail == "it is due; 0 of its tenant are ahead of it"
        assert spoken(detail) == "sie ist fällig; 0 ihres Mandanten stehen vor ihr"


def test_of_very_many_ahead_it_counts_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "AHEAD_MAX", 3)
    rows = [sms() for _ in range(6)]
    assert told(rows[3]).detail == "it is due; 3 of its tenant are ahead of it"
    assert told(rows[5]).detail == "it is due; more than 3 of its tenant are ahead of it"


def test_what_is_not_due_yet_is_not_ahead() -> None:
    sms(send_at=timezone.now() + timedelta(seconds=20))
    row = sms()
    assert "0 of its tenant" in told(row).detail


def test_without_a_worker_it_says_so() -> None:
    row = sms()
    Worker.objects.update(seen_at=later(-5))
    assert "no worker has been seen in the last 60 s" in told(row).detail


def test_workers_that_read_other_queues_are_none() -> None:
    row = sms(priority="urgent")
    Worker.objects.update(queues=["notifications.email.urgent", "notifications.sms.bulk"])
    assert told(row).detail == "no worker reads the queue notifications.sms.urgent"
    Worker.objects.update(queues=["notifications.sms.urgent"])
    assert "0 of its tenant" in told(row).detail


@pytest.mark.parametrize(
    ("scope", "subject"), [("channel", "sms"), ("provider", "simulated"), ("tenant", "default")]
)
def test_a_pause_is_told_from_its_beginning_to_its_end(scope: str, subject: str) -> None:
    row = sms()
    pause = Pause.objects.create(scope=scope, subject=subject, reason="incident 12")
    found = told(row)
    assert (found.reason, found.scope, found.until) == ("paused", f"{scope}:{subject}", None)
    assert found.detail == f"{scope} {subject} is paused"
    attempt(row)  # it is put off for the pause, and its row says so
    assert told(row).reason == WaitReason.PAUSED
    pause.delete()
    found = told(row)
    assert found.reason == WaitReason.QUEUE
    assert "held it up and does so no longer" in found.detail
    assert found.until == fresh(row).due_at


def test_a_switched_off_tenant_is_told() -> None:
    row = sms()
    Tenant.objects.update(is_active=False)
    assert told(row).detail == "tenant default is switched off"


def test_an_open_circuit_is_told_before_and_after_it_was_met_and_not_when_it_has_closed(
    settings: Any,
) -> None:
    use(settings, CIRCUIT=CIRCUIT)
    unmet, met = sms(), sms()
    get_breaker().record("one", Tally(failed=1))
    attempt(met)
    assert fresh(met).wait_reason == WaitReason.CIRCUIT_OPEN
    for row in (unmet, met):
        found = told(row)
        assert (found.reason, found.scope) == (WaitReason.CIRCUIT_OPEN, "provider:one")
        assert "circuit of one is open since" in found.detail
        assert found.until is not None
        assert found.until >= fresh(row).due_at
    ProviderCircuit.objects.update(state=CircuitState.CLOSED)
    assert told(unmet).reason == WaitReason.QUEUE
    found = told(met)
    assert (found.reason, found.until) == (WaitReason.QUEUE, fresh(met).due_at)
    assert "provider one held it up and does so no longer" in found.detail


def test_a_provider_that_asked_for_rest_is_told(settings: Any) -> None:
    use(settings)
    row = sms()
    get_pacer().slow("one", 60, 100)
    found = told(row)
    assert (found.reason, found.scope) == (WaitReason.RATE_LIMIT, "provider:one")
    assert found.until is not None
    assert found.until > later(0.5)


def test_a_limit_is_told_with_its_time_and_no_longer_when_it_was_lifted(settings: Any) -> None:
    use(settings, "2/m")
    rows = [sms() for _ in range(3)]
    attempt(*rows)
    held = next(row for row in map(fresh, rows) if row.state == State.QUEUED)
    found = told(held)
    assert (found.reason, found.scope) == (WaitReason.RATE_LIMIT, "channel:sms:2/m")
    assert found.until == held.due_at
    RateLimit.objects.create(scope="channel", subject="sms", rates="500/s")
    found = told(held)
    assert (found.reason, found.until) == (WaitReason.QUEUE, held.due_at)


def test_a_day_s_limit_that_is_used_up_holds_what_nobody_has_tried(settings: Any) -> None:
    use(settings, "2/d")
    attempt(*(sms() for _ in range(2)))
    found = told(sms())
    assert (found.reason, found.scope) == (WaitReason.RATE_LIMIT, "channel:sms:2/d")
    assert found.until is not None
    assert found.until > later(60)


def test_where_more_wait_than_a_limit_lets_go_it_is_the_limit_that_is_waited_for(
    settings: Any,
) -> None:
    use(settings, "2/s")
    rows = [sms() for _ in range(21)]
    assert told(rows[1]).reason == WaitReason.QUEUE
    found = told(rows[-1])
    assert (found.reason, found.scope) == (WaitReason.RATE_LIMIT, "channel:sms:2/s")
    assert "20 of its tenant are ahead of it" in found.detail
    assert found.until is not None
    assert 5 < (found.until - timezone.now()).total_seconds() <= 10


def test_a_backoff_names_the_error_and_the_next_attempt() -> None:
    row = sms("transient")
    attempt(row)
    found = told(row)
    assert (found.reason, found.scope) == (WaitReason.BACKOFF, "provider:simulated")
    assert found.detail == "attempt 1 came to unavailable; the next is due then"
    assert found.until == fresh(row).due_at


def test_of_a_backoff_and_an_open_circuit_the_one_that_lasts_longer_is_told(settings: Any) -> None:
    use(settings, CIRCUIT=CIRCUIT)
    row = sms("transient")
    attempt(row)
    assert told(row).reason == WaitReason.CIRCUIT_OPEN
    set_row(row, due_at=later(60))
    assert told(row).reason == WaitReason.BACKOFF


def test_what_a_dead_worker_holds_is_told() -> None:
    row, sending = sms(), sms()
    lease = {"lease_token": uuid4(), "lease_until": later(1)}
    set_row(row, state=State.LEASED, **lease)
    set_row(sending, state=State.DISPATCHING, provider="simulated", **lease)
    assert waiting(fresh(row)) is waiting(fresh(sending)) is None
    Notification.objects.update(lease_until=later(-1))
    assert told(row).reason == WaitReason.QUEUE
    assert told(sending).reason == WaitReason.RECONCILE


def test_an_unknown_outcome_says_whether_anybody_asks_the_provider(settings: Any) -> None:
    use(settings)
    row = sms("timeout")
    attempt(row)
    found = told(row)
    assert (found.reason, found.scope, found.until) == ("reconcile", "provider:one", None)
    use(settings, OPTIONS={"LOOKS_UP": True})
    found = told(row)
    assert found.until is not None
    assert "one is asked" in found.detail


def test_a_receiver_that_fails_is_told_as_long_as_it_does() -> None:
    tenant = Tenant.objects.create(name="shop")
    endpoint = endpoints.create(tenant, "https://example.com/hook")
    row = notify_many(
        [{"channel": "webhook", "to": "https://example.com/hook", "payload": 1}], tenant=tenant
    )[0]
    scope = f"endpoint:{endpoint.pk}"
    set_row(row, due_at=later(), wait_reason=WaitReason.CIRCUIT_OPEN, wait_scope=scope)
    endpoint.failing_since = later(-30)
    endpoint.save()
    found = told(row)
    assert (found.reason, found.scope) == (WaitReason.CIRCUIT_OPEN, scope)
    assert "its endpoint does nothing but fail" in found.detail
    endpoint.delete()
    assert told(row).reason == WaitReason.QUEUE


def test_what_has_expired_is_said_to_end() -> None:
    row = sms()
    set_row(row, expires_at=later(-1))
    assert "about to end as expired" in told(row).detail


def test_an_answer_costs_a_handful_of_reads_and_no_write(settings: Any) -> None:
    use(settings, "2/s, 1000/d", CIRCUIT=CIRCUIT, RATE_LIMIT="5/s")
    rows = [sms(priority=label) for label in Priority.labels for _ in range(10)]
    for row in (rows[0], rows[-1]):
        policy.forget()
        row = fresh(row)
        with CaptureQueriesContext(connection) as captured:
            waiting(row)
        assert len(captured) <= 12
        assert {q["sql"].lstrip("(").split()[0] for q in captured} == {"SELECT"}
    assert not RateBucket.objects.exists()
