"""What becomes of notifications is told to the endpoints that ask: once each, whatever happens."""

import sys
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from notifications import notify
from notifications.enums import DisabledReason, Event, ReceiptState, State, Status
from notifications.messages import Outcome, ReportedReceipt
from notifications.models import Endpoint, Notification
from notifications.pipeline import control, database, endpoints, events
from notifications.pipeline.receive import receive
from notifications.pipeline.rescue import rescue
from notifications.pipeline.settle import Ended, settle
from notifications.signals import attempt_finished
from tests.processes import Processes

from .factories import attempt, fresh, sms, tenant

pytestmark = pytest.mark.django_db

URL = "https://example.com/hook"
ALL = ["notification.*"]


@pytest.fixture(autouse=True)
def _subscribers_are_looked_up_anew() -> Iterator[None]:
    events.forget()
    yield
    events.forget()


def subscribe(name: str = "default", url: str = URL, told: list[str] = ALL) -> Endpoint:
    endpoint = endpoints.create(tenant(name), url, told=told)
    events.forget()
    return endpoint


def told() -> list[Notification]:
    return list(Notification.objects.filter(channel="webhook").order_by("pk"))


def names() -> list[str]:
    return [each.content["event"] for each in told()]


@pytest.mark.parametrize(
    ("simulate", "event"),
    [
        ("deliver", "notification.delivered"),
        ("bounce", "notification.undelivered"),
        ("reject", "notification.failed"),
        ("timeout", "notification.unknown"),
    ],
)
def test_each_end_is_told(simulate: str, event: str) -> None:
    endpoint = subscribe()
    row = sms(simulate, idempotency_key="order-7")
    attempt(row)
    [webhook] = told()
    assert (webhook.to, webhook.content["event"]) == (URL, event)
    assert webhook.idempotency_key == f"{event}:{row.pk}:{endpoint.pk}"
    payload = webhook.content["payload"]
    assert payload["id"] == str(row.pk)
    assert payload["status"] == fresh(row).status
    assert payload["idempotency_key"] == "order-7"
    assert (payload["error"] is None) == (event == "notification.delivered" or simulate == "bounce")


@pytest.mark.parametrize("simulate", ["transient", "accept", "throttle:1"])
def test_what_is_not_at_its_end_is_not_told(simulate: str) -> None:
    subscribe()
    attempt(sms(simulate))
    assert told() == []


def test_each_endpoint_is_told_what_it_asks_for() -> None:
    subscribe(url=f"{URL}/all")
    subscribe(url=f"{URL}/failed", told=["notification.failed"])
    subscribe(url=f"{URL}/none", told=[])
    endpoints.disable(subscribe(url=f"{URL}/off"), DisabledReason.REQUESTED)
    subscribe("other", url=f"{URL}/other")
    attempt(sms("deliver"), sms("reject"))
    assert Counter(each.to for each in told()) == {f"{URL}/all": 2, f"{URL}/failed": 1}


def test_of_events_nothing_is_told() -> None:
    subscribe()
    attempt(sms())
    attempt(*told())
    assert [each.status for each in told()] == [Status.DELIVERED]


def test_of_a_tenant_s_own_webhooks_it_is_told() -> None:
    subscribe()
    attempt(notify("webhook", to=URL, event="order.shipped", payload={}))
    assert names() == ["order.shipped", "notification.delivered"]


def test_however_often_it_is_recorded_it_is_told_once() -> None:
    subscribe()
    rows = [sms("reject") for _ in range(3)]
    attempt(*rows)
    for _ in range(3):
        events.record([row.pk for row in rows])
    assert len(told()) == 3


def test_a_late_writer_tells_nothing_twice() -> None:
    subscribe()
    row = sms("reject")
    attempt(row)
    row = fresh(row)
    assert row.lease_token
    settle(row.lease_token, "simulated", [Ended(row, Outcome.permanent("rejected"))])
    assert names() == ["notification.failed"]


def test_a_receipt_that_comes_later_is_told_once() -> None:
    subscribe()
    row = sms("accept")
    attempt(row)
    receipt = ReportedReceipt(ReceiptState.DELIVERED, "e-1", notification_id=row.pk)
    for _ in range(3):
        receive("simulated", [receipt])
    assert names() == ["notification.delivered"]


def test_one_that_overtook_its_send_is_told_when_that_is_recorded() -> None:
    subscribe()
    row = sms("accept")
    id = f"sim-{row.pk}-1"
    receive("simulated", [ReportedReceipt(ReceiptState.DELIVERED, "e-1", provider_message_id=id)])
    assert names() == []
    attempt(row)
    assert names() == ["notification.delivered"]


