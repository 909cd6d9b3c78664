"""Endpoints in the admin: what is shown, what never is, and the switch."""

from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from notifications.enums import DisabledReason
from notifications.models import Endpoint, Tenant
from notifications.pipeline import endpoints

LIST = "/admin/notifications/endpoint/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def endpoint(db: None) -> Endpoint:
    shop = Tenant.objects.create(name="shop")
    endpoints.default_of(shop)
    return endpoints.rotate(endpoints.create(shop, "https://example.com/hook"))


def act(client: Client, action: str) -> Any:
    every = [str(pk) for pk in Endpoint.objects.values_list("pk", flat=True)]
    data = {"action": action, ACTION_CHECKBOX_NAME: every}
    return client.post(LIST, data, follow=True).content.decode()


def test_the_pages_show_how_it_fares_and_no_secret(
    admin_client: Client, endpoint: Endpoint
) -> None:
    change = reverse("admin:notifications_endpoint_change", args=[endpoint.pk])
    for url in (LIST, change):
        page = admin_client.get(url).content.decode()
        assert endpoint.url in page
        for kept in (endpoint.secret, endpoint.previous_secret, "whsec_"):
            assert kept not in page


def test_it_is_switched_off_and_on_and_that_is_logged(
    admin_client: Client, endpoint: Endpoint
) -> None:
    assert "1 endpoint disabled." in act(admin_client, "disable")
    endpoint.refresh_from_db()
    assert (endpoint.is_active, endpoint.disabled_reason) == (False, DisabledReason.REQUESTED)
    assert "1 endpoint enabled." in act(admin_client, "enable")
    endpoint.refresh_from_db()
    assert (endpoint.is_active, endpoint.disabled_reason) == (True, "")
    logged = LogEntry.objects.order_by("pk").values_list("change_message", flat=True)
    assert list(logged) == ["Disabled.", "Enabled."]


def test_nobody_adds_deletes_or_writes_there(admin_client: Client, endpoint: Endpoint) -> None:
    assert admin_client.get(f"{LIST}add/").status_code == 403
    assert admin_client.post(f"{LIST}{endpoint.pk}/delete/", {"post": "yes"}).status_code == 403
    admin_client.post(f"{LIST}{endpoint.pk}/change/", {"url": "https://example.com/other"})
    assert Endpoint.objects.get(pk=endpoint.pk).url == endpoint.url
