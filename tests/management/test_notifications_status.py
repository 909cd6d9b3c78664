"""The command for 3 a.m."""

import json
import re
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications.enums import Channel, Priority, State
from notifications.gates import get_breaker, get_pacer
from notifications.messages import Tally
from notifications.models import Notification, Pause, RateLimit, Tenant, Worker
from notifications.pipeline import policy

pytestmark = pytest.mark.django_db

SIMULATED = "notifications.providers.simulated.SimulatedProvider"


@pytest.fixture(autouse=True)
def fresh_policy() -> None:
    policy.forget()


@pytest.fixture
def shop() -> Tenant:
    return Tenant.objects.create(name="shop")


def make(tenant: Tenant, count: int = 1, **values: Any) -> None:
    base = {"channel": Channel.EMAIL, "to": "ada@example.com", "content": {}, "fingerprint": ""}
    Notification.objects.bulk_create(
        Notification(**{**base, **values}, tenant=tenant) for _ in range(count)
    )


def worker(seconds_ago: float = 0) -> None:
    Worker.objects.create(name="w@host", seen_at=timezone.now() - timedelta(seconds=seconds_ago))


def text() -> str:
    out = StringIO()
    call_command("notifications_status", stdout=out, no_color=True)
    return out.getvalue()


def data() -> Any:
    out = StringIO()
    call_command("notifications_status", "--json", stdout=out)
    return json.loads(out.getvalue())


def test_an_idle_system_with_a_worker_needs_nothing() -> None:
    worker()
    shown = text()
    assert "nothing: all is well" in shown
    assert "w@host  seen 0 s ago" in shown


@pytest.mark.parametrize("seconds_ago", [None, 300])
def test_without_a_worker_it_says_how_to_start_one(seconds_ago: float | None) -> None:
    if seconds_ago:
        worker(seconds_ago)
    assert "Start one: celery -A project worker" in text()


def test_the_backlog_is_told_by_channel_priority_and_status(shop: Tenant) -> None:
    make(shop, 3)
    make(shop, 2, channel=Channel.SMS, priority=Priority.URGENT, state=State.RETRY_WAIT)
    make(shop, 4, state=State.SENT)
    assert [(b["channel"], b["priority"], b["status"], b["count"]) for b in data()["backlog"]] == [
        ("email", "normal", "queued", 3),
        ("sms", "urgent", "retrying", 2),
    ]


def test_it_says_what_is_waiting_on_what(shop: Tenant) -> None:
    Pause.objects.create(scope="channel", subject="sms")
    later = timezone.now() + timedelta(hours=1)
    make(shop, 5, channel=Channel.SMS)
    make(shop, 4)
    RateLimit.objects.create(scope="channel", subject="email", rates="50/s")
    make(shop, 3, wait_reason="rate_limit", wait_scope="channel:email:50/s", due_at=later)
    make(shop, 2, state=State.SCHEDULED, due_at=later)
    make(shop, 1, state=State.UNKNOWN, provider="simulated")
    waiting = [(w["reason"], w["scope"], w["count"]) for w in data()["waiting_on"]]
    assert waiting == [
        ("paused", "channel:sms", 5),
        ("queue", "channel:email", 4),
        ("rate_limit", "channel:email:50/s", 3),
        ("scheduled", "channel:email", 2),
        ("reconcile", "provider:simulated", 1),
    ]


def test_what_a_pause_or_a_limit_held_up_before_is_no_longer_said_to_wait_for_it(
    shop: Tenant,
) -> None:
    later = timezone.now() + timedelta(seconds=30)
    make(shop, 3, wait_reason="rate_limit", wait_scope="channel:email:50/s", due_at=later)
    make(shop, 2, wait_reason="paused", wait_scope="tenant:shop", due_at=later)
    waiting = [(w["reason"], w["scope"], w["count"]) for w in data()["waiting_on"]]
    assert waiting == [("queue", "channel:email", 5)]


def test_it_says_when_the_backlog_will_be_gone(shop: Tenant) -> None:
    worker()
    RateLimit.objects.create(scope="channel", subject="email", rates="2/s")
    make(shop, 22)
    [found] = data()["forecasts"]
    assert (found["channel"], found["priority"], found["waiting"]) == ("email", "normal", 22)
    assert 9 < found["seconds"] < 12
    assert re.search(
        r"email +normal +22 +gone in \d+ s +the limit of channel email \(2/s\)", text()
    )


