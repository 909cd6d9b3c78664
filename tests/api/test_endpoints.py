"""The endpoints for webhooks over HTTP: strict, isolated, and a secret is seen once."""

import json
from typing import Any
from uuid import uuid4

import pytest

from notifications.enums import DisabledReason
from notifications.models import Endpoint, Tenant
from notifications.pipeline import endpoints
from tests.api.conftest import API

pytestmark = pytest.mark.django_db

URL = "https://example.com/hook"


def create(api: API, **fields: Any) -> dict[str, Any]:
    response = api.post("/endpoints", {"url": URL, **fields})
    assert response.status_code == 201, response.content
    return dict(response.json())


def patch(api: API, id: str, body: Any) -> Any:
    return api.request("PATCH", f"/endpoints/{id}", json.dumps(body))


def errors(response: Any) -> dict[str, str]:
    assert response.status_code == 400
    return {error["pointer"]: error["code"] for error in response.json()["errors"]}


def test_an_endpoint_is_registered_and_can_be_looked_at(api: API) -> None:
    response = api.post("/endpoints", {"url": URL, "events": ["notification.failed"]})
    made = response.json()
    secret = made.pop("secret")
    assert secret.startswith("whsec_")
    assert response["Location"] == f"http://testserver/endpoints/{made['id']}"
    assert (made["url"], made["events"]) == (URL, ["notification.failed"])
    assert api.get(f"/endpoints/{made['id']}").json() == made
    assert api.get("/endpoints").json() == {"results": [made]}


def test_the_secret_is_shown_by_what_made_it_and_nothing_else(api: API) -> None:
    made = create(api)
    rotated = api.post(f"/endpoints/{made['id']}/rotate").json()
    assert rotated["secret"] != made["secret"]
    assert rotated["former_secret_until"]
    id = made["id"]
    answers = [
        api.get("/endpoints"),
        api.get(f"/endpoints/{id}"),
        patch(api, id, {"description": "ours"}),
        api.post(f"/endpoints/{id}/enable"),
    ]
    for response in answers:
        assert response.status_code == 200
        assert b"whsec_" not in response.content
        assert b"secret" not in response.content.replace(b"former_secret_until", b"")


def test_a_rotation_keeps_the_former_secret_alive(api: API) -> None:
    made = create(api)
    rotated = api.post(f"/endpoints/{made['id']}/rotate").json()
    live = endpoints.live_secrets(Endpoint.objects.get())
    assert live == (rotated["secret"], made["secret"])


def test_the_default_secret_is_had_by_rotating_it(api: API, tenant: Tenant) -> None:
    first = api.post("/endpoints/default/rotate").json()
    assert (first["id"], first["url"]) == ("default", None)
    second = api.post("/endpoints/default/rotate").json()
    assert endpoints.live_secrets(endpoints.default_of(tenant)) == (
        second["secret"],
        first["secret"],
    )
    assert api.get("/endpoints").json() == {"results": []}
    assert api.get("/endpoints/default").status_code == 404
    assert api.get(f"/endpoints/{endpoints.default_of(tenant).pk}").status_code == 404


def test_what_is_given_is_changed_and_nothing_else(api: API) -> None:
    made = create(api, events=["notification.*"], description="old")
    changed = patch(api, made["id"], {"description": "new"}).json()
    assert changed == {**{k: v for k, v in made.items() if k != "secret"}, "description": "new"}
    assert patch(api, made["id"], {}).json() == changed
    moved = patch(api, made["id"], {"url": f"{URL}/2", "events": []}).json()
    assert moved == {**changed, "url": f"{URL}/2", "events": []}


def test_a_url_is_registered_once_for_each_tenant(api: API, stranger_api: API) -> None:
    create(api)
    assert api.post("/endpoints", {"url": URL}).json()["code"] == "not_possible"
    assert api.post("/endpoints", {"url": URL}).status_code == 409
    create(stranger_api)
    other = create(api, url=f"{URL}/2")
    assert patch(api, other["id"], {"url": URL}).status_code == 409