def test_what_was_delivered_and_bounced_is_told_twice() -> None:
    subscribe()
    row = sms("deliver")
    attempt(row)
    bounced = ReportedReceipt(ReceiptState.BOUNCED, "e-2", notification_id=row.pk)
    receive("simulated", [bounced])
    assert names() == ["notification.delivered", "notification.undelivered"]


def test_unknown_and_then_its_end_are_both_told() -> None:
    subscribe()
    row = sms("timeout,deliver")
    attempt(row)
    control.retry(fresh(row), accept_duplicate_risk=True)
    attempt(row)
    assert names() == ["notification.unknown", "notification.delivered"]


def test_what_a_lost_worker_leaves_behind_is_told() -> None:
    subscribe()
    unsure, poisonous = sms(), sms()
    held = {"lease_token": unsure.pk, "lease_until": Now() - timedelta(minutes=5)}
    Notification.objects.filter(pk=unsure.pk).update(
        state=State.DISPATCHING, attempt_count=1, provider="simulated", **held
    )
    Notification.objects.filter(pk=poisonous.pk).update(
        state=State.LEASED, abandon_count=10, **held
    )
    rescue()
    assert sorted(names()) == ["notification.failed", "notification.unknown"]


@pytest.mark.parametrize("priority", ["urgent", "normal", "bulk"])
def test_an_event_is_as_urgent_as_what_it_tells_of(priority: str) -> None:
    subscribe()
    attempt(sms(priority=priority))
    assert [each.get_priority_display() for each in told()] == [priority]


class Killed(BaseException):
    """As a process that ends: nobody catches it."""


@pytest.mark.django_db(transaction=True)
def test_a_crash_after_the_commit_loses_no_event() -> None:
    subscribe()
    row = sms("reject")

    def die(**_: Any) -> None:
        raise Killed

    attempt_finished.connect(die)
    try:
        with pytest.raises(Killed):
            attempt(row)
    finally:
        attempt_finished.disconnect(die)
    assert fresh(row).status == Status.FAILED
    [event] = told()
    attempt(event)
    assert fresh(event).status == Status.DELIVERED


CRASH = """
import os
import django
django.setup()
from notifications import notify
from notifications.enums import Channel
from notifications.models import Tenant
from notifications.pipeline import endpoints
from notifications.pipeline.deliver import deliver
from notifications.signals import attempt_finished
shop = Tenant.objects.create(name="shop")
endpoints.create(shop, "https://example.com/hook", told=["notification.*"])
row = notify("sms", to="+14155550123", body="x", tenant="shop", metadata={"simulate": "reject"})
attempt_finished.connect(lambda **_: os._exit(9), weak=False)
deliver(Channel.SMS, [row.pk])
"""

LOOK = """
import django
django.setup()
from notifications.models import Notification
print(*(row.content.get("event", row.status) for row in Notification.objects.order_by("pk")))
"""


def test_a_process_that_ends_at_the_commit_has_told_it(
    processes: Processes, embedded_env: dict[str, str]
) -> None:
    crashed = processes.start("crash", [sys.executable, "-c", CRASH], embedded_env)
    assert crashed.wait() == 9
    looked = processes.start("look", [sys.executable, "-c", LOOK], embedded_env)
    assert looked.wait() == 0
    assert looked.text().split() == ["failed", "notification.failed"]


@pytest.mark.django_db(transaction=True)
def test_a_crash_before_the_commit_tells_nothing_that_is_not_so() -> None:
    subscribe()
    row = sms("reject")

    def attempt_and_die() -> None:
        with database.atomic():
            attempt(row)
            assert names() == ["notification.failed"]
            raise Killed

    with pytest.raises(Killed):
        attempt_and_die()
    assert told() == []
    attempt(row)
    assert names() == ["notification.failed"]


def test_where_nobody_asks_it_costs_no_query() -> None:
    subscribe(told=[])
    ids = [sms("reject").pk]
    with CaptureQueriesContext(database.connection()) as queries:
        for _ in range(10):
            events.record(ids)
    assert len(queries) == 1


def test_a_pattern_stands_for_its_family_alone() -> None:
    endpoint = Endpoint(events=["notification.*"])
    wanted = {event for event in Event if endpoint.wants(event)}
    assert wanted == set(Event) - {Event.ENDPOINT_DISABLED}
