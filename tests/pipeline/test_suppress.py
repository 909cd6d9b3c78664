"""Nothing is sent to a suppressed recipient: told when accepted, and looked up before sending."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import django
import pytest
from django.core import mail
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications import notify, notify_many
from notifications.columns import array_of
from notifications.enums import Channel, State, Status, SuppressionReason
from notifications.messages import TemplateDraft
from notifications.models import Attempt, Notification, Suppression, Tenant
from notifications.pipeline import suppress
from notifications.pipeline.control import cancel
from notifications.pipeline.suppressions import add
from notifications.pipeline.template_store import put
from notifications.signals import notification_settled
from notifications.suppression import Entry, fold

from . import factories
from .factories import attempt, fresh

pytestmark = pytest.mark.django_db

ADA = "ada@example.com"
TEXT = {"subject": "Hello", "body": "Hello, Ada"}

Told = list[tuple[UUID, Status]]


@pytest.fixture
def tenant() -> Tenant:
    return factories.tenant("shop")


@pytest.fixture
def told() -> Any:
    heard: Told = []

    def hear(notification_id: UUID, status: Status, **_: Any) -> None:
        heard.append((notification_id, status))

    notification_settled.connect(hear)
    yield heard
    notification_settled.disconnect(hear)


def hold(
    tenant: Tenant, to: str = ADA, channel: Channel = Channel.EMAIL, **more: Any
) -> Suppression:
    return add(tenant, Entry(channel, fold(channel, to), **more)).suppression


def email(tenant: Tenant, to: str = ADA, **more: Any) -> Notification:
    return notify("email", to=to, tenant=tenant, **TEXT, **more)


def test_a_suppressed_recipient_is_accepted_and_told_and_never_sent(
    tenant: Tenant, told: Told, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    hold(tenant, reason=SuppressionReason.COMPLAINT)
    with django_capture_on_commit_callbacks(execute=True):
        row = email(tenant)
    assert row.status == Status.SUPPRESSED
    assert row.settled_at == row.created_at
    assert row.error_code == "suppressed"
    assert "complaint" in row.error_detail
    assert told == [(row.pk, Status.SUPPRESSED)]
    assert attempt(row).claimed == 0
    assert not Attempt.objects.exists()


def test_the_same_key_finds_it_again(tenant: Tenant) -> None:
    hold(tenant)
    assert email(tenant, idempotency_key="k") == email(tenant, idempotency_key="k")
    assert Notification.objects.get().state == State.SUPPRESSED


def test_what_is_to_be_sent_later_is_told_at_once(tenant: Tenant) -> None:
    hold(tenant)
    assert email(tenant, send_at="2100-01-01T00:00:00Z").status == Status.SUPPRESSED


@pytest.mark.parametrize("given", ["ADA@example.com", "Ada@Example.Com", "ada@EXAMPLE.com"])
def test_capitals_do_not_make_another_mailbox(tenant: Tenant, given: str) -> None:
    hold(tenant, "aDa@Example.com")
    row = email(tenant, given)
    assert (row.status, row.to) == (Status.SUPPRESSED, given)


def test_the_host_of_a_url_may_be_in_capitals_and_its_path_may_not(tenant: Tenant) -> None:
    hold(tenant, "https://Example.com/Hook", Channel.WEBHOOK)
    for url, status in (
        ("https://EXAMPLE.com/Hook", Status.SUPPRESSED),
        ("https://example.com/hook", Status.QUEUED),
    ):
        assert notify("webhook", to=url, payload=1, tenant=tenant).status == status


def test_others_are_sent_to(tenant: Tenant) -> None:
    hold(tenant)
    stranger = factories.tenant("stranger")
    hold(stranger, "somebody@example.com")
    assert email(tenant, "bob@example.com").status == Status.QUEUED
    assert email(stranger).status == Status.QUEUED


def test_what_has_expired_holds_nobody(tenant: Tenant) -> None:
    row = hold(tenant, expires_at=timezone.now() + timedelta(days=1))
    assert email(tenant).status == Status.SUPPRESSED
    Suppression.objects.filter(pk=row.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert email(tenant).status == Status.QUEUED


def test_who_has_unsubscribed_still_gets_what_is_transactional(tenant: Tenant) -> None:
    hold(tenant, reason=SuppressionReason.UNSUBSCRIBE)
    row = email(tenant)
    assert row.status == Status.QUEUED
    attempt(row)
    assert fresh(row).status == Status.DELIVERED


@pytest.fixture
def news(tenant: Tenant) -> dict[str, Any]:
    """What is made from a template that one can unsubscribe from."""
    put(tenant, "news", TemplateDraft(Channel.EMAIL, TEXT, is_transactional=False))
    return {"to": ADA, "template": "news", "tenant": tenant}


def test_who_has_unsubscribed_gets_no_news(tenant: Tenant, news: dict[str, Any]) -> None:
    hold(tenant, reason=SuppressionReason.UNSUBSCRIBE)
    assert notify("email", **news).status == Status.SUPPRESSED


def test_who_unsubscribes_from_news_that_wait_does_not_get_them(
    tenant: Tenant, news: dict[str, Any]
) -> None:
    row, other = notify("email", **news), email(tenant)
    hold(tenant, reason=SuppressionReason.UNSUBSCRIBE)
    attempt(row, other)
    assert (fresh(row).status, fresh(other).status) == (Status.SUPPRESSED, Status.DELIVERED)


def test_news_carry_a_link_to_unsubscribe_and_nothing_else_does(
    settings: Any, tenant: Tenant, news: dict[str, Any]
) -> None:
    settings.NOTIFICATIONS = {
        "CHANNELS": {"email": {"PROVIDERS": ["mail"]}},
        "PROVIDERS": {
            "mail": {"BACKEND": "notifications.providers.django_email.DjangoEmailProvider"}
        },
        "PUBLIC_URL": "https://notify.example.com",
    }
    if django.VERSION >= (6, 1):  # which warns of mail without it
        settings.MAILERS = {"default": {"BACKEND": "django.core.mail.backends.locmem.EmailBackend"}}
    attempt(notify("email", **news))
    attempt(email(tenant, "bob@example.com"))
    first, second = mail.outbox
    link = first.message()["List-Unsubscribe"].strip("<>")
    assert link.startswith("https://notify.example.com/unsubscribe/")
    assert second.message()["List-Unsubscribe"] is None
    assert Client().post(urlsplit(link).path).status_code == 200
    tenant.refresh_from_db()
    assert notify("email", **news).status == Status.SUPPRESSED


def test_a_call_of_many_holds_back_the_right_ones(tenant: Tenant) -> None:
    hold(tenant, "ada7@example.com", reason=SuppressionReason.HARD_BOUNCE)
    hold(tenant, "+14155550123", Channel.SMS, reason=SuppressionReason.STOP)
    items = [{"channel": "email", "to": f"ada{i}@example.com", **TEXT} for i in range(20)]
    items += [{"channel": "sms", "to": f"+1415555012{i}", "body": "Hello"} for i in range(5)]
    rows = notify_many(items, tenant=tenant)
    held = {row.to: row for row in map(fresh, rows) if row.state == State.SUPPRESSED}
    assert set(held) == {"ada7@example.com", "+14155550123"}
    assert "hard_bounce" in held["ada7@example.com"].error_detail
    assert all(row.error_code == "" for row in map(fresh, rows) if row.to not in held)


def test_a_call_of_a_thousand_asks_once_and_without_suppressions_never(tenant: Tenant) -> None:
    items = [{"channel": "email", "to": f"ada{i}@example.com", **TEXT} for i in range(1000)]
    for expected in (0, 1):
        with CaptureQueriesContext(connection) as queries:
            notify_many(items, tenant=tenant)
        asked = [q["sql"] for q in queries if "notifications_suppression" in q["sql"]]
        assert len(asked) == expected
        hold(tenant)


MANY = """
    INSERT INTO notifications_suppression (id, tenant_id, channel, recipient, reason, note)
    SELECT gen_random_uuid(), %s, 'email', 'ada' || n || '@example.com', 'manual', ''
    FROM generate_series(0, 19999) n
