"""Notifications exported from the list as CSV."""

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from notifications.admin import results
from notifications.enums import Channel, Priority, ReceiptState, State
from notifications.models import Notification, Tenant
from notifications.tabular import plain

LIST = "/admin/notifications/notification/"
EXPORT = f"{LIST}export/"

pytestmark = pytest.mark.django_db

Login = Callable[..., Client]


@pytest.fixture
def tenant() -> Tenant:
    return Tenant.objects.create(name="shop")


def make(tenant: Tenant, **values: Any) -> Notification:
    return Notification.objects.create(**draft(tenant, **values))


def draft(tenant: Tenant, **values: Any) -> dict[str, Any]:
    base = {"channel": Channel.EMAIL, "to": "ada@example.com", "content": {"subject": "Hello"}}
    return {**base, "tenant": tenant, "fingerprint": "0" * 64, **values}


def exported(client: Client, query: str = "", **data: str) -> list[dict[str, str]]:
    response: Any = client.post(f"{EXPORT}{query}", data)
    assert response.status_code == 200
    assert response.streaming
    text = b"".join(response.streaming_content).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_row_says_what_became_of_it(admin_client: Client, tenant: Tenant) -> None:
    row = make(
        tenant,
        state=State.SENT,
        receipt_state=ReceiptState.BOUNCED,
        provider="smtp",
        error_code="no_such_user",
        attempt_count=2,
        metadata={"order": "A-1"},
    )
    [line] = exported(admin_client)
    assert tuple(line) == results.COLUMNS
    assert line["id"] == str(row.pk)
    assert (line["tenant"], line["channel"], line["to"]) == ("shop", "email", "a…@example.com")
    assert line["status"] == row.status == "undelivered"
    assert (line["provider"], line["error_code"], line["attempt_count"]) == (
        "smtp",
        "no_such_user",
        "2",
    )
    assert line["metadata"] == '{"order": "A-1"}'
    assert line["created_at"].endswith("Z")
    assert (line["sent_at"], line["batch"], line["template"]) == ("", "", "")


def test_it_holds_what_the_list_was_narrowed_to_the_newest_first(
    admin_client: Client, tenant: Tenant
) -> None:
    make(tenant, channel=Channel.SMS, to="+491701234567")
    first, second = (make(tenant, state=State.FAILED) for _ in range(2))
    make(Tenant.objects.create(name="other"), state=State.FAILED)
    found = exported(admin_client, "?status=failed&tenant=shop")
    assert [line["id"] for line in found] == [str(second.pk), str(first.pk)]
    assert len(exported(admin_client, "?q=%2B491701234567")) == 1
    assert len(exported(admin_client)) == 4


def test_no_cell_is_a_formula(admin_client: Client, tenant: Tenant) -> None:
    make(tenant, channel=Channel.SMS, to="+491701234567", provider="=1+1", error_code="@x")
    [line] = exported(admin_client, reveal="on")
    assert [line[name] for name in ("to", "provider", "error_code")] == [
        "'+491701234567",
        "'=1+1",
        "'@x",
    ]
    assert plain(line["to"]) == "+491701234567"


def test_pages_join_without_a_gap_and_no_statement_reads_more_than_one(
    admin_client: Client, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "AT_ONCE", 10)
    made = Notification.objects.bulk_create(Notification(**draft(tenant)) for _ in range(35))
    with CaptureQueriesContext(connection) as queries:
        found = exported(admin_client)
    assert sorted(line["id"] for line in found) == sorted(str(row.pk) for row in made)
    read = [q["sql"] for q in queries if '"provider_message_id"' in q["sql"]]
    mine = [sql for sql in read if "LIMIT 10" in sql]
    assert len(mine) == 5
    assert not any('"content"' in sql for sql in mine)


def test_nothing_is_read_before_it_is_asked_for(tenant: Tenant) -> None:
    Notification.objects.bulk_create(Notification(**draft(tenant)) for _ in range(2500))
    parts = results.export_csv(Notification.objects.all(), hide=True, tell=lambda _: None)
    with CaptureQueriesContext(connection) as queries:
        next(parts)
        assert len(queries) == 0
        next(parts)
        assert len(queries) == 1
        assert len(list(parts)) == 2


def test_whole_recipients_stand_in_the_log_of_each_before_they_leave(
    staff: Login, tenant: Tenant
) -> None:
    client = staff("view_notification", "export_notification", "reveal_notification")
    rows = {str(make(tenant).pk) for _ in range(3)}
    assert {line["to"] for line in exported(client)} == {"a…@example.com"}
    assert not LogEntry.objects.exists()
    assert {line["to"] for line in exported(client, reveal="on")} == {"ada@example.com"}
    entries = LogEntry.objects.all()
    assert {entry.object_id for entry in entries} == rows
    assert {entry.change_message for entry in entries} == {"Revealed the recipient in an export."}
    assert {entry.user.get_username() for entry in entries} == {"staff"}


def test_who_may_not_reveal_gets_them_masked_or_nothing(staff: Login, tenant: Tenant) -> None:
    client = staff("view_notification", "export_notification")
    make(tenant)
    assert [line["to"] for line in exported(client)] == ["a…@example.com"]
    assert 'name="reveal"' not in client.get(EXPORT).content.decode()
    assert client.post(EXPORT, {"reveal": "on"}).status_code == 403
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("names", [("view_notification",), ("export_notification",)])
def test_it_takes_a_permission_of_its_own(
    staff: Login, tenant: Tenant, names: tuple[str, ...]
) -> None:
    client = staff(*names)
    make(tenant)
    assert client.get(EXPORT).status_code == client.post(EXPORT).status_code == 403
    assert "export/" not in client.get(LIST).content.decode()


def test_the_list_leads_to_it_with_its_filters(admin_client: Client, tenant: Tenant) -> None:
    make(tenant, priority=Priority.BULK)
    page = admin_client.get(f"{LIST}?status=failed").content.decode()
    assert f'href="{EXPORT}?status=failed"' in page
    assert 'name="reveal"' in admin_client.get(f"{EXPORT}?status=failed").content.decode()


def test_a_filter_that_is_none_is_refused(admin_client: Client) -> None:
    assert admin_client.post(f"{EXPORT}?content__contains=x").status_code in (302, 400)
    assert admin_client.post(f"{EXPORT}?priority__exact=x").status_code in (302, 400)
