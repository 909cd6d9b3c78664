"""The list: its filters, its pages, and what it refuses."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from notifications.enums import Priority, ReceiptState, State
from notifications.models import Batch, Notification, Tenant
from tests.api.conftest import API, stored

pytestmark = pytest.mark.django_db


def ids(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [row["id"] for row in response.json()["results"]]


def path(url: str) -> str:
    return url.removeprefix("http://testserver")


def test_the_newest_come_first(api: API, tenant: Tenant) -> None:
    rows = [stored(tenant) for _ in range(3)]
    assert ids(api.get("/notifications")) == [str(row.pk) for row in reversed(rows)]


def test_pages_lead_to_the_end_and_back(api: API, tenant: Tenant) -> None:
    rows = [str(stored(tenant).pk) for _ in range(7)][::-1]
    first = api.get("/notifications?page_size=3&channel=email")
    assert first.json()["previous"] is None
    second = api.get(path(first.json()["next"]))
    third = api.get(path(second.json()["next"]))
    assert (ids(first), ids(second), ids(third)) == (rows[:3], rows[3:6], rows[6:])
    assert third.json()["next"] is None
    back = api.get(path(third.json()["previous"]))
    assert ids(back) == rows[3:6]
    start = api.get(path(back.json()["previous"]))
    assert (ids(start), start.json()["previous"]) == (rows[:3], None)
    assert ids(api.get(path(start.json()["next"]))) == rows[3:6]


def test_what_is_added_meanwhile_moves_no_page(api: API, tenant: Tenant) -> None:
    rows = [str(stored(tenant).pk) for _ in range(4)][::-1]
    first = api.get("/notifications?page_size=2")
    stored(tenant)
    assert ids(api.get(path(first.json()["next"]))) == rows[2:]


def test_a_page_has_fifty_and_at_most_two_hundred_and_fifty(api: API, tenant: Tenant) -> None:
    for _ in range(51):
        stored(tenant)
    assert len(ids(api.get("/notifications"))) == 50
    assert len(ids(api.get("/notifications?page_size=250"))) == 51


def test_a_page_costs_the_same_few_queries(
    api: API, tenant: Tenant, django_assert_num_queries: Any
) -> None:
    batch = Batch.objects.create(tenant=tenant)
    for _ in range(20):
        stored(tenant, batch=batch)
    api.get("/notifications")
    with django_assert_num_queries(1):
        api.get("/notifications")


def test_filters_narrow_the_list_down(api: API, tenant: Tenant) -> None:
    batch = Batch.objects.create(tenant=tenant)
    wanted = stored(
        tenant,
        channel="sms",
        to="+14155550123",
        priority=Priority.URGENT,
        batch=batch,
        idempotency_key="order-7",
        state=State.SENT,
        receipt_state=ReceiptState.DELIVERED,
    )
    stored(tenant)
    for query in (
        "status=delivered",
        "channel=sms",
        "priority=urgent",
        f"to={quote('+14155550123')}",
        f"batch={batch.pk}",
        "idempotency_key=order-7",
        "channel=sms&priority=urgent&status=delivered",
    ):
        assert ids(api.get(f"/notifications?{query}")) == [str(wanted.pk)], query
    assert ids(api.get("/notifications?channel=sms&status=queued")) == []


def test_the_list_is_cut_by_time(api: API, tenant: Tenant) -> None:
    start = datetime(2030, 1, 1, tzinfo=UTC)
    rows = [str(stored(tenant, created_at=start + timedelta(hours=n)).pk) for n in range(3)]
    assert ids(api.get("/notifications?created_before=2030-01-01T01:00:00Z")) == rows[:1]
    after = "2030-01-01T03:00:00+02:00"
    assert ids(api.get(f"/notifications?created_after={quote(after)}")) == rows[:0:-1]
    assert ids(api.get(f"/notifications?created_after={after}")) == rows[:0:-1]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=done", [("/status", "invalid_value")]),
        ("status=", [("/status", "invalid_value")]),
        ("priority=1", [("/priority", "invalid_value")]),
        ("batch=7", [("/batch", "invalid_value")]),
        ("to=%00", [("/to", "invalid_value")]),
        ("idempotency_key=%C3%A9", [("/idempotency_key", "invalid_value")]),
        ("created_after=2030-01-01", [("/created_after", "invalid_value")]),
        ("created_after=2030-01-01T00:00:00", [("/created_after", "invalid_value")]),
        ("created_after=0001-01-01T00:00:00%2B01:00", [("/created_after", "invalid_value")]),
        ("created_before=9999-12-31T23:59:59-01:00", [("/created_before", "invalid_value")]),
        ("page_size=0", [("/page_size", "invalid_value")]),
        ("page_size=251", [("/page_size", "invalid_value")]),
        ("page_size=%D9%A3", [("/page_size", "invalid_value")]),
        ("cursor=x", [("/cursor", "invalid_value")]),
        ("cursor=%00", [("/cursor", "invalid_value")]),
        ("page=2", [("/page", "unknown_parameter")]),
        ("%ED%A0%80=1", [("/\\ufffd\\ufffd\\ufffd", "unknown_parameter")]),
        ("status=sent&status=failed", [("/status", "duplicate_parameter")]),
        (
            "page=2&status=done&page_size=x",
            [
                ("/page", "unknown_parameter"),
                ("/status", "invalid_value"),
                ("/page_size", "invalid_value"),
            ],
        ),
    ],
)
def test_a_query_that_is_not_understood_is_a_400_with_every_reason(
    api: API, query: str, found: list[tuple[str, str]]
) -> None:
    response = api.get(f"/notifications?{query}")
    errors = [(error["pointer"], error["code"]) for error in response.json()["errors"]]
    assert (response.status_code, errors) == (400, found)


def test_a_thousand_parameters_too_many_are_a_400(api: API) -> None:
    assert api.get("/notifications?" + "&".join(["a=1"] * 2000)).status_code == 400


def test_a_cursor_that_was_tampered_with_is_a_400(api: API, tenant: Tenant) -> None:
    for _ in range(2):
        stored(tenant)
    url = path(api.get("/notifications?page_size=1").json()["next"])
    start, _, cursor = url.partition("cursor=")
    other = "n" if cursor[0] == "o" else "o"
    assert api.get(f"{start}cursor={other}{cursor[1:]}").status_code == 400


def test_a_cursor_of_another_tenant_is_a_400(api: API, stranger_api: API, tenant: Tenant) -> None:
    for _ in range(2):
        stored(tenant)
    url = path(api.get("/notifications?page_size=1").json()["next"])
    assert stranger_api.get(url).status_code == 400


def test_a_charset_that_is_none_for_text_does_not_disturb_the_query(api: API) -> None:
    headers = {"Content-Type": "text/plain; charset=hex"}
    assert api.request("GET", "/notifications?to=%41", **headers).status_code == 200


def test_the_list_is_empty_for_a_tenant_that_sent_nothing(api: API) -> None:
    assert not Notification.objects.exists()
    assert api.get("/notifications").json() == {"results": [], "next": None, "previous": None}
