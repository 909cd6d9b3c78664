"""Cancel and retry, as people ask for them."""

from uuid import uuid4

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from notifications.enums import State, Status
from notifications.exceptions import NotPossible
from notifications.models import Batch, Notification
from notifications.pipeline.control import cancel, cancel_batch, retry

from .factories import attempt, fresh, sms, tenant

pytestmark = pytest.mark.django_db


def in_state(state: State, **values: object) -> Notification:
    row = sms()
    Notification.objects.filter(pk=row.pk).update(
        state=state, lease_token=uuid4(), lease_until=Now(), **values
    )
    return fresh(row)


@pytest.mark.parametrize("state", [State.SCHEDULED, State.QUEUED, State.RETRY_WAIT, State.LEASED])
def test_what_has_not_been_sent_is_cancelled_for_good(state: State) -> None:
    row = cancel(in_state(state))
    assert (row.status, row.settled_at is None) == (Status.CANCELLED, False)
    assert attempt(row).claimed == 0


@pytest.mark.parametrize("state", [State.DISPATCHING, State.UNKNOWN])
def test_what_may_have_been_sent_is_only_asked_to_stop(state: State) -> None:
    row = cancel(in_state(state, attempt_count=1))
    assert (row.state, row.cancel_requested) == (state, True)


@pytest.mark.parametrize(
    "state", [State.SENT, State.FAILED, State.CANCELLED, State.EXPIRED, State.SUPPRESSED]
)
def test_what_has_ended_cannot_be_cancelled(state: State) -> None:
    with pytest.raises(NotPossible):
        cancel(in_state(state))


@pytest.mark.parametrize("simulate", ["reject", "bounce"])
def test_what_failed_is_tried_anew_under_the_same_id(simulate: str) -> None:
    row = sms(f"{simulate},deliver")
    attempt(row)
    assert retry(fresh(row)).status == Status.QUEUED
    attempt(row)
    row = fresh(row)
    assert (row.status, row.attempt_count, row.error_code) == (Status.DELIVERED, 2, "")


def test_a_new_cycle_has_the_whole_budget() -> None:
    row = retry(in_state(State.FAILED, attempt_count=8))
    assert row.spent_attempts == 0


def test_what_expired_is_sent_without_a_term() -> None:
    row = retry(in_state(State.EXPIRED, expires_at=Now() - timezone.timedelta(hours=1)))
    assert row.expires_at is None
    attempt(row)
    assert fresh(row).status == Status.DELIVERED


def test_what_was_cancelled_before_its_time_waits_for_it_once_it_is_retried() -> None:
    later = timezone.now() + timezone.timedelta(hours=1)
    row = retry(in_state(State.CANCELLED, send_at=later))
    assert (row.status, row.due_at, row.publish_at) == (Status.SCHEDULED, later, later)


def test_unknown_is_retried_only_by_who_takes_the_risk() -> None:
    row = sms("timeout,deliver")
    attempt(row)
    with pytest.raises(NotPossible, match="accept_duplicate_risk"):
        retry(fresh(row))
    assert retry(fresh(row), accept_duplicate_risk=True).duplicate_risk is True
    attempt(row)
    assert fresh(row).status == Status.DELIVERED


@pytest.mark.parametrize(
    "state", [State.QUEUED, State.LEASED, State.DISPATCHING, State.RETRY_WAIT, State.SENT]
)
def test_what_is_on_its_way_or_arrived_is_not_retried(state: State) -> None:
    with pytest.raises(NotPossible):
        retry(in_state(state, attempt_count=1))


def test_a_batch_is_cancelled_as_far_as_it_has_not_been_sent() -> None:
    batch = Batch.objects.create(tenant=tenant())
    rows = [in_state(s, batch=batch, attempt_count=1) for s in (State.QUEUED, State.DISPATCHING)]
    assert cancel_batch(batch) == 1
    assert [fresh(row).state for row in rows] == [State.CANCELLED, State.DISPATCHING]
    assert fresh(rows[1]).cancel_requested
