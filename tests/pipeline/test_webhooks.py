"""Webhooks from accept to settled, at a real server: one tenant's receiver is no other's affair."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db.models import F
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from standardwebhooks import Webhook, WebhookVerificationError

from notifications import notify
from notifications.enums import DisabledReason, Status, WaitReason
from notifications.gates import get_breaker
from notifications.models import Attempt, Endpoint, Notification
from notifications.pipeline import database, endpoints, events, pace
from notifications.pipeline.explain import waiting
from notifications.pipeline.receivers import Receivers
from notifications.providers.registry import forget_providers
from tests.providers.receiver import Arrived, Receiver, serving

from .factories import attempt, fresh, sms, tenant

pytestmark = pytest.mark.django_db

WEBHOOK = "notifications.providers.webhook.WebhookProvider"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with serving() as server:
        yield server


@pytest.fixture(autouse=True)
def _webhooks_are_sent(settings: Any) -> Iterator[None]:
    settings.NOTIFICATIONS = {
        "WEBHOOK_LOOPBACK": True,
        "PROVIDERS": {"webhook": {"BACKEND": WEBHOOK, "TIMEOUT": 2, "CIRCUIT": {"MIN_CALLS": 1}}},
        "CHANNELS": {"webhook": {"PROVIDERS": ["webhook"], "RETRY": {"MAX_ATTEMPTS": 2}}},
    }
    events.forget()
    yield
    events.forget()
    forget_providers()


def webhook(url: str, **fields: Any) -> Notification:
    fields = {"event": "a.b", "payload": {}} | fields
    return notify("webhook", to=url, **fields)


def test_a_2xx_is_delivered(receiver: Receiver) -> None:
    row = webhook(receiver.url())
    attempt(row)
    assert fresh(row).status == Status.DELIVERED
    assert len(receiver.arrived) == 1


def test_a_receiver_that_refuses_holds_up_no_other(receiver: Receiver) -> None:
    refused = [webhook(receiver.url("/status/429?Retry-After=60")) for _ in range(3)]
    refused += [webhook(receiver.url("/status/503")) for _ in range(3)]
    attempt(*refused)
    assert pace.current("webhook").held == 0
    assert pace.current("webhook").rate is None
    assert get_breaker().state("webhook").state == "closed"
    row = webhook(receiver.url())
    attempt(row)
    assert fresh(row).status == Status.DELIVERED


def test_a_receiver_that_always_throttles_is_given_up(receiver: Receiver) -> None:
    row = webhook(receiver.url("/status/429"))
    attempt(row)
    assert fresh(row).status == Status.RETRYING
    attempt(row)
    assert fresh(row).status == Status.FAILED
    assert [a.outcome for a in Attempt.objects.filter(notification=row)] == ["throttled"] * 2


# Endpoints and their secrets


def secrets_of(endpoint: Endpoint) -> tuple[str, ...]:
    return endpoints.live_secrets(fresh_endpoint(endpoint))


def fresh_endpoint(endpoint: Endpoint) -> Endpoint:
    return Endpoint.objects.get(pk=endpoint.pk)


def is_signed_with(secret: str, arrived: Arrived) -> bool:
    try:
        Webhook(secret).verify(arrived.body, arrived.headers)
    except WebhookVerificationError:
        return False
    return True


def test_each_url_is_signed_with_its_own_secret(receiver: Receiver) -> None:
    shop, other = tenant("shop"), tenant("other")
    urls = [receiver.url(f"/status/20{n}") for n in range(3)]
    registered = {url: endpoints.create(shop, url) for url in urls[:2]}
    endpoints.create(other, urls[2])
    attempt(*(webhook(url, tenant="shop") for url in urls))
    expected = {url: secrets_of(endpoint) for url, endpoint in registered.items()}
    expected[urls[2]] = secrets_of(endpoints.default_of(shop))
    for arrived in receiver.arrived:
        for url, (secret,) in expected.items():
            assert is_signed_with(secret, arrived) == url.endswith(arrived.path)


def test_the_default_secret_is_made_once_and_kept(receiver: Receiver) -> None:
    for _ in range(2):
        attempt(webhook(receiver.url()))
    [default] = Endpoint.objects.all()
    assert all(is_signed_with(secrets_of(default)[0], each) for each in receiver.arrived)


def test_after_a_rotation_both_secrets_sign_for_a_day(receiver: Receiver) -> None:
    endpoint = endpoints.create(tenant("default"), receiver.url())
    [old] = secrets_of(endpoint)
    endpoints.rotate(endpoint)
    new, former = secrets_of(endpoint)
    assert former == old != new
    attempt(webhook(receiver.url()))
    Endpoint.objects.update(previous_until=F("previous_until") - timedelta(hours=24))
    attempt(webhook(receiver.url()))
    first, second = receiver.arrived
    assert is_signed_with(old, first)
    assert is_signed_with(new, first)
    assert not is_signed_with(old, second)
    assert is_signed_with(new, second)


def test_a_dump_of_the_table_holds_no_secret() -> None:
    endpoint = endpoints.rotate(endpoints.create(tenant("shop"), "https://example.com/hook"))
    dump = str(Endpoint.objects.values().get())
    for secret in secrets_of(endpoint):
        assert secret.removeprefix("whsec_") not in dump


def test_secrets_outlive_a_change_of_the_secret_key(settings: Any) -> None:
    endpoint = endpoints.create(tenant("shop"), "https://example.com/hook")
    before = secrets_of(endpoint)
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another"
    assert secrets_of(endpoint) == before


def test_what_cannot_be_signed_waits_until_the_key_is_back(
    receiver: Receiver, settings: Any
) -> None:
    endpoints.create(tenant("default"), receiver.url())
    rows = [webhook(receiver.url()) for _ in range(2)]
    key, settings.SECRET_KEY = settings.SECRET_KEY, "another"
    assert attempt(*rows).put_off == 2
    assert receiver.arrived == []
    settings.SECRET_KEY_FALLBACKS = [key]
    attempt(*rows)
    assert [fresh(row).status for row in rows] == [Status.DELIVERED] * 2


# Endpoints that fail


def test_410_disables_the_endpoint_at_once(receiver: Receiver) -> None:
    url = receiver.url("/status/410")
    endpoint = endpoints.create(tenant("default"), url)
    row, later = webhook(url), webhook(url)
    attempt(row)
    endpoint = fresh_endpoint(endpoint)
    assert (endpoint.is_active, endpoint.disabled_reason) == (False, DisabledReason.GONE)
    assert fresh(row).error_code == "gone"
    attempt(later)
    assert (fresh(later).status, fresh(later).error_code) == (Status.FAILED, "endpoint_disabled")
    assert len(receiver.arrived) == 1


def test_410_of_a_url_that_is_not_registered_disables_nothing(receiver: Receiver) -> None:
    attempt(webhook(receiver.url("/status/410")))
    assert endpoints.default_of(tenant("default")).is_active


def test_five_days_of_nothing_but_failures_disable_it(receiver: Receiver) -> None:
    url = receiver.url("/status/500")
    endpoint = endpoints.create(tenant("default"), url)
    attempt(webhook(url))
    assert fresh_endpoint(endpoint).failing_since
    let_time_go_by(timedelta(days=4, hours=23))
    attempt(webhook(url))
    assert fresh_endpoint(endpoint).is_active
    let_time_go_by(timedelta(hours=2))
    attempt(webhook(url))
    endpoint = fresh_endpoint(endpoint)
    assert (endpoint.is_active, endpoint.disabled_reason) == (False, DisabledReason.FAILING)


def test_one_success_begins_the_five_days_anew(receiver: Receiver) -> None:
    endpoint = endpoints.create(tenant("default"), receiver.url())
    Endpoint.objects.update(failing_since=Now() - timedelta(days=6))
    attempt(webhook(receiver.url()))
    endpoint = fresh_endpoint(endpoint)
    assert (endpoint.is_active, endpoint.failing_since) == (True, None)


def let_time_go_by(time: timedelta) -> None:
    since, probe = F("failing_since") - time, F("probe_at") - time
    Endpoint.objects.update(failing_since=since, probe_at=probe)


def test_one_message_at_a_time_goes_to_an_endpoint_that_fails(receiver: Receiver) -> None:
    url = receiver.url("/status/500")
    endpoint = endpoints.create(tenant("default"), url)
    attempt(webhook(url))
    let_time_go_by(timedelta(minutes=2))
    rows = [webhook(url) for _ in range(10)]
    other = webhook(receiver.url())
    attempt(*rows, other)
    attempt(*rows)
    assert receiver.paths().count("/status/500") == 2
    assert fresh(other).status == Status.DELIVERED
    held = [row for row in map(fresh, rows) if row.attempt_count == 0]
    assert len(held) == 9
    told = waiting(held[0])
    assert told
    assert (told.reason, told.scope) == (WaitReason.CIRCUIT_OPEN, f"endpoint:{endpoint.pk}")
    assert told.until
    assert timedelta(seconds=100) < told.until - datetime.now(UTC) < timedelta(seconds=150)


def test_when_it_answers_again_all_go(receiver: Receiver) -> None:
    endpoints.create(tenant("default"), receiver.url())
    Endpoint.objects.update(failing_since=Now() - timedelta(minutes=2))
    rows = [webhook(receiver.url()) for _ in range(5)]
    attempt(*rows)
    assert len(receiver.arrived) == 1
    attempt(*rows)
    assert [fresh(row).status for row in rows] == [Status.DELIVERED] * 5


@pytest.mark.parametrize(
    ("failing", "wait"), [(0, 1), (7, 7), (599, 599), (7200, 600), (500_000, 600)]
)
def test_the_longer_it_fails_the_longer_it_is_left_alone(failing: float, wait: float) -> None:
    endpoint = endpoints.create(tenant("default"), "https://example.com/hook")
    since = datetime.now(UTC) - timedelta(seconds=failing)
    Endpoint.objects.update(failing_since=since, probe_at=Now() + timedelta(hours=1))
    row = fresh(webhook(endpoint.url))
    [delays] = Receivers([row]).held([row]).values()
    assert delays[row.pk] == pytest.approx(wait, abs=1)


def test_an_enabled_endpoint_is_sent_to_again(receiver: Receiver) -> None:
    endpoint = endpoints.create(tenant("default"), receiver.url())
    endpoints.disable(endpoint, DisabledReason.FAILING)
    endpoints.enable(endpoint)
    row = webhook(receiver.url())
    attempt(row)
    assert fresh(row).status == Status.DELIVERED


def test_a_url_that_was_changed_meanwhile_is_not_blamed() -> None:
    endpoint = endpoints.create(tenant("shop"), "https://example.com/old")
    stale = fresh_endpoint(endpoint)
    endpoints.change(endpoint, {"url": "https://example.com/new"})
    assert not endpoints.disable(stale, DisabledReason.GONE)
    assert fresh_endpoint(endpoint).is_active


def test_the_other_endpoints_that_ask_for_it_are_told_once() -> None:
    shop = tenant("shop")
    gone = endpoints.create(shop, "https://example.com/gone", told=["endpoint.disabled"])
    endpoints.create(shop, "https://example.com/told", told=["endpoint.disabled"])
    endpoints.create(shop, "https://example.com/deaf", told=["notification.failed"])
    endpoints.create(tenant("other"), "https://example.com/other", told=["endpoint.disabled"])
    for _ in range(2):
        endpoints.disable(gone, DisabledReason.GONE)
    [told] = Notification.objects.all()
    assert (told.tenant, told.to) == (shop, "https://example.com/told")
    assert told.content == {
        "event": "endpoint.disabled",
        "payload": {"id": str(gone.pk), "url": gone.url, "disabled_reason": "gone"},
    }


def test_reading_the_endpoints_takes_one_query_for_all_rows(receiver: Receiver) -> None:
    rows = [fresh(webhook(receiver.url(f"/status/2{n:02}"))) for n in range(30)]
    for row in rows[:20]:
        endpoints.create(row.tenant, row.to)
    endpoints.default_of(rows[0].tenant)
    with CaptureQueriesContext(database.connection()) as queries:
        read = Receivers(rows)
    assert len(queries) == 1
    assert len({read.secrets(row) for row in rows}) == 21


def test_other_channels_read_none() -> None:
    row = fresh(sms())
    with CaptureQueriesContext(database.connection()) as queries:
        assert Receivers([row]).secrets(row) == ()
    assert not queries
