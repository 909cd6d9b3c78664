"""The safety net: everything due gets a message in the end."""

import time
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications.enums import Channel, Priority, State
from notifications.exceptions import BrokerUnavailable
from notifications.models import Notification, Pause, RateLimit
from notifications.pipeline import dispatch, policy
from notifications.pipeline.dispatch import dispatch_due

from .factories import fresh, sms, tenant

pytestmark = pytest.mark.django_db

Published = list[tuple[Priority, list[UUID]]]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Iterator[Published]:
    """What dispatch would have put on the broker."""
    messages: Published = []

    def publish(channel: Channel, priority: Priority, ids: Sequence[UUID]) -> None:
        messages.append((priority, list(ids)))

    monkeypatch.setattr(dispatch, "publish", publish)
    policy.forget()
    yield messages
    policy.forget()


def owe(*rows: Notification) -> None:
    Notification.objects.filter(pk__in=[row.pk for row in rows]).update(publish_at=Now())


def test_what_the_relay_has_taken_is_left_alone_for_a_while(published: Published) -> None:
    sms()
    assert dispatch_due() == 0
    assert published == []


def test_what_is_owed_is_published_once_until_the_hint_is_old(published: Published) -> None:
    row = sms()
    owe(row)
    assert (dispatch_due(), dispatch_due()) == (1, 0)
    assert published == [(Priority.NORMAL, [row.pk])]
    owe(row)
    assert dispatch_due() == 1


def test_the_urgent_go_first(published: Published) -> None:
    rows = [sms(priority=p) for p in ("bulk", "normal", "urgent")]
    owe(*rows)
    dispatch_due()
    assert [priority for priority, _ in published] == [0, 1, 2]


def test_what_is_scheduled_waits_for_its_time(published: Published) -> None:
    row = sms(send_at=timezone.now() + timezone.timedelta(hours=1))
    assert dispatch_due() == 0
    owe(row)
    assert dispatch_due() == 1


@pytest.mark.parametrize(
    ("scope", "subject"), [("channel", "sms"), ("provider", "simulated"), ("tenant", "default")]
)
def test_what_is_paused_is_not_published(published: Published, scope: str, subject: str) -> None:
    owe(sms())
    Pause.objects.create(scope=scope, subject=subject)
    policy.forget()
    assert dispatch_due() == 0
    Pause.objects.all().delete()
    policy.forget()
    assert dispatch_due() == 1


def test_tenants_take_turns(published: Published, settings: Any) -> None:
    settings.NOTIFICATIONS = {"BATCH_SIZE": 10}
    many = [sms(tenant=tenant("many")) for _ in range(30)]
    few = [sms(tenant=tenant("few")) for _ in range(3)]
    owe(*many, *few)
    dispatch_due()
    assert {row.pk for row in few} <= set(published[0][1])


def test_no_more_is_released_than_the_limit_lets_go(published: Published) -> None:
    RateLimit.objects.create(scope="channel", subject="sms", rates="5/s")
    owe(*[sms() for _ in range(12)])
    assert dispatch_due() == 5


def test_a_broker_that_is_away_leaves_everything_owed(monkeypatch: pytest.MonkeyPatch) -> None:
    def publish(*_: object) -> None:
        raise BrokerUnavailable("ConnectionRefusedError")

    monkeypatch.setattr(dispatch, "publish", publish)
    owe(sms(), sms())
    with pytest.raises(BrokerUnavailable):
        dispatch_due()
    time.sleep(0.002)  # SQLite's clock counts milliseconds
    assert Notification.objects.owed("sms", Priority.NORMAL).count() == 2


def test_an_idle_round_is_one_probe(published: Published) -> None:
    Notification.objects.filter(pk=sms().pk).update(state=State.SENT)
    sms(send_at=timezone.now() + timezone.timedelta(hours=1))
    with CaptureQueriesContext(connection) as captured:
        dispatch_due()
    assert len(captured) == 1


def test_no_query_of_a_tick_reads_what_is_finished(published: Published) -> None:
    """By the databases' own plans: SQLite and PostgreSQL miss an index for different reasons."""
    objects = Notification.objects
    probe = objects.waiting().filter(cancel_requested=False, publish_at__lte=Now())
    queries = {
        "notifications_publish_idx": probe.order_by("publish_at").values("publish_at")[:1],
        "notifications_owed_idx": objects.owed("sms", 1).filter(tenant=tenant("shop")),
        "notifications_leases_idx": objects.lapsed(State.LEASED, 5),
        "notifications_expiring_idx": objects.overdue(),
    }
    fill_with_finished_rows(10_000)
    for index, query in queries.items():
        assert index in query.explain(), index


def fill_with_finished_rows(count: int) -> None:
    row = fresh(sms())
    values = {f.attname: getattr(row, f.attname) for f in row._meta.concrete_fields}
    rows = (Notification(**values | {"id": uuid4(), "state": State.SENT}) for _ in range(count))
    Notification.objects.bulk_create(rows)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE notifications_notification")
