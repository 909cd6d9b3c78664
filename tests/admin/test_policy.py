"""Limits and pauses set in the admin, and the list of workers."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from notifications.models import Pause, RateLimit, Tenant, Worker
from notifications.pipeline import policy

ADD_PAUSE = "/admin/notifications/pause/add/"
ADD_LIMIT = "/admin/notifications/ratelimit/add/"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_policy() -> Iterator[None]:
    policy.forget()
    yield
    policy.forget()


@pytest.mark.parametrize(
    ("scope", "subject"), [("channel", "email"), ("provider", "simulated"), ("tenant", "shop")]
)
def test_a_pause_holds_with_its_commit_and_ends_with_its_deletion(
    admin_client: Client, django_capture_on_commit_callbacks: Any, scope: str, subject: str
) -> None:
    Tenant.objects.create(name="shop")
    assert (scope, subject) not in policy.current().pauses
    with django_capture_on_commit_callbacks(execute=True):
        admin_client.post(ADD_PAUSE, {"scope": scope, "subject": subject, "reason": "incident"})
    assert policy.current().pauses[scope, subject] == "incident"
    data = {
        "action": "delete_selected",
        ACTION_CHECKBOX_NAME: [str(Pause.objects.get().pk)],
        "post": "yes",
    }
    with django_capture_on_commit_callbacks(execute=True):
        admin_client.post(reverse("admin:notifications_pause_changelist"), data)
    assert (scope, subject) not in policy.current().pauses


def test_a_limit_replaces_the_one_of_the_settings(
    admin_client: Client, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        admin_client.post(
            ADD_LIMIT, {"scope": "channel", "subject": "email", "rates": "5/s, 1000/d"}
        )
    limits = policy.current().limits_on("email", "simulated", "shop")
    assert [limit.rate for limit in limits] == [5, pytest.approx(1000 / 86400)]
    limit = RateLimit.objects.get()
    delete = reverse("admin:notifications_ratelimit_delete", args=[limit.pk])
    with django_capture_on_commit_callbacks(execute=True):
        admin_client.post(delete, {"post": "yes"})
    assert policy.current().limits_on("email", "simulated", "shop") == ()


@pytest.mark.parametrize(
    ("scope", "subject", "known"),
    [
        ("channel", "pigeon", "email, sms, webhook"),
        ("provider", "pigeon", "simulated"),
        ("tenant", "pigeon", "shop"),
    ],
)
@pytest.mark.parametrize("url", [ADD_PAUSE, ADD_LIMIT])
def test_what_does_not_exist_is_refused_with_what_does(
    admin_client: Client, url: str, scope: str, subject: str, known: str
) -> None:
    Tenant.objects.create(name="shop")
    data = {"scope": scope, "subject": subject, "rates": "5/s"}
    page = admin_client.post(url, data).content.decode()
    assert f"There is no {scope} of this name. There is: {known}." in page
    assert not Pause.objects.exists()
    assert not RateLimit.objects.exists()


def test_no_more_tenants_are_named_than_help(admin_client: Client) -> None:
    Tenant.objects.bulk_create(Tenant(name=f"t{i:03}") for i in range(50))
    data = {"scope": "tenant", "subject": "pigeon"}
    page = admin_client.post(ADD_PAUSE, data).content.decode()
    assert "t019, …" in page
    assert "t020" not in page


def test_a_rate_that_is_none_is_refused(admin_client: Client) -> None:
    data = {"scope": "channel", "subject": "email", "rates": "fast"}
    assert "is not a rate" in admin_client.post(ADD_LIMIT, data).content.decode()


def test_workers_are_listed_and_cannot_be_changed(admin_client: Client) -> None:
    Worker.objects.create(name="celery@one", seen_at=timezone.now())
    page = admin_client.get(reverse("admin:notifications_worker_changelist")).content.decode()
    assert "celery@one" in page
    assert "ago" in page
    assert admin_client.get(reverse("admin:notifications_worker_add")).status_code == 403


def test_buckets_are_nobodys_business(admin_client: Client) -> None:
    assert "bucket" not in admin_client.get(reverse("admin:index")).content.decode().lower()
