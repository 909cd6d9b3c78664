"""The link to unsubscribe: looked at by scanners, posted to by people and mail programs."""

from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from django.core import signing
from django.test import Client
from pytest_django import Settings

from notifications.enums import SuppressionReason
from notifications.models import Suppression, Tenant
from notifications.pipeline.suppress import Target
from notifications.pipeline.unsubscribe import SALT, Link, link_of, read, url_of
from tests.api.conftest import stored

pytestmark = pytest.mark.django_db

ONE_CLICK = "List-Unsubscribe=One-Click"


@pytest.fixture(autouse=True)
def _public(settings: Settings) -> None:
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "PUBLIC_URL": "https://notify.example.com"}


@pytest.fixture
def path(tenant: Tenant) -> str:
    url = url_of(Target(tenant.pk, "email", "ada@example.com"))
    assert url.startswith("https://notify.example.com/unsubscribe/")
    return urlsplit(url).path


def post(path: str, body: str = ONE_CLICK) -> Any:
    client = Client(enforce_csrf_checks=True)
    return client.post(path, body, content_type="application/x-www-form-urlencoded")


def test_to_look_at_it_changes_nothing(path: str) -> None:
    for method in ("get", "head"):
        page = getattr(Client(), method)(path)
        assert page.status_code == 200
        assert not page.cookies
    assert not Suppression.objects.exists()


def test_the_page_has_a_button_and_tells_nothing_to_others(path: str) -> None:
    page = Client().get(path)
    text = page.content.decode()
    assert '<form method="post">' in text
    assert "ada" not in text
    assert page["Referrer-Policy"] == "no-referrer"
    assert page["Cache-Control"] == "no-store"
    assert "default-src 'none'" in page["Content-Security-Policy"]


@pytest.mark.parametrize("body", [ONE_CLICK, "", "x" * 10_000])
def test_a_post_unsubscribes_without_cookie_or_key_as_often_as_it_comes(
    path: str, tenant: Tenant, body: str
) -> None:
    for _ in range(2):
        page = post(path, body)
        assert page.status_code == 200
        assert "You are unsubscribed" in page.content.decode()
        assert not page.cookies
    row = Suppression.objects.get()
    assert (row.tenant, row.channel, row.recipient) == (tenant, "email", "ada@example.com")
    assert (row.reason, row.expires_at) == (SuppressionReason.UNSUBSCRIBE, None)


def test_who_has_complained_stays_so(path: str, tenant: Tenant) -> None:
    Suppression.objects.create(
        tenant=tenant, channel="email", recipient="ada@example.com", reason="complaint"
    )
    assert post(path).status_code == 200
    assert Suppression.objects.get().reason == "complaint"


def test_a_token_that_is_none_of_ours_is_a_404(path: str, tenant: Tenant) -> None:
    other = signing.dumps([tenant.pk, "email", "ada@example.com"], salt="another purpose")
    tokens = ["x", "%00", "a:b:c", other, path.rpartition("/")[2][:-1], "é" * 9, "1" * 5000]
    for token in tokens:
        for answer in (Client().get(f"/unsubscribe/{token}"), post(f"/unsubscribe/{token}")):
            assert answer.status_code == 404, token
    assert not Suppression.objects.exists()


def test_the_link_outlives_the_tenant_without_harm(path: str, tenant: Tenant) -> None:
    tenant.delete()
    assert post(path).status_code == 404


def test_the_link_outlives_a_key_that_is_kept_as_a_fallback(path: str, settings: Settings) -> None:
    old = settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another key", [old]
    assert post(path).status_code == 200
    settings.SECRET_KEY_FALLBACKS = []
    assert post(path).status_code == 404


def test_the_token_says_whom_it_is_for_in_one_part_of_a_path(tenant: Tenant) -> None:
    target = Target(tenant.pk, "email", "ada+x/y@example.com")
    token = url_of(target).rpartition("/")[2]
    assert read(token) == Link(*target)
    assert quote(token, safe=":") == token
    assert signing.loads(token, salt=SALT) == list(target)


def test_what_is_transactional_has_no_link(tenant: Tenant) -> None:
    assert link_of(stored(tenant)) == ""
