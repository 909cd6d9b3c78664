"""The pages of the admin as a reader of another language has them."""

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.test import Client
from django.urls import reverse
from django.utils.translation import override

from notifications.enums import Channel, State
from notifications.models import Notification, Tenant

LIST = "/admin/notifications/notification/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def failed() -> Notification:
    return Notification.objects.create(
        tenant=Tenant.objects.create(name="shop"),
        channel=Channel.EMAIL,
        to="ada@example.com",
        content={"subject": "Hello"},
        fingerprint="0" * 64,
        state=State.FAILED,
        idempotency_key=str(uuid4()),
    )


def page(client: Client, path: str) -> str:
    with override("de"):
        response: Any = client.get(path)
        assert response.status_code == 200
        return str(response.content.decode())


def test_the_list_and_its_columns(admin_client: Client, failed: Notification) -> None:
    text = page(admin_client, LIST)
    for german in ("Empfänger", "Als CSV ausgeben", "Ausgewählte Benachrichtigungen wiederholen"):
        assert german in text


def test_the_page_of_a_notification(admin_client: Client, failed: Notification) -> None:
    text = page(admin_client, reverse("admin:notifications_notification_change", args=[failed.pk]))
    for german in ("Verlauf", "Angenommen", "Zustellung", "Wiederholen"):
        assert german in text


@pytest.mark.parametrize(
    ("path", "german"),
    [
        ("dashboard/", "kein Worker gesehen"),
        ("dashboard/pause/", "Nichts davon wird mehr gesendet"),
        ("job/add/", "Viele wiederholen oder abbrechen"),
        ("suppression/import/", "Sperren einlesen"),
        ("notification/export/", "Herunterladen"),
    ],
)
def test_the_other_pages(admin_client: Client, path: str, german: str) -> None:
    assert german in page(admin_client, f"/admin/notifications/{path}")


def test_what_an_action_says(admin_client: Client, failed: Notification) -> None:
    data = {"action": "retry_selected", ACTION_CHECKBOX_NAME: [str(failed.pk)]}
    with override("de"):
        response: Any = admin_client.post(LIST, data, follow=True)
    [message] = response.context["messages"]
    assert str(message) == "1 Benachrichtigung wieder in der Warteschlange."
