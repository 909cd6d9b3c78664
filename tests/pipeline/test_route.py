"""Which provider takes a message: order, weights, and failing over."""

from collections import Counter
from typing import Any
from uuid import uuid4

import pytest

from notifications.enums import Status, WaitReason
from notifications.models import Attempt, Notification, Pause, RateLimit
from notifications.pipeline import policy, route
from notifications.pipeline.explain import waiting

from .factories import attempt, forget_pace, fresh, sms

pytestmark = pytest.mark.django_db

SIMULATED = "notifications.providers.simulated.SimulatedProvider"


@pytest.fixture(autouse=True)
def _fresh_policy() -> Any:
    policy.forget()
    yield
    policy.forget()


def use(settings: Any, channel: dict[str, Any] | None = None, **providers: dict[str, Any]) -> None:
    """Text messages go to first, then second, then third; each is a provider of its own."""
    each = {name: {"BACKEND": SIMULATED} for name in ("first", "second", "third")}
    settings.NOTIFICATIONS = {
        "PROVIDERS": each | providers,
        "CHANNELS": {"sms": {"PROVIDERS": ["first", "second", "third"]} | (channel or {})},
    }


def providers(row: Notification) -> list[str]:
    """Who was asked, in order."""
    return list(Attempt.objects.filter(notification=row).values_list("provider", flat=True))


def pause(scope: str, subject: str) -> None:
    Pause.objects.create(scope=scope, subject=subject)
    policy.forget()


def test_the_first_provider_takes_what_it_can(settings: Any) -> None:
    use(settings)
    row = sms()
    attempt(row)
    assert providers(row) == ["first"]


def test_a_refusal_leads_to_the_next_provider_at_once(settings: Any) -> None:
    use(settings)
    row = sms("transient,transient,deliver")
    report = attempt(row)
    assert report.again == {row.pk: 0.0}
    assert fresh(row).status == Status.RETRYING
    told = waiting(fresh(row))
    assert told is not None
    assert (told.reason, told.scope) == (WaitReason.QUEUE, "provider:second")
    assert "first has refused it" in told.detail
    attempt(row)
    attempt(row)
    assert providers(row) == ["first", "second", "third"]
    assert fresh(row).status == Status.DELIVERED


def test_when_all_have_refused_the_round_begins_again_after_the_backoff(settings: Any) -> None:
    use(settings)
    row = sms("transient")
    for _ in range(2):
        attempt(row)
    report = attempt(row)
    assert report.again[row.pk] > 1
    assert fresh(row).wait_reason == WaitReason.BACKOFF
    attempt(row)
    assert providers(row) == ["first", "second", "third", "first"]


def test_being_throttled_leads_to_the_next_provider_and_spends_no_attempt(settings: Any) -> None:
    use(settings, {"RETRY": {"MAX_ATTEMPTS": 1}})
    row = sms("throttle:60,deliver")
    attempt(row)
    attempt(row)
    assert providers(row) == ["first", "second"]
    assert fresh(row).status == Status.DELIVERED
    attempt(other := sms())
    assert providers(other) == ["second"], "the account of the first is held up"


def test_a_message_refused_for_good_is_not_taken_elsewhere(settings: Any) -> None:
    use(settings)
    row = sms("reject")
    attempt(row)
    assert (providers(row), fresh(row).status) == (["first"], Status.FAILED)


@pytest.mark.parametrize("simulate", ["timeout", "drop"])
def test_what_may_have_been_sent_never_moves_to_another_provider(
    settings: Any, simulate: str
) -> None:
    use(settings, {"ON_UNKNOWN": "retry"})
    row = sms(f"{simulate},transient,transient,deliver")
    for _ in range(4):
        attempt(row)
    assert providers(row) == ["first"] * 4
    assert fresh(row).status == Status.DELIVERED


def test_what_may_have_been_sent_waits_for_its_provider_though_others_are_free(
    settings: Any,
) -> None:
    use(settings, {"ON_UNKNOWN": "retry"})
    row = sms("timeout,deliver")
    attempt(row)
    pause("provider", "first")
    attempt(row)
    assert providers(row) == ["first"]
    assert (fresh(row).wait_reason, fresh(row).wait_scope) == ("paused", "provider:first")