def test_it_says_why_nobody_knows_when_the_backlog_will_be_gone(shop: Tenant) -> None:
    Pause.objects.create(scope="channel", subject="email")
    make(shop, 22)
    assert re.search(r"email +normal +22 +nobody knows +channel email is paused", text())


def test_it_says_what_to_do_about_pauses_and_unknown_outcomes(shop: Tenant) -> None:
    worker()
    Pause.objects.create(scope="channel", subject="sms", reason="incident 12")
    make(shop, 5, channel=Channel.SMS)
    make(shop, 1, state=State.UNKNOWN, provider="simulated")
    shown = text()
    assert "5 sms held by channel:sms: end it in the admin." in shown
    assert "1 email of unknown outcome (provider:simulated)" in shown
    assert "incident 12" in shown


def test_a_switched_off_tenant_counts_as_paused(shop: Tenant) -> None:
    make(shop)
    Tenant.objects.update(is_active=False)
    shown = data()
    assert shown["pauses"] == [{"scope": "tenant", "name": "shop", "reason": "switched off"}]
    assert shown["waiting_on"][0]["reason"] == "paused"


def test_what_is_late_although_a_worker_lives_is_pointed_out(shop: Tenant) -> None:
    worker()
    make(shop, due_at=timezone.now() - timedelta(minutes=10))
    assert "email, normal: due for 60" in text()
    assert data()["oldest_due"][0]["seconds"] == pytest.approx(600, abs=30)


def test_limits_are_those_that_hold_now(settings: Any) -> None:
    settings.NOTIFICATIONS = {
        "CHANNELS": {"email": {"RATE_LIMIT": "50/s"}, "sms": {"RATE_LIMIT": "5/s"}}
    }
    RateLimit.objects.create(scope="channel", subject="email", rates="10/s, 1000/d")
    RateLimit.objects.create(scope="tenant", subject="shop", rates="1/s")
    assert [(r["scope"], r["name"], r["rates"]) for r in data()["limits"]] == [
        ("channel", "email", "10/s, 1000/d"),
        ("channel", "sms", "5/s"),
        ("tenant", "shop", "1/s"),
    ]


def test_what_is_in_flight_and_past_its_lease_is_counted(shop: Tenant) -> None:
    now = timezone.now()
    make(shop, 2, state=State.LEASED, lease_token=uuid4(), lease_until=now + timedelta(minutes=1))
    make(
        shop,
        1,
        state=State.DISPATCHING,
        lease_token=uuid4(),
        lease_until=now - timedelta(minutes=1),
    )
    assert data()["in_flight"] == {"count": 3, "lapsed": 1}


def test_no_recipient_is_shown(shop: Tenant) -> None:
    make(shop, 3)
    assert "ada@example.com" not in text() + json.dumps(data())


def test_the_number_of_queries_does_not_grow_with_the_backlog(shop: Tenant) -> None:
    def queries() -> int:
        policy.forget()
        with CaptureQueriesContext(connection) as captured:
            data()
        return len(captured)

    make(shop)
    few = queries()
    make(shop, 200)
    for number in range(5):
        make(Tenant.objects.create(name=f"t{number}"), 10)
    assert queries() <= few


def test_it_shows_whether_providers_are_asked(settings: Any, capsys: Any) -> None:
    settings.NOTIFICATIONS = {
        "PROVIDERS": {
            "broken": {"BACKEND": SIMULATED, "CIRCUIT": {"MIN_CALLS": 1, "OPEN_FOR": 60}},
            "tired": {"BACKEND": SIMULATED},
        },
        "CHANNELS": {"sms": {"PROVIDERS": ["broken"]}, "email": {"PROVIDERS": ["tired"]}},
    }
    get_breaker().record("broken", Tally(failed=1))
    get_pacer().slow("tired", 60, 100)
    call_command("notifications_status")
    shown = capsys.readouterr().out
    assert re.search(r"broken +circuit open since .* UTC: failures", shown)
    assert re.search(r"tired +circuit closed +waits for \d+\.\d s, as it asked", shown)
    assert re.search(r"simulated +circuit closed\n", shown)