"""


@pytest.mark.postgres
@pytest.mark.parametrize("tenant_id", [7, None])
def test_a_lookup_reads_the_index_even_of_a_tenant_unknown_to_statistics(
    tenant: Tenant, tenant_id: int | None
) -> None:
    recipients = [f"ada{i}@example.com" for i in range(300)]
    with connection.cursor() as cursor:
        cursor.execute(MANY, [tenant.pk])
        cursor.execute("ANALYZE notifications_suppression")
        with CaptureQueriesContext(connection) as queries:
            Suppression.objects.on(recipients, tenant_id)
        [sql] = [q["sql"] for q in queries]
        array = f"'{array_of(recipients)}'"
        cursor.execute("EXPLAIN " + sql.replace("$1", array).replace("$2", str(tenant_id)))
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "notifications_one_suppression" in plan
    assert "Seq Scan" not in plan


def test_what_was_accepted_before_is_found_before_it_is_sent(
    tenant: Tenant, told: Told, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    rows = [email(tenant), email(tenant, "bob@example.com"), email(tenant, "ADA@example.com")]
    hold(tenant)
    with django_capture_on_commit_callbacks(execute=True):
        report = attempt(*rows)
    assert [fresh(row).status for row in rows] == ["suppressed", "delivered", "suppressed"]
    first = fresh(rows[0])
    assert (first.error_code, first.attempt_count) == ("suppressed", 0)
    assert first.settled_at is not None
    assert report.settled == 3
    assert sorted(told) == sorted((row.pk, fresh(row).status) for row in rows)


def test_a_retry_of_what_has_been_tried_is_held_back_too(tenant: Tenant) -> None:
    row = email(tenant, metadata={"simulate": "transient,deliver"})
    attempt(row)
    assert fresh(row).status == Status.RETRYING
    hold(tenant)
    attempt(row)
    assert fresh(row).status == Status.SUPPRESSED
    assert row.attempts.count() == 1


def test_rows_of_many_tenants_are_judged_each_by_its_own_list() -> None:
    tenants = [factories.tenant(f"t{i}") for i in range(4)]
    rows = [email(tenant) for tenant in tenants]
    for tenant in tenants[:2]:
        hold(tenant)
    hold(tenants[2], "somebody@example.com")
    with CaptureQueriesContext(connection) as queries:
        attempt(*rows)
    assert [fresh(row).status for row in rows] == ["suppressed"] * 2 + ["delivered"] * 2
    assert sum('FROM "notifications_suppression"' in q["sql"] for q in queries) == 1


def test_a_tenant_without_suppressions_costs_no_statement(tenant: Tenant) -> None:
    row = email(tenant)
    with CaptureQueriesContext(connection) as queries:
        attempt(row)
    assert not any('FROM "notifications_suppression"' in q["sql"] for q in queries)


def test_what_was_cancelled_meanwhile_is_not_told_to_be_suppressed(
    tenant: Tenant, told: Told, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    row = email(tenant)
    hold(tenant)
    token = UUID(int=7)
    factories.make_due([row.pk])
    [leased] = Notification.objects.claim([row.pk], token, 60)
    cancel(fresh(row))
    with django_capture_on_commit_callbacks(execute=True):
        assert suppress.withhold(token, [leased]) == []
    assert fresh(row).status == Status.CANCELLED
    assert told == []
