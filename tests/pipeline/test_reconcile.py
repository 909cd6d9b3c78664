"""Who knows is asked, who does not is left alone, and nothing is sent twice for it."""

from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications.enums import AttemptOutcome, Status
from notifications.messages import Message, Outcome
from notifications.models import Notification
from notifications.pipeline import reconcile as reconciling
from notifications.pipeline.reconcile import reconcile
from notifications.providers.simulated import SimulatedProvider

from .factories import attempt, fresh, sms

pytestmark = pytest.mark.django_db(transaction=True)

SIMULATED = "notifications.providers.simulated.SimulatedProvider"


class Odd(SimulatedProvider):
    """Fails when it is asked about what was dropped, and knows nothing of the rest."""

    asked: list[str] = []

    def look_up(self, message: Message) -> Outcome | None:
        self.asked.append(message.key)
        if message.metadata["simulate"] == "drop":
            raise OSError(message.to)
        return None


@pytest.fixture(autouse=True)
def asked(settings: LazySettings) -> list[str]:
    use(settings, SIMULATED)
    Odd.asked.clear()
    return Odd.asked


def use(settings: LazySettings, backend: str, **options: Any) -> None:
    known = {"LOOKS_UP": True, **options}
    settings.NOTIFICATIONS = {"PROVIDERS": {"simulated": {"BACKEND": backend, "OPTIONS": known}}}


def unknown(simulate: str, ago: timedelta = timedelta(minutes=2)) -> Notification:
    """One whose attempt ended in the dark so long ago."""
    row = sms(simulate)
    attempt(row)
    assert fresh(row).status == Status.UNKNOWN
    Notification.objects.filter(pk=row.pk).update(dispatched_at=timezone.now() - ago)
    return row


def test_what_the_provider_has_is_sent() -> None:
    row = unknown("timeout")
    assert reconcile() == 1
    assert fresh(row).status == Status.SENT
    assert fresh(row).provider_message_id == f"sim-{row.pk}-1"
    assert row.attempts.get().outcome == AttemptOutcome.ACCEPTED


def test_what_the_provider_never_had_is_tried_again() -> None:
    row = unknown("drop,deliver")
    assert reconcile() == 1
    assert fresh(row).status == Status.RETRYING
    attempt(row)
    assert fresh(row).status == Status.DELIVERED
    assert not fresh(row).duplicate_risk


def test_who_wanted_it_cancelled_gets_that() -> None:
    row = unknown("drop")
    Notification.objects.request_cancel([row.pk])
    reconcile()
    assert fresh(row).status == Status.CANCELLED


@pytest.mark.parametrize("ago", [timedelta(seconds=30), timedelta(hours=73)])
def test_what_is_too_young_or_too_old_is_not_asked_about(ago: timedelta) -> None:
    row = unknown("timeout", ago)
    assert reconcile() == 0
    assert fresh(row).status == Status.UNKNOWN


def test_who_knows_nothing_or_fails_is_asked_again_later(
    settings: LazySettings, asked: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    rows = [unknown("drop"), unknown("timeout")]
    use(settings, f"{__name__}.Odd")
    assert reconcile() == reconcile() == 0
    assert sorted(asked) == sorted(str(row.pk) for row in rows), "each of them once"
    assert "OSError" in caplog.text
    assert rows[0].to not in caplog.text
    Notification.objects.update(due_at=timezone.now())
    reconcile()
    assert len(asked) == 4


def test_a_round_goes_on_for_a_moment_only(
    settings: LazySettings, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        unknown("timeout")
    use(settings, f"{__name__}.Odd")
    monkeypatch.setattr(reconciling, "BUDGET_SECONDS", 0.0)
    reconcile()
    assert asked == []


def test_without_a_provider_to_ask_it_costs_nothing(settings: LazySettings) -> None:
    unknown("timeout")
    use(settings, SIMULATED, LOOKS_UP=False)
    with CaptureQueriesContext(connection) as queries:
        assert reconcile() == 0
    assert not queries.captured_queries
