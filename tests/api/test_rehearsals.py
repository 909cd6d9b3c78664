"""`POST /notify?dry_run=true`: it tells what would happen, and leaves no trace."""

from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.utils import timezone

from notifications.enums import Channel
from notifications.gates import get_breaker
from notifications.messages import Tally
from notifications.models import Notification, Pause, RateLimit, Tenant, Worker
from notifications.pipeline import endpoints, policy, preferences
from notifications.pipeline.suppressions import add
from notifications.preference import Wish
from notifications.quiet_hours import QuietHours
from notifications.suppression import Entry

from .conftest import API, EMAIL, check_shape, template

SMS = {"channel": "sms", "to": "+14155550123", "body": "Hello"}
WEBHOOK = {
    "channel": "webhook",
    "to": "https://example.com/hook",
    "event": "x",
    "payload": {"a": 1},
}
SIMULATED = "notifications.providers.simulated.SimulatedProvider"

DRY = "/notify?dry_run=true"


@pytest.fixture(autouse=True)
def _a_worker_and_a_fresh_policy(db: None) -> None:
    Worker.objects.create(name="w@host", seen_at=timezone.now())
    policy.forget()


def everything() -> dict[str, list[Any]]:
    """All rows of all our tables; when a key was last used says nothing of the notification."""
    found = {}
    for model in apps.get_app_config("notifications").get_models():
        columns = [f.attname for f in model._meta.concrete_fields if f.name != "last_used_at"]
        found[model.__name__] = sorted(model._default_manager.values_list(*columns), key=str)
    return found


def rehearse(api: API, body: dict[str, Any], **headers: str) -> Any:
    policy.forget()
    before = everything()
    response = api.post(DRY, body, **headers)
    assert everything() == before
    if response.status_code == 200:
        check_shape(response.json(), {"$ref": "#/components/schemas/Rehearsal"})
    return response


def shown(api: API, body: dict[str, Any], **headers: str) -> Any:
    response = rehearse(api, body, **headers)
    assert response.status_code == 200, response.content
    return response.json()


@pytest.mark.parametrize(
    ("body", "content"),
    [
        (EMAIL, {"subject": "Hello", "body": "Hello, Ada"}),
        (SMS, {"body": "Hello"}),
        (WEBHOOK, {"event": "x", "payload": {"a": 1}}),
    ],
    ids=Channel.values,
)
def test_every_channel_shows_what_would_be_sent_and_by_whom(
    api: API, body: dict[str, Any], content: dict[str, Any]
) -> None:
    RateLimit.objects.create(scope="channel", subject=body["channel"], rates="50/s")
    found = shown(api, body)
    assert (found["outcome"], found["answer"], found["status"]) == ("accepted", 202, "queued")
    assert found["content"] == content
    assert found["providers"] == [{"name": "simulated", "weight": None, "waiting": None}]
    scope = f"channel:{body['channel']}:50/s"
    assert found["limits"] == [{"scope": scope, "per_second": 50.0, "available": 50}]
    assert found["earliest_send_at"] is not None
    assert found["stored"] is found["suppression"] is found["warning"] is None


@pytest.mark.parametrize(
    ("parts", "to", "content", "segments"),
    [
        (
            {"channel": "email", "subject": "{{ n }}", "body": "{{ n }}", "html": "<p>{{ n }}</p>"},
            "ada@example.com",
            {"subject": "A&B", "body": "A&B", "html": "<p>A&amp;B</p>"},
            None,
        ),
        ({"channel": "sms", "body": "No. {{ n }}"}, "+14155550123", {"body": "No. A&B"}, 1),
    ],
)
def test_every_template_is_rendered(
    api: API, tenant: Tenant, parts: Any, to: str, content: Any, segments: int | None
) -> None:
    template(tenant, "order", **parts)
    body = {"channel": parts["channel"], "to": to, "template": "order", "context": {"n": "A&B"}}
    found = shown(api, body)
    assert found["content"] == content
    assert (found["template"], found["segments"]) == ("order", segments)
    missing = rehearse(api, body | {"context": {}})
    assert missing.status_code == 400
    assert missing.json()["errors"] == api.post("/notify", body | {"context": {}}).json()["errors"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        EMAIL | {"to": "nobody", "boddy": 1},
        EMAIL | {"expires_at": "2001-01-01T00:00:00Z"},
        {"channel": "sms", "to": "+14155550123", "template": "none-of-this-name"},
    ],
)
def test_what_is_wrong_is_said_as_without_it(api: API, body: dict[str, Any]) -> None:
    rehearsed, real = rehearse(api, body), api.post("/notify", body)
    assert rehearsed.status_code == real.status_code == 400
    assert rehearsed.json()["errors"] == real.json()["errors"]


@pytest.mark.parametrize("query", ["dry_run=yes", "dry_run=", "dry_run=true&dry_run=true", "x=1"])
def test_other_words_are_refused_before_anything_is_sent(api: API, query: str) -> None:
    assert api.post(f"/notify?{query}", EMAIL).json()["code"] == "invalid_query"
    assert not Notification.objects.exists()


def test_false_is_no_rehearsal(api: API) -> None:
    assert api.post("/notify?dry_run=false", EMAIL).status_code == 202
    assert Notification.objects.count() == 1


def test_a_batch_has_none(api: API) -> None:
    response = api.post("/notify/batch?dry_run=true", {"notifications": [EMAIL]})
    assert response.json()["code"] == "invalid_query"
    assert not Notification.objects.exists()


