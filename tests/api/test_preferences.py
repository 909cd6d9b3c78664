"""What recipients want, and digests, over HTTP."""

import json
from typing import Any

import pytest
from django.db.models.functions import Now

from notifications.models import Digest, Notification, Preference
from notifications.pipeline import digests
from tests.api.conftest import API, EMAIL, template

pytestmark = pytest.mark.django_db

HOURS = {"start": "22:00", "end": "07:00", "time_zone": "Asia/Kolkata"}
ADA = {"channel": "email", "recipient": "Ada@example.com", "opt_outs": ["news", "comments"]}
SMS = {"channel": "sms", "to": "+14155550123", "body": "Hello"}
RULE = {"key": "post-7", "template": "comments", "window": 600}


def put(api: API, body: Any) -> Any:
    return api.request("PUT", "/preferences", json.dumps(body))


def results(api: API, query: str = "") -> list[str]:
    return [row["recipient"] for row in api.get(f"/preferences{query}").json()["results"]]


def test_who_opts_out_is_not_sent_that_category(api: API) -> None:
    assert api.post("/notify", {**EMAIL, "category": "news"}).json()["status"] == "queued"
    answer = put(api, {**ADA, "quiet_hours": HOURS})
    assert answer.status_code == 201
    assert answer.json() == {
        "id": str(Preference.objects.get().pk),
        "channel": "email",
        "recipient": "ada@example.com",
        "opt_outs": ["comments", "news"],
        "quiet_hours": HOURS,
        "created_at": answer.json()["created_at"],
    }
    told = api.post("/notify", {**EMAIL, "category": "news"})
    assert (told.status_code, told.json()["status"]) == (202, "suppressed")
    assert told.json()["error"]["code"] == "opted_out"
    assert told.json()["category"] == "news"
    assert api.post("/notify", EMAIL).json()["status"] == "queued"
    other = api.post("/notify", {**EMAIL, "category": "tips"})
    assert other.json()["status"] == "queued"


def test_what_is_put_again_replaces_all_of_it(api: API) -> None:
    first = put(api, {**ADA, "quiet_hours": HOURS}).json()
    answer = put(api, {"channel": "email", "recipient": "ADA@example.com"})
    assert answer.status_code == 200
    assert answer.json() == {**first, "opt_outs": [], "quiet_hours": None}
    assert api.post("/notify", {**EMAIL, "category": "news"}).json()["status"] == "queued"


def test_what_is_forgotten_holds_up_nothing(api: API) -> None:
    id = put(api, ADA).json()["id"]
    assert api.request("DELETE", f"/preferences/{id}").status_code == 204
    assert api.request("DELETE", f"/preferences/{id}").status_code == 404
    assert api.post("/notify", {**EMAIL, "category": "news"}).json()["status"] == "queued"
    assert results(api) == []


def test_everything_wrong_is_told_at_once_and_nothing_is_kept(api: API) -> None:
    body = {
        "channel": "email",
        "recipient": "nobody",
        "opt_outs": ["No"],
        "quiet_hours": {},
        "x": 1,
    }
    answer = put(api, body)
    assert answer.status_code == 400
    assert {error["pointer"] for error in answer.json()["errors"]} == {
        "/x",
        "/recipient",
        "/opt_outs/0",
        "/quiet_hours/start",
        "/quiet_hours/end",
        "/quiet_hours/time_zone",
    }
    assert "nobody" not in answer.content.decode()
    assert api.request("PUT", "/preferences?x=1", json.dumps(ADA)).status_code == 400
    assert api.request("PUT", "/preferences", b"[]").status_code == 400
    assert api.post("/preferences", ADA).status_code == 405
    assert not Preference.objects.exists()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["+14155550123", "ada@example.com"]),
        ("?channel=email", ["ada@example.com"]),
        ("?recipient=ADA@example.com", ["ada@example.com"]),
        ("?recipient=%2B14155550123&channel=email", []),
    ],
)
def test_the_list_is_filtered(api: API, query: str, found: list[str]) -> None:
    for body in (ADA, {"channel": "sms", "recipient": "+14155550123"}):
        put(api, body)
    assert results(api, query) == found


@pytest.mark.parametrize("query", ["?to=x", "?channel=fax", "?page_size=0", "?reason=stop"])
def test_a_parameter_that_is_none_is_refused(api: API, query: str) -> None:
    assert api.get(f"/preferences{query}").status_code == 400


