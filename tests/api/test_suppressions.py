"""The lists of suppressed recipients, over HTTP."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from notifications.enums import SuppressionReason
from notifications.models import Suppression, Tenant
from tests.api.conftest import API, EMAIL

pytestmark = pytest.mark.django_db

ADA = {"channel": "email", "recipient": "Ada@example.com"}
BOB = {"channel": "sms", "recipient": "+14155550123", "reason": "stop", "note": "by phone"}


def results(api: API, query: str = "") -> list[str]:
    return [row["recipient"] for row in api.get(f"/suppressions{query}").json()["results"]]


def test_who_is_put_on_the_list_is_sent_nothing(api: API) -> None:
    assert api.post("/notify", EMAIL).json()["status"] == "queued"
    answer = api.post("/suppressions", ADA)
    assert answer.status_code == 201
    assert answer.json() == {
        "id": str(Suppression.objects.get().pk),
        "channel": "email",
        "recipient": "ada@example.com",
        "reason": "manual",
        "note": "",
        "created_at": answer.json()["created_at"],
        "expires_at": None,
    }
    told = api.post("/notify", EMAIL)
    assert (told.status_code, told.json()["status"]) == (202, "suppressed")
    assert told.json()["error"]["code"] == "suppressed"
    again = api.get(told.json()["url"]).json()
    assert (again["attempts"], again["waiting"]) == ([], None)
    assert again["settled_at"] is not None


def test_an_item_of_a_batch_is_accepted_as_suppressed(api: API) -> None:
    api.post("/suppressions", ADA)
    answer = api.post(
        "/notify/batch", {"notifications": [EMAIL, EMAIL | {"to": "bob@example.com"}]}
    )
    assert answer.json()["accepted"] == 2
    counts = api.get(answer.json()["url"]).json()["counts"]
    assert (counts["suppressed"], counts["queued"]) == (1, 1)


def test_what_is_suppressed_can_be_neither_cancelled_nor_retried(api: API) -> None:
    api.post("/suppressions", ADA)
    url = api.post("/notify", EMAIL).json()["url"]
    for operation in ("cancel", "retry"):
        assert api.post(f"{url}/{operation}").status_code == 409


def test_taken_off_the_list_it_is_sent_to_again(api: API) -> None:
    id = api.post("/suppressions", ADA).json()["id"]
    assert api.request("DELETE", f"/suppressions/{id}").status_code == 204
    assert api.request("DELETE", f"/suppressions/{id}").status_code == 404
    assert api.post("/notify", EMAIL).json()["status"] == "queued"


def test_who_is_on_the_list_stays_as_it_is_unless_more_is_asked(api: API) -> None:
    soon = (timezone.now() + timedelta(days=1)).isoformat()
    first = api.post("/suppressions", ADA | {"reason": "soft_bounce", "expires_at": soon})
    again = api.post("/suppressions", ADA | {"reason": "complaint"})
    after = api.post("/suppressions", ADA | {"reason": "unsubscribe"})
    assert [first.status_code, again.status_code, after.status_code] == [201, 200, 200]
    assert first.json()["id"] == after.json()["id"]
    assert after.json()["reason"] == "complaint"
    assert after.json()["expires_at"] is None


def test_everything_wrong_with_a_request_is_told(api: API) -> None:
    answer = api.post("/suppressions", {"recipient": "nobody", "channel": "email", "why": 1})
    assert answer.status_code == 400
    assert {(e["pointer"], e["code"]) for e in answer.json()["errors"]} == {
        ("/why", "unknown_field"),
        ("/recipient", "invalid_email"),
    }
    assert "nobody" not in answer.content.decode()
    assert api.post("/suppressions?x=1", ADA).status_code == 400
    assert not Suppression.objects.exists()


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"channel": "email", "channel": "sms"}'])
def test_a_body_that_is_no_object_is_refused(api: API, body: bytes) -> None:
    assert api.request("POST", "/suppressions", body).status_code == 400


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["+14155550123", "ada@example.com"]),
        ("?channel=email", ["ada@example.com"]),
        ("?recipient=ADA@example.com", ["ada@example.com"]),
        ("?recipient=%2B14155550123&channel=sms", ["+14155550123"]),
        ("?recipient=%2B14155550123&channel=email", []),
        ("?reason=stop", ["+14155550123"]),
        ("?recipient=https://[", []),
    ],
)
def test_the_list_is_filtered(api: API, query: str, found: list[str]) -> None:
    for body in (ADA, BOB):
        api.post("/suppressions", body)
    assert results(api, query) == found


@pytest.mark.parametrize("query", ["?to=x", "?channel=fax", "?reason=whim", "?page_size=0"])
def test_a_parameter_that_is_none_is_refused(api: API, query: str) -> None:
    assert api.get(f"/suppressions{query}").status_code == 400


def test_the_list_has_pages(api: API, tenant: Tenant) -> None:
    for index in range(5):
        Suppression.objects.create(tenant=tenant, channel="email", recipient=f"ada{index}@x.org")
    found: list[str] = []
    url: Any = "/suppressions?page_size=2"
    while url:
        page = api.get(url).json()
        found += [row["recipient"] for row in page["results"]]
        url = page["next"]
    assert found == [f"ada{index}@x.org" for index in (4, 3, 2, 1, 0)]


def test_what_has_expired_is_not_listed(api: API, tenant: Tenant) -> None:
    past = timezone.now() - timedelta(seconds=1)
    Suppression.objects.create(tenant=tenant, channel="sms", recipient="+1", expires_at=past)
    assert results(api) == []


def test_the_list_shows_no_stranger_s_recipients(api: API, stranger_api: API) -> None:
    api.post("/suppressions", ADA)
    assert results(stranger_api) == []
    assert results(stranger_api, "?recipient=ada@example.com") == []
    assert stranger_api.post("/notify", EMAIL).json()["status"] == "queued"
    assert stranger_api.post("/suppressions", ADA).status_code == 201


def test_every_reason_can_be_given(api: API) -> None:
    for reason in SuppressionReason:
        body = {"channel": "email", "recipient": f"{reason}@example.com", "reason": reason}
        assert api.post("/suppressions", body).json()["reason"] == reason