def test_a_key_that_was_used_is_told_to_be_replayed_or_to_conflict(api: API) -> None:
    assert shown(api, EMAIL, Idempotency_Key="order-7")["outcome"] == "accepted"
    id = api.post("/notify", EMAIL, Idempotency_Key="order-7").json()["id"]
    again = shown(api, EMAIL, Idempotency_Key="order-7")
    assert (again["outcome"], again["answer"], again["stored"]["id"]) == ("replayed", 200, id)
    other = shown(api, EMAIL | {"body": "Other"}, Idempotency_Key="order-7")
    assert (other["outcome"], other["answer"], other["stored"]["id"]) == ("conflict", 422, id)
    for found in (again, other):
        assert found["status"] is found["earliest_send_at"] is None
        assert found["providers"] == []


def test_what_is_another_tenant_s_is_not_seen(
    api: API, stranger_api: API, stranger: Tenant
) -> None:
    template(stranger, "hello")
    stranger_api.post("/notify", EMAIL, Idempotency_Key="order-7")
    add(stranger, Entry(Channel.EMAIL, "ada@example.com"))
    found = shown(api, EMAIL, Idempotency_Key="order-7")
    assert (found["outcome"], found["suppression"]) == ("accepted", None)
    named = rehearse(api, {"channel": "sms", "to": "+14155550123", "template": "hello"})
    assert named.json()["errors"][0]["code"] == "unknown_template"


def test_a_suppressed_recipient_is_told(api: API, tenant: Tenant) -> None:
    add(tenant, Entry(Channel.EMAIL, "ada@example.com"))
    found = shown(api, EMAIL)
    assert (found["status"], found["suppression"]["code"]) == ("suppressed", "suppressed")
    assert "manual" in found["suppression"]["detail"]
    assert found["providers"] == []
    assert found["earliest_send_at"] is None


def test_a_send_at_is_the_earliest_time(api: API) -> None:
    at = (timezone.now() + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    found = shown(api, EMAIL | {"send_at": at})
    assert (found["status"], found["earliest_send_at"]) == ("scheduled", at)
    assert found["waiting"]["reason"] == "scheduled"


def test_while_it_is_paused_nobody_knows_the_earliest_time(api: API) -> None:
    Pause.objects.create(scope="channel", subject="email")
    found = shown(api, EMAIL)
    assert (found["waiting"]["reason"], found["earliest_send_at"]) == ("paused", None)


def test_a_paused_template_is_told(api: API, tenant: Tenant) -> None:
    template(tenant, "hello")
    Pause.objects.create(scope="template", subject=f"{tenant.name}/hello")
    found = shown(api, {"channel": "sms", "to": "+14155550123", "template": "hello"})
    assert (found["waiting"]["reason"], found["earliest_send_at"]) == ("paused", None)


def test_quiet_hours_of_the_recipient_are_told(api: API, tenant: Tenant) -> None:
    now = timezone.now()
    start, end = ((now + timedelta(hours=h)).time() for h in (-1, 1))
    hours = QuietHours(start, end, "UTC")
    preferences.put(tenant, Wish(Channel.EMAIL, "ada@example.com", frozenset(), hours))
    found = shown(api, EMAIL | {"category": "news"})
    assert found["waiting"]["reason"] == "quiet_hours"
    assert found["earliest_send_at"] == found["waiting"]["until"]
    assert shown(api, EMAIL)["waiting"]["reason"] == "queue"
    assert shown(api, EMAIL | {"category": "news", "priority": "urgent"})["waiting"] is not None


def test_a_suppressed_copy_is_warned_of(api: API, tenant: Tenant) -> None:
    add(tenant, Entry(Channel.EMAIL, "boss@example.com"))
    found = shown(api, EMAIL | {"cc": ["boss@example.com", "clerk@example.com"]})
    assert (found["status"], found["suppression"]) == ("queued", None)
    assert "not be sent to 1 of its recipients" in found["warning"]


def test_a_limit_that_is_used_up_tells_when_there_is_more(api: API, tenant: Tenant) -> None:
    RateLimit.objects.create(scope="channel", subject="email", rates="2/s")
    policy.forget()
    for _ in range(20):
        api.post("/notify", EMAIL)
    found = shown(api, EMAIL)
    assert found["waiting"]["reason"] == "rate_limit"
    assert found["waiting"]["scope"] == "channel:email:2/s"
    assert found["earliest_send_at"] == found["waiting"]["until"]


def test_providers_come_in_their_order_each_with_what_keeps_it(settings: Any, api: API) -> None:
    each = {"first": {"BACKEND": SIMULATED, "CIRCUIT": {"MIN_CALLS": 1}}}
    each["second"] = {"BACKEND": SIMULATED}
    settings.NOTIFICATIONS = {
        "PROVIDERS": each,
        "CHANNELS": {"email": {"PROVIDERS": {"first": 3, "second": 1}}},
    }
    get_breaker().record("first", Tally(failed=1))
    stops = {stop["name"]: stop for stop in shown(api, EMAIL)["providers"]}
    assert {name: stop["weight"] for name, stop in stops.items()} == {"first": 3, "second": 1}
    assert stops["first"]["waiting"]["reason"] == "circuit_open"
    assert stops["second"]["waiting"] is None


def test_a_disabled_endpoint_is_warned_of(api: API, tenant: Tenant) -> None:
    endpoint = endpoints.create(tenant, WEBHOOK["to"])
    assert shown(api, WEBHOOK)["warning"] is None
    endpoint.is_active = False
    endpoint.save()
    assert "its endpoint is disabled" in shown(api, WEBHOOK)["warning"]