def test_the_list_has_pages(api: API) -> None:
    for index in range(5):
        put(api, {"channel": "email", "recipient": f"ada{index}@example.com"})
    found: list[str] = []
    url: Any = "/preferences?page_size=2"
    while url:
        page = api.get(url).json()
        found += [row["recipient"] for row in page["results"]]
        url = page["next"]
    assert found == [f"ada{index}@example.com" for index in (4, 3, 2, 1, 0)]


def test_a_stranger_s_recipients_are_neither_shown_nor_asked(api: API, stranger_api: API) -> None:
    put(api, ADA)
    assert results(stranger_api) == []
    assert results(stranger_api, "?recipient=ada@example.com") == []
    assert stranger_api.post("/notify", {**EMAIL, "category": "news"}).json()["status"] == "queued"
    assert put(stranger_api, {**ADA, "opt_outs": []}).status_code == 201
    assert Preference.objects.filter(opt_outs=["comments", "news"]).count() == 1


def test_a_digest_is_shown_from_its_first_member_to_what_sends_it(
    api: API, stranger_api: API, tenant: Any
) -> None:
    template(tenant, "comments", body="{{ count }}{% for i in items %} {{ i.body }}{% endfor %}")
    ids = [api.post("/notify", {**SMS, "body": body, "digest": RULE}).json()["id"] for body in "ab"]
    waits = api.get(f"/notifications/{ids[0]}").json()
    assert (waits["status"], waits["digest"]["count"]) == ("scheduled", 2)
    assert waits["digest"]["notification"] is None
    assert waits["waiting"]["reason"] == "digest"
    assert waits["waiting"]["until"] == waits["digest"]["closes_at"]
    Digest.objects.update(closes_at=Now())
    digests.close_due()
    done = api.get(f"/notifications/{ids[0]}").json()
    assert (done["status"], done["waiting"]) == ("digested", None)
    sends = api.get(f"/notifications/{done['digest']['notification']}").json()
    assert sends["digest"] == done["digest"]
    assert sends["template"] == "comments"
    query = f"/notifications?digest={done['digest']['id']}"
    assert {row["id"] for row in api.get(query).json()["results"]} == {*ids, sends["id"]}
    assert stranger_api.get(query).json()["results"] == []
    assert api.get("/notifications?status=digested").json()["results"][0]["id"] == ids[1]
    assert api.post(f"/notifications/{ids[0]}/cancel").status_code == 409
    assert api.post(f"/notifications/{ids[0]}/retry").status_code == 409


def test_a_stranger_s_template_sends_no_digest(api: API, stranger: Any) -> None:
    template(stranger, "comments")
    answer = api.post("/notify", {**SMS, "digest": RULE})
    assert answer.status_code == 400
    assert answer.json()["errors"] == [
        {
            "pointer": "/digest/template",
            "code": "unknown_template",
            "detail": "there is no template of this name",
        }
    ]
    assert not Notification.objects.exists()


def test_a_batch_may_hold_members_of_digests_among_others(api: API, tenant: Any) -> None:
    template(tenant, "comments")
    items = [{**SMS, "digest": RULE}, SMS, {**SMS, "digest": {**RULE, "template": "none"}}]
    answer = api.post("/notify/batch", {"notifications": items}).json()
    assert [result["outcome"] for result in answer["results"]] == [
        "accepted",
        "accepted",
        "rejected",
    ]
    batch = api.get(f"/batches/{answer['id']}").json()
    assert (batch["counts"]["scheduled"], batch["counts"]["queued"]) == (1, 1)
    cancelled = api.post(f"/batches/{answer['id']}/cancel").json()
    assert cancelled["cancelled"] == 2


def test_a_repeated_member_is_answered_as_it_is_now(api: API, tenant: Any) -> None:
    template(tenant, "comments")
    body = {**SMS, "digest": RULE, "idempotency_key": "k"}
    first = api.post("/notify", body)
    again = api.post("/notify", body)
    assert (again.status_code, again["Idempotent-Replayed"]) == (200, "true")
    assert again.json()["id"] == first.json()["id"]
    assert api.post("/notify", {**body, "digest": {**RULE, "key": "x"}}).status_code == 422
    assert Digest.objects.filter(count=1).count() == 1