def test_a_paused_provider_is_passed_over(settings: Any) -> None:
    use(settings)
    pause("provider", "first")
    row = sms()
    assert waiting(row) is None or waiting(row).reason == WaitReason.QUEUE
    attempt(row)
    assert providers(row) == ["second"]


@pytest.mark.parametrize(("scope", "subject"), [("channel", "sms"), ("tenant", "default")])
def test_a_pause_that_is_not_the_providers_holds_for_all(
    settings: Any, scope: str, subject: str
) -> None:
    use(settings)
    pause(scope, subject)
    row = sms()
    attempt(row)
    assert (providers(row), fresh(row).wait_scope) == ([], f"{scope}:{subject}")


def test_with_all_providers_paused_it_waits_and_says_so(settings: Any) -> None:
    use(settings)
    for name in ("first", "second", "third"):
        pause("provider", name)
    row = sms()
    attempt(row)
    assert providers(row) == []
    assert waiting(fresh(row)).reason == WaitReason.PAUSED


def test_a_spent_limit_of_a_provider_moves_the_rest_on(settings: Any) -> None:
    use(settings, first={"BACKEND": SIMULATED, "RATE_LIMIT": "3/s"})
    rows = [sms() for _ in range(8)]
    assert attempt(*rows).settled == 8
    assert Counter(Attempt.objects.values_list("provider", flat=True)) == {"first": 3, "second": 5}


@pytest.mark.parametrize(("scope", "subject"), [("channel", "sms"), ("tenant", "default")])
def test_a_spent_limit_that_is_not_the_providers_holds_for_all(
    settings: Any, scope: str, subject: str
) -> None:
    use(settings)
    RateLimit.objects.create(scope=scope, subject=subject, rates="3/s")
    report = attempt(*[sms() for _ in range(8)])
    assert (report.settled, report.put_off) == (3, 5)
    assert set(Attempt.objects.values_list("provider", flat=True)) == {"first"}


def test_an_open_circuit_moves_messages_on_and_none_is_lost(settings: Any) -> None:
    use(settings, first={"BACKEND": SIMULATED, "CIRCUIT": {"MIN_CALLS": 10, "OPEN_FOR": 60}})
    rows = [sms("transient,deliver") for _ in range(40)]
    report = attempt(*rows)
    tried = Counter(Attempt.objects.values_list("provider", "outcome"))
    assert tried == {("first", "transient"): 10, ("second", "transient"): 30}
    attempt(*[row for row in rows if row.pk in report.again])
    assert {fresh(row).status for row in rows} == {Status.DELIVERED}


def test_a_failed_over_message_that_finds_no_door_open_waits_at_least_its_backoff(
    settings: Any,
) -> None:
    use(settings, {"RETRY": {"BACKOFF": 100, "BACKOFF_MAX": 100}})
    row = sms("transient,deliver")
    attempt(row)
    pause("provider", "second")
    pause("provider", "third")
    attempt(row)
    row = fresh(row)
    assert providers(row) == ["first"]
    assert (row.due_at - row.created_at).total_seconds() >= 50


def test_weights_share_the_messages_out_and_each_keeps_its_order(settings: Any) -> None:
    use(settings, {"PROVIDERS": {"first": 3, "second": 1}})
    rows = [Notification(pk=uuid4(), channel="sms") for _ in range(2000)]
    firsts = Counter(route.candidates(row)[0] for row in rows)
    assert 0.70 < firsts["first"] / 2000 < 0.80
    for row in rows:
        order = route.candidates(row)
        assert order == route.candidates(row)
        assert sorted(order) == ["first", "second"]
        assert route.following(row, order[0]) == order[1]
        assert route.following(row, order[1]) == ""


def test_a_provider_that_was_taken_out_of_the_settings_is_followed_by_none(settings: Any) -> None:
    use(settings)
    row = Notification(pk=uuid4(), channel="sms", was_ambiguous=True, provider="gone")
    assert route.candidates(row) == ("first", "second", "third")
    assert route.following(row, "gone") == ""


def test_after_the_throttling_is_over_the_first_is_asked_again(settings: Any) -> None:
    use(settings)
    attempt(sms("throttle:60,deliver"))
    forget_pace()
    attempt(row := sms())
    assert providers(row) == ["first"]
