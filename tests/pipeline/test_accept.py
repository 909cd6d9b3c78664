"""Accept: one row for one key, whatever the callers do."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, connections, transaction
from django.test import TestCase
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications import notify, notify_many
from notifications.enums import Priority, State, Status
from notifications.exceptions import (
    Busy,
    IdempotencyConflict,
    InvalidNotification,
    TenantUnavailable,
)
from notifications.idempotency import digest
from notifications.models import Batch, Notification, Tenant
from notifications.pipeline import publish, relay
from notifications.pipeline.accept import BatchAnswer, accept_batch, accept_one
from notifications.pipeline.dispatch import dispatch_due
from notifications.signals import notification_accepted
from notifications.transport import broker
from notifications.validation import parse_notification

from .factories import sms, tenant

SMS = {"channel": "sms", "to": "+14155550123", "body": "Hello"}


def batch(items: list[dict[str, Any]], key: str | None = None, name: str = "shop") -> BatchAnswer:
    drafts = [parse_notification(item) for item in items]
    return accept_batch(
        tenant(name), drafts, idempotency_key=key, fingerprint=digest(items) if key else ""
    )


@pytest.mark.django_db
def test_what_no_worker_can_hear_of_is_for_any_dispatcher_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As from a shell beside `serve`, whose broker is inside that: it looks every second."""
    broker.queues.clear()
    monkeypatch.setattr(publish, "listeners", set())
    with TestCase.captureOnCommitCallbacks(execute=True):
        row = notify("sms", to="+14155550123", body="Hello")
    assert relay.flush(2)
    assert row.publish_at == row.due_at
    assert not any(broker.queues.values()), "nobody would ever take it from there"
    assert dispatch_due() == 1
    broker.queues.clear()


@pytest.mark.django_db
def test_the_row_is_the_record_and_the_outbox() -> None:
    accepted = sms()
    assert not accepted._state.adding
    row = Notification.objects.get(pk=accepted.pk)
    assert (row.state, row.status, row.attempt_count) == (State.QUEUED, Status.QUEUED, 0)
    assert row.due_at == row.created_at < row.publish_at
    assert row.pk.version == 7


@pytest.mark.django_db
def test_what_is_due_later_is_scheduled() -> None:
    when = timezone.now() + timezone.timedelta(hours=1)
    row = sms(send_at=when)
    assert (row.status, row.due_at, row.publish_at) == (Status.SCHEDULED, when, when)
    assert sms(send_at=timezone.now() - timezone.timedelta(hours=1)).status == Status.QUEUED


@pytest.mark.django_db
def test_the_same_key_is_the_same_notification() -> None:
    assert sms(idempotency_key="k").pk == sms(idempotency_key="k").pk
    assert Notification.objects.count() == 1


@pytest.mark.django_db
def test_a_key_is_of_one_tenant_alone() -> None:
    tenant("other")
    assert sms(idempotency_key="k").pk != sms(idempotency_key="k", tenant="other").pk


@pytest.mark.django_db
def test_the_same_key_for_other_content_is_a_conflict() -> None:
    first = sms(idempotency_key="k")
    with pytest.raises(IdempotencyConflict):
        sms(idempotency_key="k", body="Something else")
    assert Notification.objects.get().content == first.content


@pytest.mark.django_db
def test_what_has_expired_is_refused_but_its_replay_is_answered() -> None:
    soon = timezone.now() + timezone.timedelta(milliseconds=300)
    first = sms(idempotency_key="k", expires_at=soon)
    threading.Event().wait(0.4)
    assert sms(idempotency_key="k", expires_at=soon).pk == first.pk
    with pytest.raises(InvalidNotification, match="expires_at"):
        sms(expires_at=soon)


@pytest.mark.django_db
def test_the_callers_rollback_takes_it_along() -> None:
    with transaction.atomic():
        sms(idempotency_key="k")
        transaction.set_rollback(True)
    assert not Notification.objects.exists()
    assert sms(idempotency_key="k").status == Status.QUEUED


@pytest.mark.django_db
def test_many_are_stored_all_or_none() -> None:
    sms(idempotency_key="taken")
    good = {**SMS, "idempotency_key": "free"}
    with pytest.raises(IdempotencyConflict):
        notify_many([good, {**SMS, "body": "other", "idempotency_key": "taken"}])
    assert Notification.objects.count() == 1
    assert len(notify_many([good, SMS, SMS])) == 3


@pytest.mark.django_db
def test_an_unknown_or_disabled_tenant_is_refused() -> None:
    with pytest.raises(TenantUnavailable, match="no tenant 'nobody'"):
        sms(tenant="nobody")
    shop = tenant("shop")
    shop.is_active = False
    shop.save()
    with pytest.raises(TenantUnavailable, match="disabled"):
        notify("sms", to="+14155550123", body="x", tenant="shop")


@pytest.mark.django_db
@pytest.mark.parametrize("size", [1, 50])
def test_a_batch_costs_the_same_number_of_statements_whatever_its_size(size: int) -> None:
    items = [{**SMS, "idempotency_key": f"k{n}"} for n in range(size)]
    tenant("shop")
    with CaptureQueriesContext(
        connection,
    ) as captured:
        batch(items, key="whole")
    writes = [q["sql"] for q in captured if not q["sql"].startswith(("SAVEPOINT", "RELEASE"))]
    assert len(writes) <= 8, writes


