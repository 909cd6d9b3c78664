"""Several notifications of one kind become one: gathered, closed once, and accounted for."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from django.db.models.functions import Now

from notifications import notify, notify_many
from notifications.enums import Channel, Priority, State, Status, WaitReason
from notifications.exceptions import InvalidNotification, NotPossible
from notifications.messages import TemplateDraft
from notifications.models import Attempt, Digest, Notification, Tenant
from notifications.observability import stats
from notifications.pipeline import database, digests, explain, preferences, tick
from notifications.pipeline.control import cancel, retry
from notifications.pipeline.prune import prune
from notifications.pipeline.suppressions import add
from notifications.pipeline.template_store import archive, put
from notifications.preference import Wish
from notifications.quiet_hours import QuietHours
from notifications.rendering import nodes
from notifications.signals import notification_settled
from notifications.suppression import Entry
from notifications.validation import DIGEST_COUNT_MAX

from . import factories
from .factories import attempt, fresh

pytestmark = pytest.mark.django_db

TO = "+14155550123"
LINES = "{{ count }}:{% for item in items %} {{ item.body }}{% endfor %}"
RULE = {"key": "comments", "template": "comments", "window": 600}


@pytest.fixture
def tenant() -> Tenant:
    tenant = factories.tenant("shop")
    put(tenant, "comments", TemplateDraft(Channel.SMS, {"body": LINES}))
    return tenant


def sms(tenant: Tenant, body: str = "x", **more: Any) -> Notification:
    rule = RULE | {name: more.pop(name) for name in (*RULE, "sliding", "max_count") if name in more}
    return notify("sms", tenant=tenant, **{"to": TO, "body": body, "digest": rule, **more})


def let_time_pass() -> None:
    """Every open digest has reached its time."""
    Digest.objects.filter(closed_at=None).update(closes_at=Now())


def carriers() -> list[Notification]:
    """What sends digests, oldest first."""
    ids = Digest.objects.exclude(notification=None).values_list("notification_id", flat=True)
    return list(Notification.objects.filter(pk__in=ids).order_by("pk"))


def test_what_is_gathered_waits_and_then_one_says_it_all(tenant: Tenant) -> None:
    rows = [sms(tenant, body) for body in "abc"]
    [digest] = Digest.objects.all()
    assert [(row.status, row.state) for row in map(fresh, rows)] == [("scheduled", "in_digest")] * 3
    assert (digest.count, digest.recipient, digest.is_open) == (3, TO, True)
    assert attempt(*rows).claimed == 0, "none of them goes by itself"
    assert not digests.close_due(), "its time has not come"
    let_time_pass()
    digests.close_due()
    [carrier] = carriers()
    assert (carrier.content, carrier.to, carrier.digest_id) == ({"body": "3: a b c"}, TO, digest.pk)
    assert carrier.idempotency_key == f"digest:{digest.pk}"
    for row in map(fresh, rows):
        assert (row.status, row.digest_id, row.attempt_count) == ("digested", digest.pk, 0)
        assert row.settled_at is not None
    attempt(carrier, *rows)
    assert fresh(carrier).status == Status.DELIVERED
    assert Attempt.objects.count() == 1
    assert not digests.close_due()
    assert len(carriers()) == 1


def test_who_waits_is_told_for_what_and_until_when(tenant: Tenant) -> None:
    row = fresh(sms(tenant))
    waiting = explain.waiting(row)
    assert waiting
    assert (waiting.reason, waiting.scope) == (WaitReason.DIGEST, "digest:comments")
    assert waiting.until == Digest.objects.get().closes_at
    [counted] = stats.backlog()
    assert (counted.status, counted.count) == (Status.SCHEDULED, 1)


def test_a_fixed_window_ends_when_it_was_to_end(tenant: Tenant) -> None:
    sms(tenant)
    before = Digest.objects.get()
    assert before.closes_at == before.created_at + timedelta(seconds=600)
    sms(tenant)
    assert Digest.objects.get().closes_at == before.closes_at


def test_a_sliding_window_begins_anew_with_each_one(tenant: Tenant) -> None:
    sms(tenant, sliding=True)
    Digest.objects.update(closes_at=Now() + timedelta(seconds=1))
    row = sms(tenant, sliding=True)
    assert Digest.objects.get().closes_at == row.created_at + timedelta(seconds=600)


def test_a_repeated_request_neither_joins_twice_nor_keeps_the_window_open(tenant: Tenant) -> None:
    first = sms(tenant, sliding=True, idempotency_key="k")
    before = Digest.objects.get()
    assert sms(tenant, sliding=True, idempotency_key="k") == first
    after = Digest.objects.get()
    assert (after.count, after.closes_at) == (1, before.closes_at)


def test_a_full_one_is_closed_at_once_and_another_opened(tenant: Tenant) -> None:
    rows = [sms(tenant, body, max_count=2) for body in "abc"]
    full, other = Digest.objects.order_by("pk")
    assert (full.is_open, other.is_open, other.count) == (False, True, 1)
    digests.close_due()
    assert [row.content["body"] for row in carriers()] == ["2: a b"]
    assert [fresh(row).status for row in rows] == ["digested", "digested", "scheduled"]


def test_a_call_of_many_fills_one_after_the_other(tenant: Tenant) -> None:
    rule = {**RULE, "max_count": 40}
    items = [
        {"channel": "sms", "to": TO, "body": str(n), "digest": rule, "idempotency_key": f"k{n}"}
        for n in range(100)
    ]
    rows = notify_many(items, tenant=tenant)
    assert notify_many(items[:50], tenant=tenant) == rows[:50]
    assert sorted(d.count for d in Digest.objects.all()) == [20, 40, 40]
    let_time_pass()
    digests.close_due()
    said = [row.content["body"].partition(": ") for row in carriers()]
    assert sorted(int(count) for count, _, _ in said) == [20, 40, 40]
    assert [body for _, _, all in said for body in all.split()] == [str(n) for n in range(100)]


def test_digests_are_apart_by_key_recipient_and_tenant(tenant: Tenant) -> None:
    stranger = factories.tenant("stranger")
    put(stranger, "comments", TemplateDraft(Channel.SMS, {"body": LINES}))
    for more in ({}, {"key": "likes"}, {"to": "+14155550124"}):
        for body in "ab":
            sms(tenant, body, **more)
    sms(stranger, "a")
    sms(stranger, "b")
    let_time_pass()
    digests.close_due()
    assert Digest.objects.count() == 4
    assert [row.content["body"] for row in carriers()] == ["2: a b"] * 4
    assert [row.tenant_id for row in carriers()].count(stranger.pk) == 1


def test_one_alone_goes_as_it_is(tenant: Tenant) -> None:
    row = sms(tenant, "alone")
    let_time_pass()
    digests.close_due()
    assert (fresh(row).state, carriers()) == (State.QUEUED, [])
    attempt(row)
    assert fresh(row).status == Status.DELIVERED
    assert row.attempts.count() == 1


def test_one_that_is_cancelled_is_not_said(tenant: Tenant) -> None:
    rows = [sms(tenant, body) for body in "abc"]
    assert cancel(rows[1]).status == Status.CANCELLED
    let_time_pass()
    digests.close_due()
    assert [row.content["body"] for row in carriers()] == ["2: a c"]
    retry(fresh(rows[1]))
    assert fresh(rows[1]).state == State.QUEUED, "it goes by itself"


def test_nothing_is_sent_where_all_were_cancelled(tenant: Tenant) -> None:
    for body in "ab":
        cancel(sms(tenant, body))
    let_time_pass()
    digests.close_due()
    assert carriers() == []
    assert Digest.objects.get().closed_at is not None


def test_what_is_digested_is_neither_cancelled_nor_tried_again(tenant: Tenant) -> None:
    rows = [sms(tenant, body) for body in "ab"]
    let_time_pass()
    digests.close_due()
    for act in (cancel, retry):
        with pytest.raises(NotPossible):
            act(fresh(rows[0]))
    [carrier] = carriers()
    assert cancel(carrier).status == Status.CANCELLED, "what sends it is a notification as any"


@pytest.mark.parametrize("spoil", ["archive", "unfillable", "too long"])
def test_what_the_template_cannot_say_goes_one_by_one(
    spoil: str, tenant: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [sms(tenant, body) for body in ("a", "b" * 1400)]
    other = [sms(tenant, body, key="other", to="+14155550124") for body in "ab"]
    if spoil == "archive":
        archive(put(tenant, "comments", TemplateDraft(Channel.SMS, {"body": LINES}))[0].template)
    else:
        text = "{{ missing }}" if spoil == "unfillable" else LINES + LINES
        put(tenant, "comments", TemplateDraft(Channel.SMS, {"body": text}))
    let_time_pass()
    digests.close_due()
    assert [fresh(row).state for row in rows] == ["queued", "queued"]
    assert len(carriers()) == (1 if spoil == "too long" else 0)
    assert fresh(other[0]).state == ("digested" if spoil == "too long" else "queued")
    assert "one by one" in caplog.text
    assert TO not in caplog.text
    attempt(*rows)
    assert {fresh(row).status for row in rows} == {Status.DELIVERED}


def test_a_digest_is_from_whom_the_first_one_was_from(tenant: Tenant) -> None:
    text = {"subject": "{{ count }}", "body": "{% for i in items %}{{ i.subject }} {% endfor %}"}
    put(tenant, "mails", TemplateDraft(Channel.EMAIL, text))
    for name in ("first", "second"):
        mail = {"to": "ada@example.com", "subject": name, "body": name, "reply_to": "r@example.com"}
        sender = f"{name}@shop.example.com"
        notify("email", tenant=tenant, from_=sender, digest={**RULE, "template": "mails"}, **mail)
    let_time_pass()
    digests.close_due()
    [carrier] = carriers()
    assert carrier.content == {
        "subject": "2",
        "body": "first second ",
        "from": "first@shop.example.com",
        "reply_to": ["r@example.com"],
    }


def test_the_most_urgent_says_how_urgent_it_is(tenant: Tenant) -> None:
    sms(tenant, priority="bulk")
    sms(tenant, priority="normal")
    let_time_pass()
    digests.close_due()
    assert [row.priority for row in carriers()] == [Priority.NORMAL]


def news(tenant: Tenant, body: str) -> Notification:
    """Of a category, as is the template of its digest."""
    text = TemplateDraft(Channel.SMS, {"body": LINES}, is_transactional=False, category="news")
    put(tenant, "digest-of-news", text)
    return sms(tenant, body, category="news", template="digest-of-news", key="news")


def test_who_does_not_want_it_any_more_gets_no_digest_of_it(tenant: Tenant) -> None:
    rows = [news(tenant, body) for body in "ab"]
    preferences.put(tenant, Wish(Channel.SMS, TO, frozenset({"news"})))
    assert news(tenant, "c").status == Status.SUPPRESSED
    let_time_pass()
    digests.close_due()
    [carrier] = carriers()
    assert (carrier.status, carrier.error_code) == (Status.SUPPRESSED, "opted_out")
    assert carrier.content == {"body": "2: a b"}
    assert {fresh(row).status for row in rows} == {Status.DIGESTED}


def test_a_digest_waits_for_the_end_of_quiet_hours(tenant: Tenant) -> None:
    for body in "ab":
        news(tenant, body)
    now = database.now()
    hours = [(now + timedelta(hours=n)).time() for n in (-1, 1)]
    preferences.put(tenant, Wish(Channel.SMS, TO, quiet_hours=QuietHours(*hours, "UTC")))
    let_time_pass()
    digests.close_due()
    [carrier] = carriers()
    attempt(carrier)
    assert (fresh(carrier).status, fresh(carrier).wait_reason) == ("queued", "quiet_hours")


def test_who_is_suppressed_joins_nothing(tenant: Tenant) -> None:
    add(tenant, Entry(Channel.SMS, TO))
    assert sms(tenant).status == Status.SUPPRESSED
    assert not Digest.objects.exists()


@pytest.mark.parametrize(
    ("draft", "code"),
    [
        (None, "unknown_template"),
        (TemplateDraft(Channel.EMAIL, {"subject": "x", "body": "x"}), "not_for_channel"),
        (TemplateDraft(Channel.SMS, {"body": "x"}, is_transactional=False), "other_category"),
    ],
)
def test_the_template_of_a_digest_has_to_fit(
    draft: TemplateDraft | None, code: str, tenant: Tenant
) -> None:
    if draft:
        put(tenant, "other", draft)
    with pytest.raises(InvalidNotification) as caught:
        sms(tenant, template="other")
    assert [(e.pointer, e.code) for e in caught.value.errors] == [("/digest/template", code)]
    assert not Digest.objects.exists()
    assert not Notification.objects.exists()


def test_the_callers_rollback_takes_the_join_along(tenant: Tenant) -> None:
    sms(tenant)
    with database.atomic():
        sms(tenant)
        transaction.set_rollback(True, using=database.alias())
    assert (Digest.objects.get().count, Notification.objects.count()) == (1, 1)


def test_a_crash_while_it_is_closed_changes_nothing(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was written by then goes with the transaction; the next one does it all."""
    rows = [sms(tenant, body) for body in "ab"]
    let_time_pass()
    with monkeypatch.context() as patched:
        patched.setattr(digests, "_close", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            digests.close_due()
    assert {fresh(row).state for row in rows} == {State.IN_DIGEST}
    assert Notification.objects.count() == 2
    digests.close_due()
    assert len(carriers()) == 1


def test_a_fault_in_closing_keeps_no_worker_from_its_other_work(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    sms(tenant)
    let_time_pass()
    monkeypatch.setattr(digests, "_close", lambda *_: 1 / 0)
    assert tick._close_digests() is False


def test_every_tick_closes_what_is_due(tenant: Tenant) -> None:
    rows = [sms(tenant, body) for body in "ab"]
    let_time_pass()
    tick.tick("worker")
    assert {fresh(row).state for row in rows} == {State.DIGESTED}


def test_many_are_closed_in_few_statements_and_in_one_go(
    tenant: Tenant, django_assert_max_num_queries: Callable[..., Any]
) -> None:
    items = [
        {"channel": "sms", "to": f"+141555501{n % 60:02}", "body": str(n), "digest": RULE}
        for n in range(120)
    ]
    with django_assert_max_num_queries(20):
        notify_many(items, tenant=tenant)
    let_time_pass()
    with django_assert_max_num_queries(60):
        digests.close_due()
    assert len(carriers()) == 60
    assert not Notification.objects.filter(state=State.IN_DIGEST).exists()


def test_members_are_told_to_be_settled(
    tenant: Tenant, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    rows = [sms(tenant, body) for body in "ab"]
    told: list[tuple[UUID, Status]] = []

    def hear(notification_id: UUID, status: Status, **_: Any) -> None:
        told.append((notification_id, status))

    let_time_pass()
    notification_settled.connect(hear)
    with django_capture_on_commit_callbacks(execute=True):
        digests.close_due()
    notification_settled.disconnect(hear)
    assert sorted(told) == sorted((row.pk, Status.DIGESTED) for row in rows)


def test_it_is_pruned_with_the_last_of_its_notifications(tenant: Tenant) -> None:
    rows = [sms(tenant, body) for body in "ab"]
    let_time_pass()
    digests.close_due()
    [carrier] = carriers()
    attempt(carrier)
    long_ago = database.now() - timedelta(days=100)
    old = UUID(int=int(long_ago.timestamp() * 1000) << 80)
    aged = Digest.objects.get()
    Notification.objects.update(digest=None)
    Digest.objects.filter(pk=aged.pk).update(id=old)
    Notification.objects.filter(pk__in=[row.pk for row in rows]).update(digest=old)
    assert prune().digests == 0, "what it refers to stays"
    Notification.objects.update(digest=None)
    assert prune().digests == 1


def test_the_longest_digest_can_be_listed() -> None:
    assert DIGEST_COUNT_MAX <= nodes.ITERATIONS_MAX
