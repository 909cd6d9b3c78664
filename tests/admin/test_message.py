"""What the page of a notification shows of its message, and when which times are of interest."""

import re
from typing import Any

import pytest
from django.core.mail import EmailMessage
from django.test import Client
from django.urls import reverse
from django.utils.html import strip_tags

from notifications import notify
from notifications.enums import State
from notifications.mail import EmailBackend
from notifications.models import Notification
from tests.pipeline.factories import attempt, fresh, sms

pytestmark = pytest.mark.django_db


def page(client: Client, row: Notification) -> str:
    address = reverse("admin:notifications_notification_change", args=[row.pk])
    return client.get(address).content.decode()


def parts(text: str) -> dict[str, str]:
    message = text[text.index('id="message"') : text.index("notification-details")]
    found = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", message, re.DOTALL)
    return {name: strip_tags(value) for name, value in found}


def email(**values: Any) -> Notification:
    return notify("email", to="ada@example.com", subject="Hello", body="Hello Ada", **values)


def test_an_email_shows_who_it_is_from_and_goes_to_with_recipients_masked(
    admin_client: Client,
) -> None:
    row = email(
        cc=["grace@example.com"],
        bcc=["alan@example.org", "kurt@example.org"],
        reply_to="Shop <answers@shop.example.com>",
        **{"from": "Shop <shop@example.com>"},
    )
    text = page(admin_client, row)
    shown = parts(text)
    assert shown["sender"] == "Shop &lt;shop@example.com&gt;"
    assert shown["cc"] == "g…@example.com"
    assert shown["bcc"] == "a…@example.org, k…@example.org"
    assert shown["reply to"] == "Shop &lt;answers@shop.example.com&gt;"
    for address in ("ada@example.com", "grace@", "alan@", "kurt@"):
        assert address not in text


def test_its_files_are_shown_by_name_type_and_size(admin_client: Client) -> None:
    files = [{"filename": "bill.pdf", "content": b"%PDF", "content_type": "application/pdf"}]
    text = page(admin_client, email(attachments=files))
    assert "bill.pdf (application/pdf, 4\xa0bytes)" in text


def test_each_of_several_recipients_of_django_s_mail_is_masked(admin_client: Client) -> None:
    to = ["ada@example.com", "Grace <grace@example.com>"]
    EmailBackend().send_messages([EmailMessage("Hello", "Hello", "shop@example.com", to)])
    text = page(admin_client, Notification.objects.get())
    assert parts(text)["to"] == "a…@example.com, g…@example.com"
    assert "grace@" not in text


def test_when_it_is_next_due_is_told_only_while_it_waits(admin_client: Client) -> None:
    row = sms()
    assert "next due" in page(admin_client, row)
    attempt(row)
    assert fresh(row).settled_at is not None
    assert "next due" not in page(admin_client, row)
    Notification.objects.update(state=State.FAILED)
    assert "next due" not in page(admin_client, row)


def test_without_a_template_none_is_named(admin_client: Client) -> None:
    text = page(admin_client, sms())
    assert "None" not in strip_tags(text)
