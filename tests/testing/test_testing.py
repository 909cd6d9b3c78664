"""What projects test with: it runs the real pipeline, and no test sees anything of another."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.core import mail
from django.db import transaction
from django.db.models import FloatField
from django.test import TestCase, TransactionTestCase, override_settings
from django.utils import timezone

from notifications import notify
from notifications.conf import get_settings
from notifications.messages import Outcome
from notifications.models import Notification, ProviderCircuit, ProviderPace, RateBucket
from notifications.pipeline import relay
from notifications.signals import notification_settled
from notifications.testing import (
    NotificationsMixin,
    assert_not_notified,
    assert_notified,
    deliver_due,
    isolated,
    outbox,
    script,
    travel,
)
from tests.pipeline.factories import fresh

DJANGO_MAIL = "notifications.providers.django_email.DjangoEmailProvider"
TWO_PROVIDERS: dict[str, Any] = {
    "CHANNELS": {
        "email": {"PROVIDERS": ["first", "second"], "RATE_LIMIT": "1/d"},
        "sms": {"RETRY": {"MAX_ATTEMPTS": 3, "BACKOFF": 60, "JITTER": False}},
    },
    "PROVIDERS": {
        "first": {"BACKEND": DJANGO_MAIL},
        "second": {"BACKEND": DJANGO_MAIL, "RATE_LIMIT": "1/d", "CIRCUIT": {}},
    },
    "TENANT_RATE_LIMIT": "1/d",
    "GATES": {
        "BACKEND": "notifications.gates.redis",
        "OPTIONS": {"URL": "redis://127.0.0.1:1/0"},
    },
}


def email(to: str = "ada@example.com", **fields: Any) -> Notification:
    return notify("email", to=to, **({"subject": "Hello", "body": "Dear Ada"} | fields))


def sms(**fields: Any) -> Notification:
    return notify("sms", to="+14155550123", **({"body": "Hello"} | fields))


class InsideATestsTransaction(TestCase):
    def test_what_is_due_is_delivered_and_lands_in_the_outbox(self) -> None:
        notification = email()
        assert len(outbox) == 0
        assert deliver_due() == 1
        [sent] = outbox
        assert (sent.channel, sent.to, sent.subject) == ("email", "ada@example.com", "Hello")
        assert (sent.body, sent.tenant, sent.attempt) == ("Dear Ada", "default", 1)
        assert sent.notification == notification
        assert fresh(notification).status == "delivered"
        assert deliver_due() == 0

    def test_receivers_of_signals_are_called_once(self) -> None:
        told: list[str] = []

        def listen(status: str, **_: Any) -> None:
            told.append(status)

        notification_settled.connect(listen)
        self.addCleanup(notification_settled.disconnect, listen)
        with self.captureOnCommitCallbacks(execute=True):
            email()
            deliver_due()
        assert told == ["delivered"]

    @override_settings(NOTIFICATIONS=TWO_PROVIDERS)
    def test_nothing_is_sent_and_no_limit_or_gate_of_the_settings_holds(self) -> None:
        for _ in range(3):
            email()
        assert deliver_due() == 3
        assert [sent.provider for sent in outbox] == ["first"] * 3
        assert mail.outbox == []
        assert fresh(outbox[0].notification).status == "sent", "this provider knows no receipts"
        assert get_settings().tenant_rate_limit, "the settings are the project's own again"
        assert get_settings().providers["first"].backend == DJANGO_MAIL

    @override_settings(NOTIFICATIONS=TWO_PROVIDERS)
    def test_a_provider_that_refuses_is_followed_by_the_next(self) -> None:
        email()
        with script("transient", provider="first") as refusals:
            assert deliver_due() == 2
        assert refusals.used == 1
        assert [sent.provider for sent in outbox] == ["second"]

    @override_settings(NOTIFICATIONS=TWO_PROVIDERS)
    def test_a_retry_waits_until_the_test_travels_there(self) -> None:
        notification = sms()
        with script("transient", "deliver"):
            assert deliver_due() == 1
            assert fresh(notification).status == "retrying"
            assert deliver_due() == 0
            travel(seconds=50)
            assert deliver_due() == 0, "the backoff is a minute"
            travel(seconds=11)
            assert deliver_due() == 1
        assert [sent.attempt for sent in outbox] == [2]
        assert fresh(notification).status == "delivered"

    def test_schedules_and_expiry_are_travelled_to(self) -> None:
        now = timezone.now()
        later = email(send_at=now + timedelta(hours=2))
        late = email(send_at=now + timedelta(hours=3), expires_at=now + timedelta(hours=4))
        assert deliver_due() == 0
        travel(hours=2)
        assert deliver_due() == 1
        assert fresh(later).status == "delivered"
        travel(timedelta(hours=5))
        assert deliver_due() == 0
        assert fresh(late).status == "expired"

    def test_time_only_goes_forward(self) -> None:
        with pytest.raises(ValueError, match="forward"):
            travel(hours=-1)

    def test_attempts_come_to_what_the_script_says(self) -> None:
        bounced, unsure, refused = email("b@example.com"), email("u@example.com"), sms()
        with (
            script("bounce"),
            script(Outcome.ambiguous("lost"), to="u@example.com"),
            script("reject", channel="sms"),
        ):
            deliver_due()
        statuses = [fresh(row).status for row in (bounced, unsure, refused)]
        assert statuses == ["undelivered", "unknown", "failed"]
        assert [sent.to for sent in outbox] == ["b@example.com"]

    def test_what_a_provider_takes_without_an_answer_has_reached_the_recipient(self) -> None:
        unsure = email()
        with script("timeout"):
            deliver_due()
        assert fresh(unsure).status == "unknown"
        assert len(outbox) == 1

    def test_a_script_of_no_known_word_is_refused(self) -> None:
        with pytest.raises(ValueError, match="explode"), script("explode"):
            pass
        with pytest.raises(ValueError, match="transient"), script():
            pass

    def test_inside_another_transaction_nothing_is_delivered(self) -> None:
        with transaction.atomic():
            email()
            with pytest.raises(RuntimeError, match="after the block"):
                deliver_due()

    def test_what_was_rolled_back_is_in_no_outbox(self) -> None:
        with transaction.atomic():
            email()
            transaction.set_rollback(True)
        assert deliver_due() == 0
        assert_not_notified()

    def test_more_than_a_handful_is_delivered_the_most_urgent_first(self) -> None:
        bulk = [email(f"u{n}@example.com", priority="bulk") for n in range(120)]
        email("first@example.com", priority="urgent")
        assert deliver_due() == len(bulk) + 1
        assert outbox[0].to == "first@example.com"
        assert {sent.to for sent in outbox[1:]} == {row.to for row in bulk}

    def test_asserts_find_what_was_accepted(self) -> None:
        email(metadata={"order": "7"}, tenant=None, priority="urgent")
        found = assert_notified(
            "email",
            to="ada@example.com",
            subject=re.compile("^Hel"),
            metadata={"order": "7"},
            priority="urgent",
            status="queued",
            tenant="default",
            count=1,
        )
        assert found.to == "ada@example.com"
        assert_not_notified("sms")
        assert_not_notified(to="bob@example.com")

    def test_asserts_that_fail_say_what_there_is(self) -> None:
        email()
        with pytest.raises(AssertionError, match=r"to='bob@example\.com'(.|\n)*to ada@example"):
            assert_notified(to="bob@example.com")
        with pytest.raises(AssertionError, match=r"2 notifications with anything; there are 1"):
            assert_notified(count=2)
        with pytest.raises(AssertionError, match=r"should be no notification"):
            assert_not_notified(subject="Hello")
        with pytest.raises(TypeError, match="recipient"):
            assert_notified(recipient="ada@example.com")


class OneTestAfterTheOther(TestCase):
    """Neither clears anything, and neither sees the other's."""

    def test_one(self) -> None:
        email()
        deliver_due()
        assert len(outbox) == 1

    def test_another(self) -> None:
        email()
        deliver_due()
        assert len(outbox) == 1


