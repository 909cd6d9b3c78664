"""What recipients do not want is not sent, and what they do not want now is sent later."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from notifications import notify, notify_many, set_preference
from notifications.columns import array_of
from notifications.enums import Channel, Status, SuppressionReason, WaitReason
from notifications.exceptions import InvalidNotification
from notifications.messages import TemplateDraft
from notifications.models import Attempt, Notification, Preference, Tenant
from notifications.pipeline import database, explain, preferences, unsubscribe
from notifications.pipeline.control import retry
from notifications.pipeline.rescue import expire
from notifications.pipeline.suppressions import add
from notifications.pipeline.template_store import put
from notifications.preference import Wish
from notifications.quiet_hours import QuietHours
from notifications.signals import notification_settled
from notifications.suppression import Entry

from . import factories
from .factories import attempt, fresh

pytestmark = pytest.mark.django_db

ADA = "ada@example.com"
CLOCK = timedelta(milliseconds=2)
"""SQLite counts in milliseconds. Who is early is put off once more."""

TEXT = {"subject": "Hello", "body": "Hello, Ada"}


@pytest.fixture
def tenant() -> Tenant:
    return factories.tenant("shop")


def wish(tenant: Tenant, *opt_outs: str, to: str = ADA, **more: Any) -> Preference:
    wanted = Wish(Channel.EMAIL, to, frozenset(opt_outs), **more)
    return preferences.put(tenant, wanted).preference


def quiet(tenant: Tenant, minutes: float = 60, to: str = ADA, *opt_outs: str) -> datetime:
    """Quiet since an hour ago, for so many minutes more."""
    now = database.now()
    end = now + timedelta(minutes=minutes)
    hours = QuietHours((now - timedelta(hours=1)).time(), end.time(), "UTC")
    wish(tenant, *opt_outs, to=to, quiet_hours=hours)
    return end


def email(
    tenant: Tenant, to: str = ADA, category: str | None = "news", **more: Any
) -> Notification:
    return notify("email", to=to, tenant=tenant, category=category, **TEXT, **more)


def queries_of(act: Callable[[], object]) -> Sequence[str]:
    with CaptureQueriesContext(connection) as queries:
        act()
    return [q["sql"] for q in queries if 'FROM "notifications_preference"' in q["sql"]]


def test_what_is_not_wanted_is_accepted_and_told_and_never_sent(tenant: Tenant) -> None:
    wish(tenant, "news", "offers")
    row = email(tenant, "ADA@example.com")
    assert (row.status, row.error_code) == (Status.SUPPRESSED, "opted_out")
    assert "news" in row.error_detail
    assert row.settled_at == row.created_at
    assert attempt(row).claimed == 0
    assert not Attempt.objects.exists()


@pytest.mark.parametrize(
    ("to", "category"), [(ADA, "tips"), (ADA, None), ("bob@example.com", "news")]
)
def test_what_is_wanted_is_sent(tenant: Tenant, to: str, category: str | None) -> None:
    wish(tenant, "news")
    row = email(tenant, to, category)
    attempt(row)
    assert fresh(row).status == Status.DELIVERED


def test_another_tenant_s_preferences_and_another_channel_s_are_not_asked(tenant: Tenant) -> None:
    wish(tenant, "news")
    stranger = factories.tenant("stranger")
    wish(stranger, "news", to="somebody@example.com")
    rows = [email(stranger), notify("sms", to="+14155550123", body="x", category="news")]
    assert [row.status for row in rows] == ["queued", "queued"]
    attempt(rows[0])
    assert fresh(rows[0]).status == Status.DELIVERED


def test_the_category_of_a_template_is_that_of_what_is_made_from_it(tenant: Tenant) -> None:
    draft = TemplateDraft(Channel.EMAIL, TEXT, is_transactional=False, category="news")
    put(tenant, "letter", draft)
    row = notify("email", to=ADA, template="letter", tenant=tenant)
    assert (row.category, fresh(row).is_transactional) == ("news", False)
    wish(tenant, "news")
    assert notify("email", to=ADA, template="letter", tenant=tenant).status == Status.SUPPRESSED
    attempt(row)
    assert fresh(row).status == Status.SUPPRESSED


def test_who_opts_out_while_it_waits_does_not_get_it(
    tenant: Tenant, django_capture_on_commit_callbacks: Callable[..., Any]
) -> None:
    rows = [email(tenant), email(tenant, category=None), email(tenant, category="tips")]
    wish(tenant, "news")
    told: list[UUID] = []

    def hear(notification_id: UUID, status: Status, **_: Any) -> None:
        if status == Status.SUPPRESSED:
            told.append(notification_id)

    notification_settled.connect(hear)
    with django_capture_on_commit_callbacks(execute=True):
        report = attempt(*rows)
    notification_settled.disconnect(hear)
    assert [fresh(row).status for row in rows] == ["suppressed", "delivered", "delivered"]
    assert (fresh(rows[0]).error_code, fresh(rows[0]).attempt_count) == ("opted_out", 0)
    assert (report.settled, told) == (3, [rows[0].pk])


def test_a_suppression_is_the_stronger_reason(tenant: Tenant) -> None:
    wish(tenant, "news")
    add(tenant, Entry(Channel.EMAIL, ADA, SuppressionReason.COMPLAINT))
    assert email(tenant).error_code == "suppressed"


def test_who_has_unsubscribed_gets_nothing_of_any_category(tenant: Tenant) -> None:
    row = email(tenant)
    add(tenant, Entry(Channel.EMAIL, ADA, SuppressionReason.UNSUBSCRIBE))
    assert email(tenant).status == Status.SUPPRESSED
    attempt(row)
    assert fresh(row).status == Status.SUPPRESSED


def test_the_link_in_a_message_opts_out_of_its_category_alone(settings: Any) -> None:
    settings.NOTIFICATIONS = {"PUBLIC_URL": "https://notify.example.com"}
    tenant = factories.tenant("shop")
    wish(tenant, "tips", quiet_hours=QuietHours(time(22), time(7), "UTC"))
    link = unsubscribe.link_of(email(tenant))
    for _ in range(2):
        assert Client().post(urlsplit(link).path).status_code == 200
    kept = Preference.objects.get()
    assert (kept.opt_outs, kept.time_zone) == (["news", "tips"], "UTC")
    tenant.refresh_from_db()
    assert email(tenant).status == Status.SUPPRESSED
    assert email(tenant, category="offers").status == Status.QUEUED


def test_in_quiet_hours_it_is_put_off_to_their_end_and_then_sent(tenant: Tenant) -> None:
    end = quiet(tenant)
    row = email(tenant)
    assert row.status == Status.QUEUED
    report = attempt(row)
    held = fresh(row)
    assert (report.put_off, report.settled) == (1, 0)
    assert (held.status, held.attempt_count) == (Status.QUEUED, 0)
    assert end - CLOCK <= held.due_at < end + timedelta(seconds=2)
    assert held.publish_at == held.due_at
    waiting = explain.waiting(held)
    assert waiting
    assert waiting.reason == WaitReason.QUIET_HOURS
    assert waiting.until == held.due_at
    Preference.objects.update(quiet_until=(database.now() - timedelta(minutes=1)).time())
    attempt(row)
    assert fresh(row).status == Status.DELIVERED
    assert row.attempts.count() == 1


def test_the_hours_are_those_of_the_recipient_s_zone(tenant: Tenant) -> None:
    """At any hour of the day one of two zones twelve hours apart has night."""
    night = time(19), time(6, 59)
    wish(tenant, to="a@example.com", quiet_hours=QuietHours(*night, "Etc/GMT-6"))
    wish(tenant, to="b@example.com", quiet_hours=QuietHours(*night, "Etc/GMT+6"))
    rows = [email(tenant, "a@example.com"), email(tenant, "b@example.com")]
    now = datetime.now(UTC)
    expected = [QuietHours(*night, zone).until(now) for zone in ("Etc/GMT-6", "Etc/GMT+6")]
    attempt(*rows)
    for row, until in zip(rows, expected, strict=True):
        held = fresh(row)
        assert held.status == (Status.DELIVERED if until is None else Status.QUEUED)
        assert until is None or abs(held.due_at - until) < timedelta(seconds=5)


@pytest.mark.parametrize("more", [{"priority": "urgent"}, {"category": None}])
def test_what_is_urgent_or_transactional_goes_at_any_hour(
    tenant: Tenant, more: dict[str, Any]
) -> None:
    quiet(tenant)
    row = email(tenant, **more)
    attempt(row)
    assert fresh(row).status == Status.DELIVERED


def test_of_several_recipients_those_are_left_out_who_do_not_want_it(tenant: Tenant) -> None:
    wish(tenant, "news", to="b@example.com")
    add(tenant, Entry(Channel.EMAIL, "c@example.com"))
    row = email(tenant, cc=["b@example.com"], bcc=["c@example.com"])
    attempt(row)
    assert fresh(row).status == Status.DELIVERED
    assert "Not sent to 2 of its recipients" in row.attempts.get().detail
    wish(tenant, "news")
    other = email(tenant, cc=["b@example.com"])
    assert (other.status, other.error_code) == (Status.SUPPRESSED, "opted_out")
    mixed = email(tenant, cc=["c@example.com"])
    attempt(mixed)
    assert (fresh(mixed).status, fresh(mixed).error_code) == (Status.SUPPRESSED, "opted_out")


def test_the_hours_of_one_of_many_hold_up_nothing(tenant: Tenant) -> None:
    quiet(tenant, 60, "b@example.com")
    row = email(tenant, cc=["b@example.com"])
    attempt(row)
    assert fresh(row).status == Status.DELIVERED


def test_what_is_urgent_is_not_sent_to_who_does_not_want_it(tenant: Tenant) -> None:
    wish(tenant, "news")
    assert email(tenant, priority="urgent").status == Status.SUPPRESSED


def test_a_retry_in_quiet_hours_waits_for_their_end(tenant: Tenant) -> None:
    row = email(tenant, metadata={"simulate": "transient,deliver"})
    attempt(row)
    end = quiet(tenant)
    attempt(row)
    held = fresh(row)
    assert (held.status, held.attempt_count) == (Status.RETRYING, 1)
    assert held.due_at >= end - CLOCK


def test_what_expires_in_quiet_hours_is_told_to_have_expired(tenant: Tenant) -> None:
    quiet(tenant)
    row = email(tenant, expires_at=datetime.now(UTC) + timedelta(minutes=10))
    attempt(row)
    assert fresh(row).status == Status.QUEUED
    Notification.objects.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert expire() == 1
    assert fresh(row).status == Status.EXPIRED
    assert not Attempt.objects.exists()


def test_somebody_s_retry_is_no_way_around_quiet_hours(tenant: Tenant) -> None:
    row = email(tenant, metadata={"simulate": "reject,deliver"})
    attempt(row)
    quiet(tenant)
    retry(fresh(row))
    attempt(row)
    assert (fresh(row).status, fresh(row).wait_reason) == ("retrying", WaitReason.QUIET_HOURS)


def test_of_one_task_each_goes_its_own_way(tenant: Tenant) -> None:
    quiet(tenant, 60, "a@example.com")
    quiet(tenant, 90, "b@example.com")
    rows = [email(tenant, f"{name}@example.com") for name in "abcd"]
    wish(tenant, "news", to="c@example.com")
    asked = queries_of(lambda: attempt(*rows))
    found = [fresh(row) for row in rows]
    assert [row.status for row in found] == ["queued", "queued", "suppressed", "delivered"]
    assert timedelta(minutes=29) < found[1].due_at - found[0].due_at < timedelta(minutes=31)
    assert len(asked) == 1


def test_a_call_of_many_asks_once_and_without_preferences_never(tenant: Tenant) -> None:
    items = [
        {"channel": "email", "to": f"ada{i}@example.com", "category": "news", **TEXT}
        for i in range(100)
    ]
    for expected in (0, 1):
        rows: list[Notification] = []

        def accept(rows: list[Notification] = rows) -> None:
            rows += notify_many(items, tenant=tenant)

        assert len(queries_of(accept)) == expected
        assert len(queries_of(lambda rows=rows: attempt(*rows))) == expected  # type: ignore[misc]
        wish(tenant, "news", to="ada7@example.com")
    assert [row.to for row in rows if row.status == Status.SUPPRESSED] == ["ada7@example.com"]


def test_what_is_transactional_asks_for_nobody_s_preferences(tenant: Tenant) -> None:
    wish(tenant, "news")
    rows = [email(tenant, category=None) for _ in range(3)]
    assert queries_of(lambda: attempt(*rows)) == []


def test_what_is_kept_is_replaced_as_a_whole(tenant: Tenant) -> None:
    hours = {"start": "22:00", "end": "07:00", "time_zone": "Europe/Berlin"}
    first = set_preference("email", "Ada@example.com", tenant="shop", quiet_hours=hours)
    assert first.quiet_hours == QuietHours(time(22), time(7), "Europe/Berlin")
    second = set_preference("email", ADA, tenant="shop", opt_outs=["tips", "news"])
    assert (second.pk, second.quiet_hours) == (first.pk, None)
    assert Preference.objects.get().opt_outs == ["news", "tips"]
    with pytest.raises(InvalidNotification):
        set_preference("email", ADA, tenant="shop", quiet_hours={**hours, "time_zone": "Mars"})


def test_the_same_key_finds_what_was_not_wanted_again(tenant: Tenant) -> None:
    wish(tenant, "news")
    assert email(tenant, idempotency_key="k") == email(tenant, idempotency_key="k")


MANY = """
    INSERT INTO notifications_preference (id, tenant_id, channel, recipient, opt_outs, time_zone)
    SELECT gen_random_uuid(), %s, 'email', 'ada' || n || '@example.com', '[]', ''
    FROM generate_series(0, 19999) n
"""


@pytest.mark.postgres
def test_a_lookup_reads_the_index_even_of_a_tenant_unknown_to_statistics(tenant: Tenant) -> None:
    with connection.cursor() as cursor:
        cursor.execute(MANY, [tenant.pk])
        cursor.execute("ANALYZE notifications_preference")
        recipients = [f"ada{i}@example.com" for i in range(100)]
        for id in (tenant.pk, None):
            with CaptureQueriesContext(connection) as queries:
                assert len(Preference.objects.on(recipients, id)) == 100
            [sql] = [q["sql"] for q in queries]
            array = f"'{array_of(recipients)}'"
            cursor.execute("EXPLAIN " + sql.replace("$1", array).replace("$2", str(tenant.pk)))
            plan = "\n".join(line for (line,) in cursor.fetchall())
            assert "notifications_one_preference" in plan
            assert "Seq Scan" not in plan