@pytest.mark.django_db
def test_the_items_of_a_batch_are_independent() -> None:
    sms(idempotency_key="a", tenant=tenant("shop"))
    same = {**SMS, "metadata": {"simulate": "deliver"}, "idempotency_key": "a"}
    items = [same, {**same, "body": "other"}, SMS, {**SMS, "idempotency_key": "b"}]
    twice = [*items, {**SMS, "idempotency_key": "b"}]
    answer = batch(twice)
    assert [r.outcome for r in answer.results] == [
        "replayed",
        "rejected",
        "accepted",
        "accepted",
        "replayed",
    ]
    assert answer.results[1].errors[0].code == "idempotency_key_reused"
    assert answer.results[3].id == answer.results[4].id
    assert answer.batch.notification_set.count() == 2


@pytest.mark.django_db
def test_a_batch_of_nothing_but_errors_stores_nothing() -> None:
    with pytest.raises(InvalidNotification) as refused:
        parse_notification({"channel": "sms"})
    with pytest.raises(InvalidNotification) as caught:
        accept_batch(tenant("shop"), [refused.value, refused.value])
    assert {e.pointer for e in caught.value.errors} >= {
        "/notifications/0/to",
        "/notifications/1/to",
    }
    assert not Batch.objects.exists()


@pytest.mark.django_db
def test_a_batch_under_a_key_is_replayed_whole() -> None:
    first, again = batch([SMS, SMS], key="whole"), batch([SMS, SMS], key="whole")
    assert (first.replayed, again.replayed) == (False, True)
    assert again.results == first.results
    assert Notification.objects.count() == 2
    with pytest.raises(IdempotencyConflict):
        batch([SMS], key="whole")


@pytest.mark.django_db
def test_a_large_batch_is_left_to_the_dispatcher(settings: Any) -> None:
    settings.NOTIFICATIONS = {"BATCH_SIZE": 2}
    answer = batch([SMS] * 3)
    assert all(n.publish_at == n.due_at for n in answer.batch.notification_set.all())


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_outside_of_a_transaction_accepting_is_one_statement() -> None:
    shop = tenant("shop")
    with CaptureQueriesContext(connection) as captured:
        accept_one(shop, parse_notification({**SMS, "idempotency_key": "k"}))
    [insert] = [q["sql"] for q in captured if "clock_timestamp" not in q["sql"]]
    assert insert.startswith("INSERT")


@pytest.mark.django_db(transaction=True)
def test_outside_of_a_transaction_a_key_is_as_good() -> None:
    first = sms(idempotency_key="k")
    assert sms(idempotency_key="k").pk == first.pk
    with pytest.raises(IdempotencyConflict):
        sms(idempotency_key="k", body="Something else")
    with pytest.raises(InvalidNotification, match="expires_at"):
        sms(expires_at=timezone.now() - timezone.timedelta(minutes=1))
    assert Notification.objects.count() == 1


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_who_waits_too_long_for_a_key_is_told_to_try_again() -> None:
    """One by one and in a batch; and the limit is gone when the waiting is over."""
    item = {**SMS, "idempotency_key": "k"}
    with being_stored(tenant("shop"), item):
        with pytest.raises(Busy):
            sms(tenant="shop", idempotency_key="k")
        with pytest.raises(Busy):
            batch([SMS, item])
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)
    assert [result.outcome for result in batch([SMS, item]).results] == ["accepted", "accepted"]


@contextmanager
def being_stored(shop: Tenant, item: dict[str, Any]) -> Iterator[None]:
    """Another thread has stored `item`, and rolls it back at the end."""
    stored, over = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                accept_one(shop, parse_notification(item))
                stored.set()
                over.wait(30)
                transaction.set_rollback(True)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        stored.wait(10)
        try:
            yield
        finally:
            over.set()
            held.result()


@pytest.mark.django_db(transaction=True)
def test_who_listens_hears_of_the_rows_and_of_their_number() -> None:
    heard: list[dict[str, Any]] = []

    def listen(**told: Any) -> None:
        heard.append({**told, "notifications": list(told["notifications"])})

    notification_accepted.connect(listen)
    try:
        rows = notify_many([SMS, SMS, {**SMS, "priority": "urgent"}])
    finally:
        notification_accepted.disconnect(listen)
    assert [n.pk for n in heard[0]["notifications"]] == [row.pk for row in rows]
    assert heard[0]["counts"] == {("sms", Priority.NORMAL): 2, ("sms", Priority.URGENT): 1}
    assert heard[0]["notifications"][0].content == {"body": "Hello"}


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_fifty_at_once_with_one_key_make_one_row() -> None:
    shop = tenant("shop")
    draft = parse_notification({**SMS, "idempotency_key": "k"})
    start = threading.Barrier(50)

    def post() -> tuple[UUID, bool]:
        start.wait()
        try:
            answer = accept_one(shop, draft)
            return answer.notification.pk, answer.replayed
        finally:
            connections.close_all()

    with ThreadPoolExecutor(50) as pool:
        answers = [future.result() for future in [pool.submit(post) for _ in range(50)]]
    assert len({id for id, _ in answers}) == 1
    assert sum(not replayed for _, replayed in answers) == 1
    assert Notification.objects.count() == 1
