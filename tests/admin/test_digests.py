"""The list of digests: what is gathered for whom, and nothing that could be slow or changed."""

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from notifications.enums import State
from notifications.models import Digest, Notification, Tenant
from tests.pipeline.factories import sms

LIST = "/admin/notifications/digest/"

pytestmark = pytest.mark.django_db


def digest(key: str = "news", tenant: str = "shop", **values: Any) -> Digest:
    owner = Tenant.objects.get_or_create(name=tenant)[0]
    common = {"channel": "sms", "recipient": "+14155550123", "template": "t", "key": key}
    times = {"window": 60, "max_count": 9, "closes_at": timezone.now() + timedelta(minutes=1)}
    return Digest.objects.create(tenant=owner, **common | times | values)


def closed(key: str, **values: Any) -> Digest:
    return digest(key, is_open=False, closed_at=timezone.now(), count=3, **values)


def keys(client: Client, **query: str) -> list[str]:
    response: Any = client.get(LIST, query)
    return [row.key for row in response.context["cl"].result_list]


def page(client: Client, row: Digest) -> str:
    return client.get(reverse("admin:notifications_digest_change", args=[row.pk])).content.decode()


def test_the_newest_stand_first_with_masked_recipients(admin_client: Client) -> None:
    closed("old")
    digest("new")
    assert keys(admin_client) == ["new", "old"]
    text = admin_client.get(LIST).content.decode()
    assert "+1415…23" in text
    assert "+14155550123" not in text


def test_those_that_are_open_are_found_by_themselves_and_by_tenant(admin_client: Client) -> None:
    closed("old")
    digest("full", is_open=False)
    digest("new")
    digest("foreign", tenant="other")
    assert keys(admin_client, open="yes") == ["foreign", "new"]
    assert keys(admin_client, tenant="shop") == ["new", "full", "old"]
    assert keys(admin_client, open="yes", tenant="shop") == ["new"]
    states = re.findall(r'field-state">(\w+)<', admin_client.get(LIST).content.decode())
    assert states == ["open", "open", "full", "closed"]


def test_a_search_finds_an_id_and_the_recipient_of_an_open_one(admin_client: Client) -> None:
    old = closed("old")
    digest("new")
    assert keys(admin_client, q=str(old.pk)) == ["old"]
    assert keys(admin_client, q="+14155550123") == ["new"]
    assert keys(admin_client, q="+1415") == keys(admin_client, q=str(uuid4())) == []


def test_the_page_leads_to_what_it_gathered_and_to_what_it_sent(admin_client: Client) -> None:
    member, sent, _other = sms(), sms(), sms()
    row = closed("news", notification_id=sent.pk)
    Notification.objects.filter(pk=member.pk).update(digest=row, state=State.DIGESTED)
    text = page(admin_client, row)
    assert reverse("admin:notifications_notification_change", args=[sent.pk]) in text
    assert "+14155550123" not in text
    [link] = re.findall(r'href="([^"]+)">show them', text)
    response: Any = admin_client.get(link)
    assert [each.pk for each in response.context["cl"].result_list] == [member.pk]


def test_nobody_changes_one(admin_client: Client) -> None:
    row = digest()
    for action in ("change", "delete"):
        address = reverse(f"admin:notifications_digest_{action}", args=[row.pk])
        assert admin_client.post(address, {"post": "yes"}).status_code == 403
    assert admin_client.get(f"{LIST}add/").status_code == 403


def test_a_page_costs_a_few_statements_and_no_count_of_the_table(admin_client: Client) -> None:
    for number in range(60):
        digest(str(number), tenant=f"t-{number % 6}")
    with CaptureQueriesContext(connection) as captured:
        assert len(keys(admin_client)) == 50
    assert len(captured) < 15
    counts = [q["sql"] for q in captured if "COUNT(" in q["sql"]]
    assert all(re.search(r"LIMIT 10001\b", sql) for sql in counts)


@pytest.mark.postgres
def test_among_very_many_a_filter_reads_what_it_shows(admin_client: Client) -> None:
    owner = Tenant.objects.create(name="other")
    digest()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO notifications_digest (id, tenant_id, channel, recipient, key, template, "
            '"window", is_sliding, max_count, count, is_open, created_at, closes_at, closed_at) '
            "SELECT gen_random_uuid(), %s, 'sms', i::text, 'k', 't', 60, false, 9, 1, false, "
            "now(), now(), now() FROM generate_series(1, 30000) AS i",
            [owner.pk],
        )
        cursor.execute("ANALYZE notifications_digest")
    for query in ({"open": "yes"}, {"tenant": "shop"}, {"q": "+14155550123"}):
        with CaptureQueriesContext(connection) as captured:
            assert keys(admin_client, **query) == ["news"]
        selects = [q["sql"] for q in captured if 'FROM "notifications_digest"' in q["sql"]]
        assert selects
        for sql in selects:
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (FORMAT TEXT) {sql}")
                plan = "\n".join(line for (line,) in cursor.fetchall())
            assert "Seq Scan on notifications_digest" not in plan, f"{sql}\n{plan}"