def test_there_is_a_most_of_them(api: API, tenant: Tenant) -> None:
    for n in range(endpoints.ENDPOINTS_MAX):
        endpoints.create(tenant, f"{URL}/{n}")
    endpoints.default_of(tenant)
    response = api.post("/endpoints", {"url": URL})
    assert (response.status_code, response.json()["code"]) == (409, "not_possible")


def test_what_is_deleted_is_gone(api: API) -> None:
    made = create(api)
    assert api.request("DELETE", f"/endpoints/{made['id']}").status_code == 204
    assert api.get(f"/endpoints/{made['id']}").status_code == 404
    assert api.request("DELETE", f"/endpoints/{made['id']}").status_code == 404


def test_a_disabled_endpoint_says_why_and_can_be_enabled(api: API) -> None:
    made = create(api)
    endpoints.disable(Endpoint.objects.get(), DisabledReason.GONE)
    shown = api.get(f"/endpoints/{made['id']}").json()
    assert (shown["is_active"], shown["disabled_reason"]) == (False, "gone")
    enabled = api.post(f"/endpoints/{made['id']}/enable").json()
    assert (enabled["is_active"], enabled["disabled_reason"]) == (True, None)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"/url": "required"}),
        ({"url": None}, {"/url": "invalid_type"}),
        ({"url": ""}, {"/url": "invalid_url"}),
        ({"url": "http://example.com/"}, {"/url": "invalid_url"}),
        ({"url": "https://127.0.0.1/"}, {"/url": "invalid_url"}),
        ({"url": "https://169.254.169.254/"}, {"/url": "invalid_url"}),
        ({"url": "https://localhost/"}, {"/url": "invalid_url"}),
        ({"url": URL, "tenant": "other"}, {"/tenant": "unknown_field"}),
        ({"url": URL, "secret": "whsec_x"}, {"/secret": "unknown_field"}),
        ({"url": URL, "is_active": False}, {"/is_active": "unknown_field"}),
        ({"url": URL, "id": "x", "a/b": 1}, {"/id": "unknown_field", "/a~1b": "unknown_field"}),
        ({"url": URL, "description": 7}, {"/description": "invalid_type"}),
        ({"url": URL, "description": "a\nb"}, {"/description": "invalid_description"}),
        ({"url": URL, "description": "a" * 201}, {"/description": "invalid_description"}),
        ({"url": URL, "events": "notification.*"}, {"/events": "invalid_events"}),
        ({"url": URL, "events": ["*"]}, {"/events": "invalid_events"}),
        ({"url": URL, "events": [{}]}, {"/events": "invalid_events"}),
    ],
)
def test_what_is_not_right_is_refused_with_every_error(
    api: API, body: Any, expected: dict[str, str]
) -> None:
    assert errors(api.post("/endpoints", body)) == expected
    assert not Endpoint.objects.exists()


def test_a_change_is_judged_as_strictly(api: API) -> None:
    made = create(api)
    assert errors(patch(api, made["id"], {"url": "ftp://x", "is_active": True})) == {
        "/url": "invalid_url",
        "/is_active": "unknown_field",
    }
    for action in ("rotate", "enable"):
        response = api.post(f"/endpoints/{made['id']}/{action}", {"url": URL})
        assert errors(response) == {"/url": "unknown_field"}
    assert api.get("/endpoints?page=1").status_code == 400


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_another_tenant_changes_and_deletes_nothing(
    api: API, stranger_api: API, method: str
) -> None:
    made = create(api)
    before = Endpoint.objects.values().get()
    answers = []
    for id in (made["id"], uuid4()):
        response = stranger_api.request(method, f"/endpoints/{id}", "{}")
        answers.append({**response.json(), "request_id": ""})
    assert answers[0] == answers[1]
    assert answers[0]["status"] == 404
    assert Endpoint.objects.values().get() == before
