"""Limits and pauses set in the admin, and the list of workers."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from notifications.enums import Channel
from notifications.models import Pause, RateLimit, Tenant, Worker
from notifications.pipeline import policy
from notifications.pipeline.template_store import put
from notifications.template_validation import parse_template

ADD_PAUSE = "/admin/notifications/dashboard/pause/"
RESUME = "/admin/notifications/dashboard/resume/"
ADD_LIMIT = "/admin/notifications/dashboard/limit/"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_policy() -> Iterator[None]:
    policy.forget()
    yield
    policy.forget()


@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        ("channel", "email"),
        ("provider", "simulated"),
        ("tenant", "shop"),
        ("template", "shop/hello"),
    ],
)
def test_a_pause_holds_with_its_commit_until_it_is_resumed(
    admin_client: Client, django_capture_on_commit_callbacks: Any, scope: str, subject: str
) -> None:
    put(
        Tenant.objects.create(name="shop"), "hello", parse_template({"channel": "sms", "body": "x"})
    )
    assert (scope, subject) not in policy.current().pauses
    data = {"scope": scope, "subject": subject, "reason": "incident"}
    with django_capture_on_commit_callbacks(execute=True):
        admin_client.post(ADD_PAUSE, data)
    assert policy.current().pauses[scope, subject] == "incident"
    with django_capture_on_commit_callbacks(execute=True):
        admin_client.post(RESUME, {**data, "reason": "over"})
    assert (scope, subject) not in policy.current().pauses
    told = list(LogEntry.objects.order_by("pk").values_list("object_repr", "change_message"))
    assert told == [
        (f"{scope} {subject}", "Paused: incident"),
        (f"{scope} {subject}", "Resumed: over"),
    ]


def test_a_limit_replaces_the_one_of_the_settings(
    admin_client: Client, django_capture_on_commit_callbacks: Any
) -> None:
    data = {"scope": "channel", "subject": "email", "rates": "5/s, 1000/d", "reason": "asked"}
    with django_capture_on_commit_callbacks(execute=True):
        admin_client.post(ADD_LIMIT, data)
    limits = policy.current().limits_on("email", "simulated", "shop")
    assert [limit.rate for limit in limits] == [5, pytest.approx(1000 / 86400)]
    with django_capture_on_commit_callbacks(execute=True):
        admin_client.post(ADD_LIMIT, {**data, "rates": "", "reason": "no more"})
    assert policy.current().limits_on("email", "simulated", "shop") == ()
    messages = LogEntry.objects.order_by("pk").values_list("change_message", flat=True)
    assert list(messages) == ["Limited to 5/s, 1000/d: asked", "Back to the settings: no more"]


@pytest.mark.parametrize("url", [ADD_PAUSE, RESUME, ADD_LIMIT])
def test_nothing_is_switched_without_a_reason(admin_client: Client, url: str) -> None:
    Pause.objects.create(scope="channel", subject="sms")
    data = {"scope": "channel", "subject": "sms", "rates": "5/s", "reason": " "}
    assert "This field is required" in admin_client.post(url, data).content.decode()
    assert Pause.objects.count() == 1
    assert not RateLimit.objects.exists()


def test_a_drain_pauses_every_channel_and_is_ended_as_a_whole(admin_client: Client) -> None:
    drain = "/admin/notifications/dashboard/drain/"
    admin_client.post(drain, {"reason": "new database"})
    assert Pause.objects.filter(scope="channel", reason="new database").count() == len(Channel)
    Pause.objects.create(scope="provider", subject="simulated")
    admin_client.post("/admin/notifications/dashboard/resume-all/", {"reason": "done"})
    assert [pause.scope for pause in Pause.objects.all()] == ["provider"]


@pytest.mark.parametrize(
    ("permissions", "open_to"),
    [
        ((), set()),
        (("add_pause",), {"pause", "drain"}),
        (("delete_pause",), {"resume", "resume-all"}),
        (("add_ratelimit", "change_ratelimit", "delete_ratelimit"), {"limit"}),
        (("view_dashboard", "view_pause"), set()),
    ],
)
def test_each_switch_has_its_own_permission(
    staff: Callable[..., Client], permissions: tuple[str, ...], open_to: set[str]
) -> None:
    client = staff(*permissions)
    names = {"pause", "resume", "drain", "resume-all", "limit"}
    answers = {n: client.get(f"/admin/notifications/dashboard/{n}/").status_code for n in names}
    assert answers == {name: 200 if name in open_to else 403 for name in names}
    for name in names - open_to:
        url = f"/admin/notifications/dashboard/{name}/"
        assert client.post(url, {"reason": "x"}).status_code == 403


def test_a_switch_leads_back_to_where_one_came_from_and_nowhere_else(
    admin_client: Client,
) -> None:
    data = {"scope": "channel", "subject": "sms", "reason": "x"}
    inside = "/admin/notifications/pause/"
    assert admin_client.post(ADD_PAUSE, {**data, "next": inside})["Location"] == inside
    for outside in ("https://evil.example/", "//evil.example/", "javascript:alert(1)"):
        answer = admin_client.post(ADD_PAUSE, {**data, "next": outside})
        assert answer["Location"] == "/admin/notifications/dashboard/"


def test_the_lists_lead_to_the_pages_that_ask_why(admin_client: Client) -> None:
    pause = Pause.objects.create(scope="channel", subject="sms")
    limit = RateLimit.objects.create(scope="channel", subject="sms", rates="5/s")
    for url, target in (
        ("/admin/notifications/pause/add/", ADD_PAUSE),
        (f"/admin/notifications/pause/{pause.pk}/change/", RESUME),
        ("/admin/notifications/ratelimit/add/", ADD_LIMIT),
        (f"/admin/notifications/ratelimit/{limit.pk}/change/", ADD_LIMIT),
    ):
        assert admin_client.get(url)["Location"].startswith(f"{target}?")
        assert admin_client.get(url, follow=True).status_code == 200
    assert (
        "rates=5"
        in admin_client.get(f"/admin/notifications/ratelimit/{limit.pk}/change/")["Location"]
    )


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
    data = {"scope": scope, "subject": subject, "rates": "5/s", "reason": "x"}
    page = admin_client.post(url, data).content.decode()
    assert f"There is no {scope} of this name. There is: {known}." in page
    assert not Pause.objects.exists()
    assert not RateLimit.objects.exists()


def test_no_more_tenants_are_named_than_help(admin_client: Client) -> None:
    Tenant.objects.bulk_create(Tenant(name=f"t{i:03}") for i in range(50))
    data = {"scope": "tenant", "subject": "pigeon", "reason": "x"}
    page = admin_client.post(ADD_PAUSE, data).content.decode()
    assert "t019, …" in page
    assert "t020" not in page


def test_a_rate_that_is_none_is_refused(admin_client: Client) -> None:
    data = {"scope": "channel", "subject": "email", "rates": "fast", "reason": "x"}
    assert "is not a rate" in admin_client.post(ADD_LIMIT, data).content.decode()


def test_workers_are_listed_and_cannot_be_changed(admin_client: Client) -> None:
    Worker.objects.create(name="celery@one", seen_at=timezone.now())
    page = admin_client.get(reverse("admin:notifications_worker_changelist")).content.decode()
    assert "celery@one" in page
    assert "ago" in page
    assert admin_client.get(reverse("admin:notifications_worker_add")).status_code == 403


def test_buckets_are_nobodys_business(admin_client: Client) -> None:
    assert "bucket" not in admin_client.get(reverse("admin:index")).content.decode().lower()
