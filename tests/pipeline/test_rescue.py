"""What lost workers leave behind."""

from typing import Any
from uuid import uuid4

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from notifications.enums import Channel, State, Status
from notifications.lifecycle import FRESH
from notifications.models import Attempt, Notification
from notifications.pipeline.deliver import deliver
from notifications.pipeline.rescue import expire, rescue

from .factories import fresh, sms

pytestmark = pytest.mark.django_db


def lost(state: State, seconds: float = 10, **values: Any) -> Notification:
    """A row whose worker was lost `seconds` after the end of its lease."""
    row = sms()
    Notification.objects.filter(pk=row.pk).update(
        state=state,
        lease_token=uuid4(),
        lease_until=Now() - timezone.timedelta(seconds=seconds),
        **values,
    )
    return row


def test_what_was_not_sent_goes_back_free_of_charge() -> None:
    row = lost(State.LEASED)
    assert rescue() == 1
    row = fresh(row)
    assert (row.status, row.attempt_count, row.abandon_count) == (Status.QUEUED, 0, 1)
    assert Notification.objects.owed(FRESH).filter(pk=row.pk).exists()


def test_what_may_have_been_sent_is_unknown() -> None:
    started = timezone.now() - timezone.timedelta(minutes=1)
    row = lost(State.DISPATCHING, attempt_count=1, provider="simulated", dispatched_at=started)
    assert rescue() == 1
    assert fresh(row).status == Status.UNKNOWN
    attempt = Attempt.objects.get(notification=row)
    assert (attempt.outcome, attempt.code) == ("ambiguous", "worker_lost")
    assert abs(attempt.started_at - started) < timezone.timedelta(seconds=0.1)


def test_what_may_have_been_sent_is_retried_where_the_channel_says_so(settings: Any) -> None:
    settings.NOTIFICATIONS = {"CHANNELS": {"sms": {"ON_UNKNOWN": "retry"}}}
    row = lost(State.DISPATCHING, attempt_count=1, provider="simulated")
    rescue()
    assert (fresh(row).status, fresh(row).duplicate_risk) == (Status.RETRYING, True)


def test_a_provider_that_left_the_settings_is_no_obstacle() -> None:
    row = lost(State.DISPATCHING, attempt_count=1, provider="gone")
    rescue()
    assert fresh(row).status == Status.UNKNOWN


@pytest.mark.parametrize("state", [State.LEASED, State.DISPATCHING])
def test_a_lease_that_just_ran_out_is_left_to_its_holder(state: State) -> None:
    row = lost(state, seconds=1, attempt_count=1)
    assert rescue() == 0
    assert fresh(row).state == state


def test_what_kills_its_workers_is_failed_in_the_end() -> None:
    row = lost(State.LEASED, abandon_count=4)
    rescue()
    assert (fresh(row).status, fresh(row).error_code) == (Status.FAILED, "poison")


def test_what_is_past_its_time_expires() -> None:
    row, in_time, leased = sms(), sms(), lost(State.LEASED, seconds=0)
    past = Now() - timezone.timedelta(seconds=1)
    Notification.objects.filter(pk__in=[row.pk, leased.pk]).update(expires_at=past)
    assert expire() == 2
    assert fresh(row).status == fresh(leased).status == Status.EXPIRED
    assert fresh(in_time).status == Status.QUEUED


def test_what_workers_die_over_again_and_again_is_held_alone() -> None:
    rows = [sms() for _ in range(4)]
    ids = [row.pk for row in rows]
    Notification.objects.filter(pk__in=ids[:2]).update(abandon_count=2)
    for _ in range(2):
        report = deliver(Channel.SMS, ids)
        assert (report.settled, report.claimed - report.released) == (1, 1)
    assert {fresh(row).status for row in rows[:2]} == {Status.DELIVERED}
    assert deliver(Channel.SMS, ids).settled == 2
