"""Tenants and API keys in the admin: what is shown once, and what never is."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from notifications.api_keys import split
from notifications.models import APIKey, Tenant
from notifications.pipeline import policy

KEYS = "/admin/notifications/apikey/"
NEW_KEY = "/admin/notifications/apikey/add/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant() -> Tenant:
    return Tenant.objects.create(name="shop")


def create(client: Client, tenant: Tenant, **extra: Any) -> Any:
    scopes = ["notify", "read", "manage"]
    sent = {"tenant": str(tenant.pk), "name": "till", "scopes": scopes, **extra}
    return client.post(NEW_KEY, sent)


def token_on(response: Any) -> str:
    [token] = re.findall(r"nk_live_[A-Za-z0-9_-]+", response.content.decode())
    return str(token)


def test_a_new_key_is_shown_in_the_answer_and_opens_the_door(
    admin_client: Client, tenant: Tenant
) -> None:
    response = create(admin_client, tenant)
    key = APIKey.objects.get()
    assert split(token_on(response)) == (key.public_id, key.digest)
    assert (key.tenant, key.name) == (tenant, "till")


def test_a_new_key_is_shown_this_once_and_kept_nowhere(
    admin_client: Client, tenant: Tenant
) -> None:
    response = create(admin_client, tenant)
    secret = token_on(response)[17:-7]
    assert len(secret) == 43
    key = APIKey.objects.get()
    assert "no-store" in response["Cache-Control"]
    assert secret not in str(response.cookies) + str(admin_client.cookies)
    assert secret not in _dump()
    for url in (KEYS, reverse("admin:notifications_apikey_change", args=[key.pk])):
        page = admin_client.get(url).content.decode()
        assert secret not in page
        assert key.digest not in page


def _dump() -> str:
    """Every row of every table, as text."""
    rows = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            rows += cursor.fetchall()
    return str(rows)


def test_a_key_that_would_never_work_is_refused(admin_client: Client, tenant: Tenant) -> None:
    past = timezone.now() - timedelta(days=1)
    day, time = past.strftime("%Y-%m-%d %H:%M:%S").split()
    response = create(admin_client, tenant, expires_at_0=day, expires_at_1=time)
    assert "would never work" in response.content.decode()
    assert not APIKey.objects.exists()


def test_a_key_is_made_for_the_scopes_that_are_ticked(admin_client: Client, tenant: Tenant) -> None:
    page = admin_client.get(NEW_KEY).content.decode()
    assert len(re.findall(r'name="scopes"[^>]* checked', page)) == 3
    create(admin_client, tenant, scopes=["notify"])
    assert APIKey.objects.get().scopes == ["notify"]
    assert "notify" in admin_client.get(KEYS).content.decode()
    for scopes in ([], ["everything"]):
        create(admin_client, tenant, scopes=scopes)
    assert APIKey.objects.count() == 1


def test_revoking_is_for_good(admin_client: Client, tenant: Tenant) -> None:
    create(admin_client, tenant)
    key = APIKey.objects.get()
    data = {"action": "revoke", ACTION_CHECKBOX_NAME: [str(key.pk)]}
    assert "1 API key revoked." in admin_client.post(KEYS, data, follow=True).content.decode()
    first = APIKey.objects.get().revoked_at
    assert first is not None
    assert not APIKey.objects.live().exists()
    admin_client.post(KEYS, data)
    change = reverse("admin:notifications_apikey_change", args=[key.pk])
    admin_client.post(change, {"name": "till", "revoked_at_0": "", "revoked_at_1": ""})
    assert APIKey.objects.get().revoked_at == first


def test_a_key_can_be_renamed_and_nothing_else(admin_client: Client, tenant: Tenant) -> None:
    create(admin_client, tenant)
    before = APIKey.objects.get()
    other = Tenant.objects.create(name="other")
    change = reverse("admin:notifications_apikey_change", args=[before.pk])
    admin_client.post(change, {"name": "desk", "tenant": str(other.pk), "digest": "0" * 64})
    after = APIKey.objects.get()
    assert (after.name, after.tenant, after.digest) == ("desk", tenant, before.digest)
    admin_client.post(change, {"name": "desk", "scopes": ["notify"]})
    assert APIKey.objects.get().scopes == before.scopes


def test_keys_and_tenants_cannot_be_deleted(admin_client: Client, tenant: Tenant) -> None:
    create(admin_client, tenant)
    for model, pk in (("apikey", APIKey.objects.get().pk), ("tenant", tenant.pk)):
        url = reverse(f"admin:notifications_{model}_delete", args=[pk])
        assert admin_client.post(url, {"post": "yes"}).status_code == 403


def test_a_tenant_switched_off_is_held_at_once(
    admin_client: Client, tenant: Tenant, django_capture_on_commit_callbacks: Any
) -> None:
    assert "shop" not in policy.current().disabled
    url = reverse("admin:notifications_tenant_change", args=[tenant.pk])
    with django_capture_on_commit_callbacks(execute=True):
        admin_client.post(url, {})
    assert "shop" in policy.current().disabled


def test_a_tenant_is_given_a_limit_of_its_own(admin_client: Client, tenant: Tenant) -> None:
    url = reverse("admin:notifications_tenant_change", args=[tenant.pk])
    admin_client.post(url, {"is_active": "on", "api_rate_limit": "many"})
    tenant.refresh_from_db()
    assert tenant.api_rate_limit == ""
    admin_client.post(url, {"is_active": "on", "api_rate_limit": "50/s, 5000/d"})
    tenant.refresh_from_db()
    assert tenant.api_rate_limit == "50/s, 5000/d"


def test_a_tenant_keeps_its_name(admin_client: Client, tenant: Tenant) -> None:
    url = reverse("admin:notifications_tenant_change", args=[tenant.pk])
    admin_client.post(url, {"name": "other", "is_active": "on"})
    tenant.refresh_from_db()
    assert tenant.name == "shop"


def test_a_tenant_can_be_added(admin_client: Client) -> None:
    add = reverse("admin:notifications_tenant_add")
    admin_client.post(add, {"name": "new-shop", "is_active": "on"})
    assert Tenant.objects.filter(name="new-shop", is_active=True).exists()
    assert "valid" in admin_client.post(add, {"name": "New Shop"}).content.decode()