class WithRealCommits(NotificationsMixin, TransactionTestCase):
    def test_no_broker_is_asked(self) -> None:
        with relay_is_watched() as offers:
            notification = email()
            assert deliver_due() == 1
        assert fresh(notification).status == "delivered"
        assert [sent.to for sent in outbox] == ["ada@example.com"]
        assert offers == []

    def test_the_outbox_is_empty_at_first(self) -> None:
        assert len(outbox) == 0


class relay_is_watched:
    """A list of all that reaches the relay's queue meanwhile."""

    def __enter__(self) -> list[Any]:
        self.offers: list[Any] = []
        self.kept = relay._relay
        relay._relay = self  # type: ignore[assignment]
        return self.offers

    def __exit__(self, *_: object) -> None:
        relay._relay = self.kept

    def offer(self, *offer: Any) -> None:
        self.offers.append(offer)

    def offer_dispatch(self) -> None:
        self.offers.append("dispatch")


@pytest.mark.django_db(transaction=True)
def test_outside_of_isolation_the_relay_has_its_say() -> None:
    with relay_is_watched() as offers:
        email()
        with isolated():
            email()
    assert len(offers) == 1


def test_every_time_that_is_stored_is_travelled() -> None:
    """A float that is no time would be moved too: only the gates' books may have floats."""
    models = apps.get_app_config("notifications").get_models()
    floats = {
        (field.model, field.name)
        for model in models
        for field in model._meta.concrete_fields
        if isinstance(field, FloatField)
    }
    assert floats == {
        (RateBucket, "arrival"),
        (ProviderCircuit, "since"),
        (ProviderCircuit, "until"),
        (ProviderPace, "until"),
        (ProviderPace, "refused"),
        (ProviderPace, "slowed"),
    }
