"""What holds for every route: found in the URL configuration, so a new one is in it too."""

import json
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from notifications.models import Notification, Tenant
from tests.api.conftest import API
from tests.api.routes import Route, routes, tenant_routes

pytestmark = pytest.mark.django_db

WRITING = ("post", "put", "patch")
LARGEST = 4 * 1024 * 1024
OURS = ("tenant", "tenant_id", "status", "state", "id", "created_at", "provider", "attempts")

every = pytest.mark.parametrize("route", routes(), ids=str)
of_tenants = pytest.mark.parametrize("route", tenant_routes(), ids=str)
with_body = pytest.mark.parametrize(
    "route", [route for route in tenant_routes() if route.method in WRITING], ids=str
)


def ask(api: API, route: Route, data: Any = b"", **headers: str) -> Any:
    return api.request(route.method.upper(), route.at(uuid4()), data, **headers)


@of_tenants
def test_without_a_key_nobody_gets_further_than_the_door(route: Route, anybody: API) -> None:
    response = ask(anybody, route, b"x" * LARGEST)
    assert (response.status_code, response["WWW-Authenticate"]) == (401, "Bearer")


@of_tenants
def test_a_session_of_the_admin_is_no_key(route: Route, anybody: API) -> None:
    anybody.client.force_login(User.objects.create_superuser("root"))
    assert ask(anybody, route).status_code == 401


@of_tenants
def test_a_disabled_tenant_is_refused(route: Route, api: API, tenant: Tenant) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(is_active=False)
    response = ask(api, route)
    assert (response.status_code, response.json()["code"]) == (403, "tenant_disabled")


@of_tenants
def test_an_unknown_parameter_is_refused(route: Route, api: API) -> None:
    response = api.request(route.method.upper(), f"{route.at(uuid4())}?nonsense=1")
    assert (response.status_code, response.json()["code"]) == (400, "invalid_query")


@with_body
def test_nobody_sets_what_is_ours(route: Route, api: API) -> None:
    sent: Any = dict.fromkeys(OURS, "x")
    if route.name == "notify-batch":  # its items are judged one by one
        sent = {"notifications": [sent]}
    response = ask(api, route, json.dumps(sent))
    assert response.status_code == 400
    errors = response.json()["errors"]
    refused = {e["pointer"].split("/")[-1] for e in errors if e["code"] == "unknown_field"}
    assert refused >= set(OURS)


@with_body
def test_a_body_over_the_limit_is_refused_before_it_is_read(route: Route, api: API) -> None:
    response = ask(api, route, b'{"a": "' + b"x" * LARGEST + b'"}')
    assert (response.status_code, response.json()["code"]) == (413, "body_too_large")


@with_body
def test_an_encoded_body_is_refused(route: Route, api: API) -> None:
    for encoding in ("gzip", "br", "zstd", "deflate"):
        assert ask(api, route, b"{}", Content_Encoding=encoding).status_code == 415


@with_body
def test_what_is_no_json_is_refused(route: Route, api: API) -> None:
    assert ask(api, route, b"a=1", Content_Type="text/plain").status_code == 415
    assert ask(api, route, b"{", Content_Type="application/json").status_code == 400
    deep = b'{"a":' * 50 + b"1" + b"}" * 50
    assert ask(api, route, deep).json()["code"] == "invalid_json"


@every
def test_no_page_elsewhere_may_read_it_and_nothing_is_kept_in_cookies(
    route: Route, api: API
) -> None:
    at = route.at(uuid4())
    headers = {"Origin": "https://elsewhere.example", "Authorization": f"Bearer {api.token}"}
    for method in (route.method.upper(), "OPTIONS"):
        response = api.client.generic(method, at, headers=headers)
        assert not [name for name in response.headers if name.startswith("Access-Control")]
        assert not response.cookies
        assert response["X-Content-Type-Options"] == "nosniff"


@every
def test_what_it_answers_is_never_a_page_of_debugging(route: Route, api: API) -> None:
    response = api.client.generic(route.method.upper(), route.at("%00%ff"), b"\xff" * 100)
    assert response.status_code < 500 or route.name == "readyz"  # which is not, without a worker
    assert "Traceback" not in response.content.decode(errors="replace")


def test_ids_cannot_be_counted_up(tenant: Tenant) -> None:
    assert Notification._meta.pk.get_default().version == 7
    assert all("<int:" not in route.path for route in routes())


def test_the_way_into_the_admin_is_not_open_to_the_api(api: API) -> None:
    url = reverse("admin:notifications_notification_changelist")
    response = Client().get(url, headers={"Authorization": f"Bearer {api.token}"})
    assert response.status_code == 302
    assert "/admin/login/" in response["Location"]
