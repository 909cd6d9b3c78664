"""What recipients want, in the admin, and where it shows."""

from datetime import time
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse

from notifications import notify
from notifications.enums import Channel, Status
from notifications.messages import TemplateDraft
from notifications.models import Digest, Preference, Template, Tenant
from notifications.pipeline import digests
from notifications.pipeline.template_store import put
from notifications.quiet_hours import QuietHours

LIST = "/admin/notifications/preference/"
HOURS = {"quiet_from": "22:00", "quiet_until": "07:00", "time_zone": "Europe/Berlin"}

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant() -> Tenant:
    return Tenant.objects.create(name="shop")


def added(client: Client, tenant: Tenant, **values: str) -> Any:
    data = {"tenant": str(tenant.pk), "channel": "email", **values}
    return client.post(f"{LIST}add/", data, follow=True)


def changed(client: Client, row: Preference, **values: str) -> Any:
    return client.post(reverse("admin:notifications_preference_change", args=[row.pk]), values)


def test_one_is_added_changed_found_and_deleted(admin_client: Client, tenant: Tenant) -> None:
    added(admin_client, tenant, recipient="Ada@Example.com", opt_outs="news  tips", **HOURS)
    row = Preference.objects.get()
    assert (row.recipient, row.opt_outs) == ("ada@example.com", ["news", "tips"])
    assert row.quiet_hours == QuietHours(time(22), time(7), "Europe/Berlin")
    sent = {"to": "ada@example.com", "subject": "x", "body": "x", "category": "news"}
    assert notify("email", tenant="shop", **sent).status == Status.SUPPRESSED
    page = admin_client.get(reverse("admin:notifications_preference_change", args=[row.pk]))
    assert "news tips" in page.content.decode()
    changed(admin_client, row, opt_outs="tips")
    row.refresh_from_db()
    assert (row.opt_outs, row.quiet_hours) == (["tips"], None)
    assert notify("email", tenant="shop", **sent).status == Status.QUEUED
    for term, found in (("ADA@example.com", 1), ("ada", 0)):
        listed = admin_client.get(LIST, {"q": term})
        assert len(listed.context["cl"].result_list) == found
        assert "ada@example.com" not in listed.content.decode().replace(f'value="{term}"', "")
    delete = reverse("admin:notifications_preference_delete", args=[row.pk])
    admin_client.post(delete, {"post": "yes"})
    assert not Preference.objects.exists()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"recipient": "nobody"}, "write one address"),
        ({}, "is required"),
        ({"opt_outs": "No!"}, "lower-case letters"),
        ({"quiet_from": "22:00"}, "write hours and minutes"),
        ({**HOURS, "time_zone": "Mars"}, "write a time zone"),
        ({**HOURS, "quiet_until": "22:00"}, "must not be the start"),
    ],
)
def test_what_is_wrong_is_told_beside_its_field(
    admin_client: Client, tenant: Tenant, values: dict[str, str], told: str
) -> None:
    given = {"recipient": "ada@example.com", **values} if values else {}
    assert told in added(admin_client, tenant, **given).content.decode()
    assert not Preference.objects.exists()


def test_who_is_added_again_is_kept_once(admin_client: Client, tenant: Tenant) -> None:
    for category in ("news", "tips"):
        page = added(admin_client, tenant, recipient="ada@example.com", opt_outs=category)
        assert page.redirect_chain
    assert Preference.objects.get().opt_outs == ["tips"]


def test_a_template_is_given_its_category(admin_client: Client, tenant: Tenant) -> None:
    data = {
        "tenant": str(tenant.pk),
        "name": "news",
        "channel": "sms",
        "category": "news",
        "body": "x",
        "versions-TOTAL_FORMS": "0",
        "versions-INITIAL_FORMS": "0",
    }
    add = reverse("admin:notifications_template_add")
    assert (
        "set is_transactional to false"
        in admin_client.post(add, {**data, "is_transactional": "on"}).content.decode()
    )
    admin_client.post(add, data)
    assert Template.objects.get().category == "news"


def test_a_member_of_a_digest_names_what_sends_it(admin_client: Client, tenant: Tenant) -> None:
    put(tenant, "lines", TemplateDraft(Channel.SMS, {"body": "{{ count }}"}))
    rule = {"key": "post-7", "template": "lines", "window": 60}
    row, _ = (
        notify("sms", to="+14155550123", body="x", tenant=tenant, digest=rule) for _ in range(2)
    )
    page = reverse("admin:notifications_notification_change", args=[row.pk])
    assert "post-7: is sent by none yet" in admin_client.get(page).content.decode()
    Digest.objects.update(closes_at=Now())
    digests.close_due()
    sends = Digest.objects.get().notification_id
    assert f"post-7: is sent by {sends}" in admin_client.get(page).content.decode()
    page = reverse("admin:notifications_notification_change", args=[sends])
    assert "post-7: sends it" in admin_client.get(page).content.decode()
