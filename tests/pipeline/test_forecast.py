"""When it will be done: reckoned, and held against what really came of it."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications.enums import Channel, Priority, State
from notifications.gates import get_pacer
from notifications.models import Batch, Notification, Pause, RateLimit, Tenant, Worker
from notifications.pipeline import forecast, policy
from notifications.pipeline.accept import accept_batch
from notifications.pipeline.deliver import deliver
from notifications.pipeline.forecast import Forecast, forecast_of_backlog, forecast_of_batch
from notifications.validation import parse_notification

from .factories import attempt, sms, tenant

pytestmark = pytest.mark.django_db

SIMULATED = "notifications.providers.simulated.SimulatedProvider"


@pytest.fixture(autouse=True)
def _a_worker_and_a_fresh_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    # What is made on a busy machine would have waited for long enough before it is looked at.
    monkeypatch.setattr(forecast, "OBSERVED_LEAST", 60.0)
    Worker.objects.create(name="w@host", seen_at=timezone.now())
    policy.forget()
    forecast.forget()


def batch(of: Tenant, count: int, **fields: Any) -> Batch:
    item = {"channel": "sms", "to": "+14155550123", "body": "Hello", **fields}
    return accept_batch(of, [parse_notification(item)] * count).batch


def limit(scope: str, subject: str, rates: str) -> None:
    RateLimit.objects.create(scope=scope, subject=subject, rates=rates)
    policy.forget()


def pause(scope: str, subject: str) -> None:
    Pause.objects.create(scope=scope, subject=subject)
    policy.forget()


def seconds(found: Forecast | None) -> float:
    assert found is not None
    assert found.done_at is not None, found.detail
    return (found.done_at - timezone.now()).total_seconds()


def is_about(found: Forecast | None, expected: float) -> bool:
    return expected - 3 < seconds(found) < expected + 3


def test_a_batch_that_is_done_has_no_forecast() -> None:
    made = batch(tenant(), 3)
    deliver(Channel.SMS, list(made.notification_set.values_list("pk", flat=True)))
    assert forecast_of_batch(made) is None


def test_the_channel_s_limit_decides() -> None:
    limit("channel", "sms", "2/s")
    found = forecast_of_batch(batch(tenant(), 62))
    assert is_about(found, 30)
    assert found is not None
    assert (found.waiting, found.rate) == (62, 2.0)
    assert found.detail == "the limit of channel sms (2/s)"
    assert is_about(forecast_of_backlog(Channel.SMS), 30)


def test_the_slowest_of_all_limits_decides() -> None:
    shop = tenant("shop")
    made = batch(shop, 61)
    limit("channel", "sms", "50/s")
    limit("provider", "simulated", "20/s")
    limit("tenant", "shop", "1/s")
    found = forecast_of_batch(made)
    assert is_about(found, 60)
    assert found is not None
    assert found.detail == "the limit of tenant shop (1/s)"


def test_several_providers_carry_it_together(settings: Any) -> None:
    each = {name: {"BACKEND": SIMULATED, "RATE_LIMIT": "1/s"} for name in ("one", "two")}
    settings.NOTIFICATIONS = {"PROVIDERS": each, "CHANNELS": {"sms": {"PROVIDERS": list(each)}}}
    assert is_about(forecast_of_batch(batch(tenant(), 62)), 30)


def test_a_provider_that_slows_us_down_is_reckoned_with() -> None:
    get_pacer().slow("simulated", 0, 20)
    found = forecast_of_batch(batch(tenant(), 602))
    assert found is not None
    assert found.rate == pytest.approx(10, abs=3)
    assert 40 < seconds(found) <= 70


def test_what_is_left_of_the_day_goes_at_once() -> None:
    limit("channel", "sms", "100/d")
    assert is_about(forecast_of_batch(batch(tenant(), 60)), 0)
    assert is_about(forecast_of_batch(batch(tenant("other"), 51)), 1728)


def test_a_limit_that_is_spent_is_slow_and_no_reason_to_know_nothing() -> None:
    limit("channel", "sms", "100/d")
    made = batch(tenant(), 110)
    deliver(Channel.SMS, list(made.notification_set.values_list("pk", flat=True)))
    made.notification_set.update(publish_at=Now() - timedelta(minutes=5))
    assert is_about(forecast_of_batch(made), 8640)
    assert is_about(forecast_of_backlog(Channel.SMS), 8640)


def test_a_provider_that_wants_to_be_left_alone_is_waited_for() -> None:
    limit("channel", "sms", "1/s")
    get_pacer().slow("simulated", 60, 1)
    assert is_about(forecast_of_batch(batch(tenant(), 31)), 90)


def test_other_tenants_take_their_turns() -> None:
    limit("channel", "sms", "1/s")
    shop, crowd = tenant("shop"), tenant("crowd")
    batch(crowd, 200)
    assert is_about(forecast_of_batch(batch(shop, 31)), 61)
    assert is_about(forecast_of_backlog(Channel.SMS), 230)


def test_what_is_more_urgent_goes_before_it() -> None:
    limit("channel", "sms", "1/s")
    shop = tenant("shop")
    batch(shop, 30, priority="urgent")
    batch(shop, 500, priority="bulk")
    assert is_about(forecast_of_batch(batch(shop, 31)), 60)
    assert is_about(forecast_of_backlog(Channel.SMS, Priority.URGENT), 29)


def test_what_is_not_due_before_is_not_done_before() -> None:
    limit("channel", "sms", "50/s")
    at = timezone.now() + timedelta(hours=1)
    found = forecast_of_batch(batch(tenant(), 5, send_at=at.isoformat()))
    assert found is not None
    assert found.done_at == at


@pytest.mark.parametrize(
    ("scope", "subject"), [("channel", "sms"), ("provider", "simulated"), ("tenant", "shop")]
)
def test_nobody_knows_when_a_pause_ends(scope: str, subject: str) -> None:
    made = batch(tenant("shop"), 3)
    pause(scope, subject)
    for found in (forecast_of_batch(made), forecast_of_backlog(Channel.SMS)):
        assert found is not None
        assert (found.waiting, found.done_at) == (3, None)
        assert found.detail == f"{scope} {subject} is paused"


def test_another_tenant_s_pause_takes_its_rows_out_of_the_way() -> None:
    limit("channel", "sms", "1/s")
    batch(tenant("held"), 500)
    made = batch(tenant("shop"), 31)
    pause("tenant", "held")
    assert is_about(forecast_of_batch(made), 30)
    assert is_about(forecast_of_backlog(Channel.SMS), 30)


def test_without_a_worker_nobody_knows() -> None:
    made = batch(tenant(), 3)
    Worker.objects.all().delete()
    found = forecast_of_batch(made)
    assert found is not None
    assert (found.done_at, found.detail) == (None, "no worker is there for it")


def test_unknown_outcomes_wait_for_somebody() -> None:
    made = batch(tenant(), 1)
    made.notification_set.update(state=State.UNKNOWN)
    found = forecast_of_batch(made)
    assert found is not None
    assert (found.waiting, found.done_at) == (1, None)
    assert "1 of unknown outcome" in found.detail


def test_at_first_it_is_too_early_to_tell() -> None:
    found = forecast_of_batch(batch(tenant(), 3))
    assert found is not None
    assert (found.done_at, found.detail) == (
        None,
        "it has only just begun to go: too early to tell",
    )


def test_where_nothing_has_gone_although_it_is_due_it_says_so() -> None:
    made = batch(tenant(), 3)
    made.notification_set.update(publish_at=Now() - timedelta(minutes=5))
    found = forecast_of_batch(made)
    assert found is not None
    assert found.done_at is None
    assert "nothing of it has gone lately" in found.detail


def test_what_went_while_nothing_waited_says_nothing_of_the_speed() -> None:
    attempt(*(sms() for _ in range(5)))
    found = forecast_of_batch(batch(tenant(), 300))
    assert found is not None
    assert found.done_at is None


def test_an_idle_channel_has_nothing_to_do() -> None:
    found = forecast_of_backlog(Channel.EMAIL)
    assert (found.waiting, found.detail) == (0, "nothing is due")
    assert seconds(found) < 1


def drain(made: Batch, at_a_time: int, pause_for: float, until: Callable[[], bool]) -> None:
    rows = made.notification_set.filter(due_at__lte=Now()).order_by("pk")
    waiting = rows.filter(state__in=(State.QUEUED, State.RETRY_WAIT))
    while not until():
        deliver(Channel.SMS, list(waiting.values_list("pk", flat=True)[:at_a_time]))
        time.sleep(pause_for)


def is_done(made: Batch) -> Callable[[], bool]:
    return lambda: not made.notification_set.exclude(state=State.SENT).exists()


def comes_true(found: Forecast | None, from_: datetime) -> bool:
    """Whether it was right: half to three times as long, and some seconds for a busy machine."""
    assert found is not None
    assert found.done_at is not None
    said = (found.done_at - from_).total_seconds()
    took = (timezone.now() - from_).total_seconds()
    return said / 2 - 1 < took < said * 3 + 3


def test_a_forecast_by_a_limit_comes_true() -> None:
    limit("channel", "sms", "10/s")
    made = batch(tenant(), 50)
    begun, found = timezone.now(), forecast_of_batch(made)
    assert is_about(found, 4)
    drain(made, 50, 0.05, is_done(made))
    assert comes_true(found, begun)


def test_a_forecast_by_what_was_seen_to_go_comes_true(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "OBSERVED_LEAST", 2.0)
    made = batch(tenant(), 90)
    half = time.monotonic() + 2.5
    drain(made, 3, 0.1, lambda: time.monotonic() > half)
    begun, found = timezone.now(), forecast_of_batch(made)
    assert found is not None
    assert "a second went lately" in found.detail
    drain(made, 3, 0.1, is_done(made))
    assert comes_true(found, begun)


def test_of_very_many_its_place_is_reckoned_from_their_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit("channel", "sms", "1/s")
    shop = tenant("shop")
    first, second = batch(shop, 100), batch(shop, 100)
    first.notification_set.update(publish_at=Now() - timedelta(seconds=100))
    second.notification_set.update(publish_at=Now())
    row = first.notification_set.order_by("pk").last()
    assert row is not None
    Notification.objects.filter(pk=row.pk).update(publish_at=Now() - timedelta(seconds=50))
    monkeypatch.setattr(forecast, "COUNTED_MAX", 20)
    monkeypatch.setattr(forecast, "OBSERVED_LEAST", 1000.0)  # some of it waits for long
    assert is_about(forecast_of_batch(first), 99)
    assert is_about(forecast_of_batch(second), 199)


def test_a_count_is_good_for_some_seconds_and_not_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit("channel", "sms", "1/s")
    made = batch(tenant("shop"), 31)
    assert is_about(forecast_of_batch(made), 30)
    batch(tenant("crowd"), 200)
    assert is_about(forecast_of_batch(made), 30)
    forecast.forget()
    assert is_about(forecast_of_batch(made), 61)


def test_many_tenants_with_limits_cost_no_more_statements(settings: Any) -> None:
    settings.NOTIFICATIONS = {"TENANT_RATE_LIMIT": "1/s"}

    def statements() -> int:
        policy.forget()
        with CaptureQueriesContext(connection) as captured:
            assert is_about(forecast_of_backlog(Channel.SMS), 30)
        return len(captured)

    batch(tenant(), 31)
    few = statements()
    for _ in range(10):
        batch(tenant(), 3)
    assert statements() <= few


def test_rows_do_not_change_by_it() -> None:
    limit("channel", "sms", "2/s")
    made = batch(tenant(), 3)
    before = list(Notification.objects.order_by("pk").values())
    forecast_of_batch(made)
    forecast_of_backlog(Channel.SMS)
    assert list(Notification.objects.order_by("pk").values()) == before
