"""Another tenant's things are not there: for every route of the URL conf, found by looking."""

import json
from typing import Any
from uuid import uuid4

import pytest
from django.urls import URLPattern

from notifications import urls
from notifications.enums import State
from notifications.models import (
    Batch,
    Endpoint,
    Notification,
    Preference,
    Suppression,
    Template,
    Tenant,
)
from notifications.pipeline import endpoints
from tests.api.conftest import API, stored, template

pytestmark = pytest.mark.django_db

WITH_ID = {
    "notification": ("GET", "notification"),
    "cancel": ("POST", "notification"),
    "retry": ("POST", "notification"),
    "batch": ("GET", "batch"),
    "cancel-batch": ("POST", "batch"),
    "endpoint": ("GET", "endpoint"),
    "rotate-endpoint": ("POST", "endpoint"),
    "enable-endpoint": ("POST", "endpoint"),
    "template": ("GET", "template"),
    "preview": ("POST", "template"),
    "suppression": ("DELETE", "suppression"),
    "preference": ("DELETE", "preference"),
}
"""Each route that names an object: its method, and what it names."""

WITHOUT_ID = {
    "notify",
    "notify-batch",
    "notifications",
    "endpoints",
    "templates",
    "suppressions",
    "preferences",
    "receipts",
    "healthz",
    "readyz",
    "schema",
    "metrics",
    "docs",
    "unsubscribe",
    None,
}


def routes() -> dict[str | None, str]:
    patterns = [p for p in urls.urlpatterns if isinstance(p, URLPattern)]
    return {pattern.name: str(pattern.pattern) for pattern in patterns}


def test_every_route_is_known_here() -> None:
    """A new route belongs into one of the tables above, and so under the tests below."""
    with_id = {name for name, route in routes().items() if "<" in route} - WITHOUT_ID
    assert with_id == set(WITH_ID)
    assert set(routes()) - with_id <= WITHOUT_ID


def objects(tenant: Tenant, name: str = "") -> dict[str, Any]:
    """One of each, in a state in which the route `name` has its way."""
    batch = Batch.objects.create(tenant=tenant)
    state = State.FAILED if name == "retry" else State.QUEUED
    return {
        "batch": batch,
        "notification": stored(tenant, batch=batch, state=state),
        "endpoint": endpoints.create(tenant, "https://example.com/hook"),
        "template": template(tenant).template,
        "preference": Preference.objects.create(
            tenant=tenant, channel="email", recipient="ada@example.com"
        ),
        "suppression": Suppression.objects.create(
            tenant=tenant, channel="email", recipient="ada@example.com"
        ),
    }


def everything() -> list[dict[str, Any]]:
    models = (Notification, Endpoint, Preference, Suppression, Template)
    return [row for model in models for row in model._default_manager.values()]


def id_of(row: Any) -> str:
    """What the address calls it."""
    return row.name if isinstance(row, Template) else str(row.pk)


def answer(api: API, name: str, id: object) -> tuple[int, dict[str, Any]]:
    path = "/" + routes()[name].replace("<str:id>", str(id)).replace("<str:name>", str(id))
    response = api.request(WITH_ID[name][0], path)
    body = response.json() if response.content else {}
    body.pop("request_id", None)
    return response.status_code, body


@pytest.mark.parametrize("name", WITH_ID)
def test_another_tenant_s_object_is_a_404_like_a_random_id(
    name: str, api: API, stranger_api: API, tenant: Tenant
) -> None:
    found = objects(tenant, name)
    row = found[WITH_ID[name][1]]
    before = everything()
    random = answer(stranger_api, name, uuid4())
    assert answer(stranger_api, name, id_of(row)) == random
    assert random[0] == 404
    assert everything() == before
    assert answer(api, name, id_of(row))[0] < 300


@pytest.mark.parametrize("name", WITH_ID)
@pytest.mark.parametrize(
    "id",
    ["7", "x", "%00", "{{}}", "urn:uuid:{}", "%C3%A9", "..", "' OR 1=1 --", "0" * 32, "9" * 9000],
)
def test_an_id_that_is_none_is_a_404_like_a_random_one(name: str, id: str, api: API) -> None:
    made_up = id.replace("{}", str(uuid4()))
    assert answer(api, name, made_up) == answer(api, name, uuid4())


@pytest.mark.parametrize("name", [name for name in WITH_ID if "<str:id>" in routes()[name]])
def test_an_id_is_the_same_in_capitals(name: str, api: API, tenant: Tenant) -> None:
    row = objects(tenant, name)[WITH_ID[name][1]]
    assert answer(api, name, str(row.pk).upper())[0] < 300


@pytest.mark.parametrize("name", WITH_ID)
def test_a_stranger_without_a_key_learns_nothing(name: str, anybody: API, tenant: Tenant) -> None:
    row = objects(tenant, name)[WITH_ID[name][1]]
    assert answer(anybody, name, id_of(row)) == answer(anybody, name, uuid4())
    assert answer(anybody, name, id_of(row))[0] == 401


def test_the_list_shows_no_stranger_s_notifications(stranger_api: API, tenant: Tenant) -> None:
    found = objects(tenant)
    Notification.objects.update(idempotency_key="k", to="+14155550123")
    for query in ("", "?idempotency_key=k", f"?batch={found['batch'].pk}", "?to=%2B14155550123"):
        assert stranger_api.get(f"/notifications{query}").json()["results"] == []
    assert stranger_api.get("/templates").json()["results"] == []


def test_each_tenant_has_its_own_template_of_a_name(
    api: API, stranger_api: API, tenant: Tenant
) -> None:
    template(tenant, body="Ours")
    body = {"channel": "sms", "body": "Theirs"}
    assert stranger_api.request("PUT", "/templates/hello", json.dumps(body)).status_code == 201
    assert api.get("/templates/hello").json()["body"] == "Ours"
    sent = {"channel": "sms", "to": "+14155550123", "template": "hello"}
    assert stranger_api.post("/notify", sent).status_code == 202
    assert Notification.objects.get().content == {"body": "Theirs"}
    assert stranger_api.request("DELETE", "/templates/hello").status_code == 204
    assert stranger_api.post("/notify", sent).status_code == 400
    assert api.get("/templates/hello").status_code == 200
