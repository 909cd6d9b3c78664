"""How many requests a tenant may make, counted by the gates and hardly ever asked of them."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from notifications.api import request_limit
from notifications.api.authentication import forget_keys
from notifications.api.problems import Refused
from notifications.api.request_limit import count_request, forget_requests
from notifications.models import Tenant
from tests.api.conftest import API, EMAIL, new_key
from tests.api.routes import Route, tenant_routes

pytestmark = pytest.mark.django_db

PATH = "/templates"
NOBODY = "redis://127.0.0.1:1/0"


@pytest.fixture(autouse=True)
def _requests_are_counted_anew() -> Iterator[None]:
    forget_requests()
    yield
    forget_requests()


def limited(rate: str, **more: Any) -> Any:
    return override_settings(NOTIFICATIONS={"API_RATE_LIMIT": rate, **more})


def statuses(api: API, requests: int) -> list[int]:
    return [api.get(PATH).status_code for _ in range(requests)]


def test_without_a_limit_nothing_is_asked_of_the_gates(api: API) -> None:
    api.get(PATH)
    with CaptureQueriesContext(connection) as queries:
        assert statuses(api, 20) == [200] * 20
    assert not any("ratebucket" in query["sql"] for query in queries)


def test_what_is_too_much_is_told_when_to_come_back(api: API) -> None:
    with limited("5/d"):
        assert statuses(api, 5) == [200] * 5
        response = api.get(PATH)
    assert (response.status_code, response.json()["code"]) == (429, "too_many_requests")
    assert 17_000 < int(response["Retry-After"]) <= 17_280
    assert response["RateLimit"] == f'"5/d";r=0;t={response["Retry-After"]}'
    assert response["RateLimit-Policy"] == '"5/d";q=5;w=86400'


@pytest.mark.parametrize("route", tenant_routes(), ids=str)
def test_every_route_of_a_tenant_counts(route: Route, api: API) -> None:
    with limited("1/d"):
        assert api.get(PATH).status_code == 200
        assert api.request(route.method.upper(), route.at("x")).status_code == 429


def test_nothing_is_stored_of_what_was_refused_and_its_key_is_not_used(api: API) -> None:
    with limited("1/d"):
        api.get(PATH)
        assert api.post("/notify", EMAIL, Idempotency_Key="k").status_code == 429
    assert api.post("/notify", EMAIL, Idempotency_Key="k").status_code == 202


def test_the_limit_is_over_when_it_says_so(api: API) -> None:
    with limited("1/s"):
        assert statuses(api, 2) == [200, 429]
        time.sleep(int(api.get(PATH)["Retry-After"]))
        assert api.get(PATH).status_code == 200


def test_a_tenant_s_limit_is_not_another_s(api: API, stranger_api: API) -> None:
    with limited("1/d"):
        assert statuses(api, 2) == [200, 429]
        assert statuses(stranger_api, 2) == [200, 429]


def test_all_keys_of_a_tenant_share_its_limit(api: API, tenant: Tenant) -> None:
    with limited("1/d"):
        assert statuses(api, 1) + statuses(API(new_key(tenant).token), 1) == [200, 429]


def test_a_tenant_may_have_a_limit_of_its_own(api: API, stranger_api: API, tenant: Tenant) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(api_rate_limit="2/d, 100/s")
    forget_keys()
    assert statuses(api, 3) == [200, 200, 429]
    assert statuses(stranger_api, 3) == [200] * 3


def test_a_wrong_key_costs_its_would_be_tenant_nothing(api: API, tenant: Tenant) -> None:
    with limited("1/d"):
        assert API(new_key(tenant).token[:-1] + "_").get(PATH).status_code == 401
        assert api.get(PATH).status_code == 200


def test_a_request_costs_a_fraction_of_a_statement_and_a_refused_one_none(tenant: Tenant) -> None:
    with limited("200/d"), CaptureQueriesContext(connection) as queries:
        for _ in range(200):
            count_request(tenant)
        of_admitted = len(queries)
        for _ in range(200):
            with pytest.raises(Refused):
                count_request(tenant)
    assert of_admitted < 200 / 2  # a request alone has four: two savepoints of the test's own
    assert len(queries) - of_admitted < 10


def test_no_more_go_than_the_limit_lets_however_many_ask_at_once(tenant: Tenant) -> None:
    """In memory, where the accounts are shared by the threads of a server."""
    with limited("100/d", GATES=redis_away()), ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: passes(tenant), range(200)))
    assert 1 <= sum(answers) <= 10


def test_without_its_redis_it_never_fails_and_never_stops(api: API) -> None:
    """A share of the rate holds for each process: ten of a hundred, at once."""
    with limited("100/s", GATES=redis_away()):
        found = statuses(api, 60)
        assert set(found) <= {200, 429}
        assert found.count(200) >= 10
        time.sleep(1)
        assert api.get(PATH).status_code == 200


def passes(tenant: Tenant) -> bool:
    try:
        count_request(tenant)
    except Refused:
        return False
    return True


def redis_away() -> dict[str, Any]:
    return {"BACKEND": "notifications.gates.redis", "OPTIONS": {"URL": NOBODY}}


def test_redis_counts_for_all_processes(api: API, empty_redis: str) -> None:
    gates = {"BACKEND": "notifications.gates.redis", "OPTIONS": {"URL": empty_redis}}
    with limited("40/d", GATES=gates):
        assert statuses(api, 20) == [200] * 20
        request_limit.forget_requests()  # as another process would begin
        assert statuses(api, 21) == [200] * 20 + [429]
