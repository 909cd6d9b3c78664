"""How recipients come on the lists: by hand, by receipts, by what providers answer."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from random import sample
from threading import Barrier
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from notifications import notify
from notifications.enums import AttemptOutcome, Channel, ReceiptState, State, SuppressionReason
from notifications.messages import Outcome, ReportedReceipt
from notifications.models import Attempt, Notification, Receipt, Suppression, Tenant
from notifications.pipeline.receive import receive
from notifications.pipeline.settle import Ended, settle
from notifications.pipeline.suppressions import SOFT_BOUNCE_DAYS, add, add_many
from notifications.suppression import Entry

from . import factories

pytestmark = pytest.mark.django_db

R = SuppressionReason
NOW = timezone.now()
LATER, LATEST = NOW + timedelta(days=1), NOW + timedelta(days=9)


@pytest.fixture
def tenant() -> Tenant:
    return factories.tenant("shop")


def entry(reason: R = R.MANUAL, expires_at: datetime | None = None, note: str = "") -> Entry:
    return Entry(Channel.EMAIL, "ada@example.com", reason, note, expires_at)


def email(tenant: Tenant, to: str = "Ada@example.com") -> Notification:
    return notify("email", to=to, subject="Hello", body="Hello", tenant=tenant)


def listed() -> list[tuple[str, str, str]]:
    found = Suppression.objects.order_by("recipient")
    return list(found.values_list("channel", "recipient", "reason"))


# By hand


def test_the_first_of_a_tenant_is_known_by_its_row(tenant: Tenant) -> None:
    assert not Tenant.objects.get().has_suppressions
    assert add(tenant, entry()).created
    assert tenant.has_suppressions
    assert Tenant.objects.get().has_suppressions


def test_what_is_there_stays_as_it_is(tenant: Tenant) -> None:
    first = add(tenant, entry(note="first"))
    again = add(tenant, entry(note="again"))
    assert again == (first.suppression, False)
    assert again.suppression.note == "first"


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        (entry(R.SOFT_BOUNCE, LATER), entry(R.HARD_BOUNCE), "after"),
        (entry(R.UNSUBSCRIBE), entry(R.COMPLAINT), "after"),
        (entry(R.SOFT_BOUNCE, LATER), entry(R.UNSUBSCRIBE), "after"),
        (entry(R.SOFT_BOUNCE, LATER), entry(R.SOFT_BOUNCE, LATEST), "after"),
        (entry(R.MANUAL, NOW - timedelta(days=1)), entry(R.SOFT_BOUNCE, LATER), "after"),
        (entry(R.HARD_BOUNCE), entry(R.UNSUBSCRIBE), "before"),
        (entry(R.UNSUBSCRIBE), entry(R.SOFT_BOUNCE, LATER), "before"),
        (entry(R.COMPLAINT), entry(R.MANUAL, LATER), "before"),
        (entry(R.SOFT_BOUNCE, LATEST), entry(R.SOFT_BOUNCE, LATER), "before"),
    ],
)
@pytest.mark.parametrize("at_once", [False, True])
def test_the_stronger_of_two_stays(
    tenant: Tenant, before: Entry, after: Entry, kept: str, at_once: bool
) -> None:
    for entries in [[before, after]] if at_once else [[before], [after]]:
        add_many(tenant, entries)
    wanted = after if kept == "after" else before
    row = Suppression.objects.get()
    assert (row.reason, row.expires_at) == (wanted.reason, wanted.expires_at)


def test_how_many_are_new_is_counted(tenant: Tenant) -> None:
    entries = [Entry(Channel.EMAIL, f"ada{i}@example.com") for i in range(5)]
    assert add_many(tenant, entries[:3]) == 3
    assert add_many(tenant, entries) == 2
    assert add_many(tenant, []) == 0


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_many_who_add_the_same_at_once_all_come_through() -> None:
    tenant = factories.tenant("shop")
    entries = [Entry(Channel.EMAIL, f"ada{i}@example.com") for i in range(50)]
    start = Barrier(4)

    def put(number: int) -> int:
        start.wait()
        try:
            return sum(add_many(tenant, sample(entries, 40)) for _ in range(10))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(4)))
    assert len(listed()) == 50


# By receipts


def report(row: Notification, code: str, kind: ReceiptState = ReceiptState.UNDELIVERED) -> None:
    Notification.objects.filter(pk=row.pk).update(state=State.SENT, provider="simulated")
    told = ReportedReceipt(kind, str(uuid4()), code=code, notification_id=row.pk)
    receive("simulated", [told])


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("bounce", R.HARD_BOUNCE),
        ("complaint", R.COMPLAINT),
        ("unsubscribed", R.UNSUBSCRIBE),
    ],
)
def test_a_receipt_that_tells_of_the_recipient_suppresses_it(
    tenant: Tenant, code: str, reason: R
) -> None:
    report(email(tenant), code)
    assert listed() == [("email", "ada@example.com", reason)]
    assert Receipt.objects.get().code == code


@pytest.mark.parametrize("code", ["", "mailbox_full", "soft_bounce"])
def test_another_receipt_does_not(tenant: Tenant, code: str) -> None:
    report(email(tenant), code)
    assert listed() == []


def test_a_bounce_after_delivery_suppresses(tenant: Tenant) -> None:
    row = email(tenant)
    report(row, "", ReceiptState.DELIVERED)
    report(row, "bounce", ReceiptState.BOUNCED)
    assert listed() == [("email", "ada@example.com", R.HARD_BOUNCE)]


def test_three_soft_bounces_in_a_day_suppress_for_a_month(tenant: Tenant) -> None:
    for _ in range(3):
        assert listed() == []
        report(email(tenant), "soft_bounce")
    assert listed() == [("email", "ada@example.com", R.SOFT_BOUNCE)]
    expires_at = Suppression.objects.get().expires_at
    assert expires_at is not None
    assert abs(expires_at - timezone.now() - timedelta(days=SOFT_BOUNCE_DAYS)) < timedelta(hours=1)


def test_one_notification_bounces_softly_once(tenant: Tenant) -> None:
    row = email(tenant)
    for _ in range(5):
        report(row, "soft_bounce")
    assert listed() == []


def test_soft_bounces_of_days_ago_and_of_others_do_not_count(tenant: Tenant) -> None:
    report(email(tenant), "soft_bounce")
    Receipt.objects.update(received_at=timezone.now() - timedelta(hours=25))
    report(email(factories.tenant("stranger")), "soft_bounce")
    report(email(tenant, "bob@example.com"), "soft_bounce")
    report(email(tenant), "soft_bounce")
    report(email(tenant), "soft_bounce")
    assert listed() == []


# By what a provider answers


def answer(row: Notification, outcome: Outcome) -> None:
    token = uuid4()
    factories.make_due([row.pk])
    [leased] = Notification.objects.claim([row.pk], token, 60)
    Notification.objects.mark_dispatching([row.pk], token, "simulated", 1)
    leased.attempt_count += 1
    settle(token, "simulated", [Ended(leased, outcome)])


def test_who_has_told_the_carrier_to_stop_is_suppressed(tenant: Tenant) -> None:
    row = notify("sms", to="+14155550123", body="Hello", tenant=tenant)
    answer(row, Outcome.permanent("unsubscribed"))
    assert listed() == [("sms", "+14155550123", R.STOP)]
    assert Attempt.objects.get().outcome == AttemptOutcome.PERMANENT


def test_a_receipt_in_the_answer_suppresses_too(tenant: Tenant) -> None:
    bounced = ReportedReceipt(ReceiptState.BOUNCED, "event", code="bounce")
    answer(email(tenant), Outcome.accepted("id", receipts=(bounced,)))
    assert listed() == [("email", "ada@example.com", R.HARD_BOUNCE)]


def test_soft_bounces_of_attempts_and_receipts_are_counted_together(tenant: Tenant) -> None:
    report(email(tenant), "soft_bounce")
    answer(email(tenant), Outcome.transient("soft_bounce"))
    assert listed() == []
    answer(email(tenant), Outcome.transient("soft_bounce"))
    assert listed() == [("email", "ada@example.com", R.SOFT_BOUNCE)]


def test_what_comes_late_from_a_lost_worker_says_nothing(tenant: Tenant) -> None:
    row = email(tenant)
    settle(uuid4(), "simulated", [Ended(row, Outcome.permanent("unsubscribed"))])
    assert listed() == []
