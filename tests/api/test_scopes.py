"""What a key may be used for: every method of every route states its scope, and holds to it."""

import json
from typing import Any
from uuid import uuid4

import pytest
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory

from notifications.api.base import TenantView
from notifications.api.openapi import DOCUMENT
from notifications.enums import KeyScope
from notifications.models import APIKey, Notification, Tenant
from tests.api.conftest import API, EMAIL, new_key, stored
from tests.api.routes import Route, routes, tenant_routes

pytestmark = pytest.mark.django_db

OPEN = {"unsubscribe", "receipts", "healthz", "readyz", "schema", "metrics", "docs"}
"""Routes without a key: to the links of recipients, to providers, and to operators."""

WRITES = {
    "notify": KeyScope.NOTIFY,
    "notify-batch": KeyScope.NOTIFY,
    "cancel": KeyScope.NOTIFY,
    "retry": KeyScope.NOTIFY,
    "cancel-batch": KeyScope.NOTIFY,
    "preview": KeyScope.READ,  # stores nothing
}
"""What is not `manage`, of all that is no GET."""

each_route = pytest.mark.parametrize("route", tenant_routes(), ids=str)


def ask(route: Route, tenant: Tenant, *scopes: str) -> Any:
    api = API(new_key(tenant, scopes=list(scopes)).token)
    return api.request(route.method.upper(), route.at(uuid4()), json.dumps(route.body))


def test_every_route_needs_a_key_or_is_meant_to_be_open() -> None:
    assert {route.name for route in routes() if not route.of_tenant} == OPEN


@each_route
def test_every_method_of_every_route_states_its_scope(route: Route) -> None:
    usual = KeyScope.READ if route.method == "get" else WRITES.get(route.name, KeyScope.MANAGE)
    assert route.view.scopes.get(route.method) == usual


@each_route
def test_the_document_tells_the_scope(route: Route) -> None:
    operation = DOCUMENT["paths"][route.path][route.method]
    assert operation["security"] == [{"bearer": [route.view.scopes[route.method]]}]


@each_route
def test_a_key_without_the_scope_is_refused_and_told_the_remedy(
    route: Route, tenant: Tenant
) -> None:
    scope = route.view.scopes[route.method]
    response = ask(route, tenant, *(set(KeyScope.values) - {scope}))
    assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")
    assert f"--scopes {scope}" in response.json()["detail"]
    assert response["WWW-Authenticate"] == f'Bearer error="insufficient_scope", scope="{scope}"'


@each_route
def test_a_key_with_this_scope_alone_comes_through(route: Route, tenant: Tenant) -> None:
    assert ask(route, tenant, route.view.scopes[route.method]).status_code in (200, 204, 400, 404)


def test_a_method_that_states_no_scope_is_refused_to_every_key(tenant: Tenant) -> None:
    class Careless(TenantView):
        def post(self, request: Request) -> Response:
            raise AssertionError("this must not be reached")

    token = new_key(tenant).token
    request = APIRequestFactory().post("/", headers={"Authorization": f"Bearer {token}"})
    assert Careless.as_view()(request).status_code == 403


def test_a_head_is_a_get_and_what_is_not_there_is_a_405(tenant: Tenant) -> None:
    sender = API(new_key(tenant, scopes=["notify"]).token)
    assert sender.client.head("/notifications", headers=bearer(sender)).status_code == 403
    for method in ("PUT", "TENANT", "INITIAL"):
        assert sender.client.generic(method, "/notify", headers=bearer(sender)).status_code == 405


def bearer(api: API) -> dict[str, str]:
    return {"Authorization": f"Bearer {api.token}"}


def test_a_key_that_only_sends_sees_nothing_and_one_that_only_reads_changes_nothing(
    tenant: Tenant,
) -> None:
    sender = API(new_key(tenant, scopes=["notify"]).token)
    reader = API(new_key(tenant, scopes=["read"]).token)
    id = sender.post("/notify", EMAIL).json()["id"]
    assert sender.get(f"/notifications/{id}").status_code == 403
    assert reader.get(f"/notifications/{id}").status_code == 200
    before = Notification.objects.values().get()
    assert reader.post(f"/notifications/{id}/cancel").status_code == 403
    assert reader.post("/notify", EMAIL).status_code == 403
    assert Notification.objects.values().get() == before
    assert sender.post(f"/notifications/{id}/cancel").status_code == 200


def test_a_missing_scope_does_not_tell_what_is_there(tenant: Tenant) -> None:
    row = stored(tenant)
    sender = API(new_key(tenant, scopes=["notify"]).token)
    answers = [sender.get(f"/notifications/{id}").json() for id in (row.pk, uuid4())]
    assert [answer["code"] for answer in answers] == ["insufficient_scope"] * 2


def test_a_key_of_which_nothing_is_said_may_do_everything(tenant: Tenant) -> None:
    new_key(tenant)
    assert APIKey.objects.get().scopes == ["notify", "read", "manage"]
