"""Who is let in: everything wrong with a key looks the same from outside."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client

from notifications.api import authentication
from notifications.api_keys import make_key
from notifications.models import APIKey, Tenant
from tests.api.conftest import API, new_key

pytestmark = pytest.mark.django_db

PATH = "/notifications"


def refusal(header: str | None) -> tuple[int, str, dict[str, object]]:
    headers = {} if header is None else {"Authorization": header}
    response = Client(raise_request_exception=False).get(PATH, headers=headers)
    body = response.json()
    body.pop("request_id")
    return response.status_code, response.headers.get("WWW-Authenticate", ""), body


def test_a_live_key_opens_the_door(api: API) -> None:
    assert api.get(PATH).status_code == 200


def test_whatever_is_wrong_with_a_key_the_answer_is_the_same(tenant: Tenant) -> None:
    good = new_key(tenant)
    past = datetime.now(UTC) - timedelta(seconds=1)
    revoked, expired = new_key(tenant, revoked_at=past), new_key(tenant, expires_at=past)
    other_secret = make_key()
    APIKey.objects.create(tenant=tenant, public_id=other_secret.public_id, digest=good.digest)
    headers = [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer  " + good.token,
        "Basic " + good.token,
        "Basic YWRhOnB3",
        good.token,
        f"Bearer {good.token} ",
        f"Bearer {good.token}, Bearer {good.token}",
        f"Bearer {good.token[:-1]}",
        f"Bearer {good.token}x",
        f"Bearer {good.token[:-1]}{'a' if good.token[-1] != 'a' else 'b'}",
        "Bearer nk_live_é",
        "Bearer ŋκ",
        "Bearer " + "x" * 10_000,
        "Bearer " + good.token * 100,
        "Bearer \x00",
        f"Bearer {make_key().token}",
        f"Bearer {revoked.token}",
        f"Bearer {expired.token}",
        f"Bearer {other_secret.token}",
    ]
    answers = [refusal(header) for header in headers]
    assert answers == [answers[0]] * len(headers)
    assert answers[0][:2] == (401, "Bearer")


@pytest.mark.parametrize("scheme", ["bearer", "BEARER"])
def test_the_scheme_is_read_in_any_capitals(tenant: Tenant, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {new_key(tenant).token}"}
    assert Client().get(PATH, headers=headers).status_code == 200


def test_a_key_that_expires_later_opens_the_door(tenant: Tenant) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    assert API(new_key(tenant, expires_at=later).token).get(PATH).status_code == 200


def test_two_keys_of_a_tenant_open_the_door_side_by_side(tenant: Tenant) -> None:
    tokens = [new_key(tenant).token for _ in range(2)]
    assert [API(token).get(PATH).status_code for token in tokens] == [200, 200]


def test_a_disabled_tenant_is_told_so(api: API, tenant: Tenant) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(is_active=False)
    response = api.get(PATH)
    assert (response.status_code, response.json()["code"]) == (403, "tenant_disabled")


def test_a_disabled_tenant_is_told_so_only_behind_its_key(tenant: Tenant) -> None:
    Tenant.objects.filter(pk=tenant.pk).update(is_active=False)
    assert API(make_key().token).get(PATH).status_code == 401


def test_a_revoked_key_is_refused_within_five_seconds(api: API) -> None:
    assert api.get(PATH).status_code == 200
    APIKey.objects.update(revoked_at=datetime.now(UTC))
    deadline = time.monotonic() + 8
    while api.get(PATH).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert api.get(PATH).status_code == 401


def test_a_key_that_expires_is_refused_within_five_seconds(tenant: Tenant) -> None:
    api = API(new_key(tenant, expires_at=datetime.now(UTC) + timedelta(seconds=1)).token)
    assert api.get(PATH).status_code == 200
    deadline = time.monotonic() + 9
    while api.get(PATH).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_key_is_looked_up_once_for_many_requests(
    api: API, django_assert_num_queries: object
) -> None:
    api.get(PATH)
    with django_assert_num_queries(1):  # type: ignore[operator] - pytest-django gives no type
        api.get(PATH)


def test_made_up_keys_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authentication, "CACHE_MAX", 5)
    for _ in range(20):
        assert refusal(f"Bearer {make_key().token}")[0] == 401
    assert len(authentication._keys) <= 5


def test_the_use_of_a_key_is_noted_once_a_minute(api: API) -> None:
    api.get(PATH)
    first = APIKey.objects.get().last_used_at
    api.get(PATH)
    assert first is not None
    assert APIKey.objects.get().last_used_at == first


def test_a_refused_key_is_not_noted_as_used(tenant: Tenant) -> None:
    key = new_key(tenant)
    refusal(f"Bearer {key.token[:-1]}")
    assert APIKey.objects.get().last_used_at is None


def test_the_secret_is_nowhere_in_the_database(api: API) -> None:
    assert api.token is not None
    secret = api.token.split("_", 3)[3][:43]
    assert not any(secret in str(value) for value in APIKey.objects.values().get().values())


def test_a_session_opens_nothing(admin_client: Client) -> None:
    assert admin_client.get(PATH).status_code == 401
