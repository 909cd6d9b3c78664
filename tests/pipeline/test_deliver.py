"""One task's worth: claim, gates, mark, send, settle."""

import time
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications import signals
from notifications.enums import Channel, State, Status, WaitReason
from notifications.messages import Outcome
from notifications.models import Attempt, Notification, Pause, RateLimit
from notifications.pipeline import policy
from notifications.pipeline.admit import admit
from notifications.pipeline.deliver import deliver
from notifications.pipeline.lease import Lease
from notifications.pipeline.settle import Ended, settle

from .factories import attempt, forget_pace, fresh, sms, tenant

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_policy() -> Any:
    policy.forget()
    yield
    policy.forget()


@pytest.mark.parametrize(
    ("simulate", "statuses"),
    [
        ("accept", [Status.SENT]),
        ("deliver", [Status.DELIVERED]),
        ("bounce", [Status.UNDELIVERED]),
        ("reject", [Status.FAILED]),
        ("timeout", [Status.UNKNOWN]),
        ("drop", [Status.UNKNOWN]),
        ("slow:5", [Status.DELIVERED]),
        ("transient,transient,deliver", [Status.RETRYING, Status.RETRYING, Status.DELIVERED]),
        ("throttle:2,deliver", [Status.RETRYING, Status.DELIVERED]),
    ],
)
def test_each_behaviour_ends_in_its_status(simulate: str, statuses: list[Status]) -> None:
    row = sms(simulate)
    for status in statuses:
        forget_pace()
        attempt(row)
        assert fresh(row).status == status
    assert fresh(row).attempt_count == len(statuses)


def test_attempts_are_written_down() -> None:
    row = sms("transient,deliver")
    attempt(row)
    attempt(row)
    first, second = Attempt.objects.filter(notification=row)
    assert (first.number, first.outcome, first.provider) == (1, "transient", "simulated")
    assert (second.number, second.outcome) == (2, "accepted")
    assert first.started_at <= first.finished_at <= second.finished_at


def test_the_row_says_when_it_goes_again() -> None:
    row = sms("transient")
    report = attempt(row)
    row = fresh(row)
    assert row.due_at > timezone.now() + timezone.timedelta(seconds=0.5)
    assert row.publish_at > row.due_at
    assert list(report.again) == [row.pk]


def test_attempts_come_to_an_end(settings: Any) -> None:
    settings.NOTIFICATIONS = {"CHANNELS": {"sms": {"RETRY": {"MAX_ATTEMPTS": 3}}}}
    row = sms("transient")
    for _ in range(5):
        attempt(row)
    row = fresh(row)
    assert (row.status, row.attempt_count, row.error_code) == (Status.FAILED, 3, "unavailable")
    assert row.settled_at is not None


def test_being_throttled_spends_no_attempt(settings: Any) -> None:
    settings.NOTIFICATIONS = {"CHANNELS": {"sms": {"RETRY": {"MAX_ATTEMPTS": 1}}}}
    row = sms("throttle:1,throttle:1,deliver")
    for _ in range(3):
        forget_pace()
        attempt(row)
    assert fresh(row).status == Status.DELIVERED


def test_unknown_is_sent_again_where_the_channel_says_so(settings: Any) -> None:
    settings.NOTIFICATIONS = {"CHANNELS": {"sms": {"ON_UNKNOWN": "retry"}}}
    row = sms("timeout,deliver")
    attempt(row)
    assert (fresh(row).status, fresh(row).duplicate_risk) == (Status.RETRYING, True)
    attempt(row)
    assert fresh(row).status == Status.DELIVERED


def test_unknown_is_sent_again_without_risk_where_the_provider_honours_keys(settings: Any) -> None:
    settings.NOTIFICATIONS = {
        "PROVIDERS": {
            "simulated": {
                "BACKEND": "notifications.providers.simulated.SimulatedProvider",
                "OPTIONS": {"HONOURS_KEY": True},
            }
        }
    }
    row = sms("timeout,deliver")
    attempt(row)
    attempt(row)
    assert (fresh(row).status, fresh(row).duplicate_risk) == (Status.DELIVERED, False)


def test_a_repeated_message_is_a_no_op() -> None:
    row = sms()
    assert attempt(row).settled == 1
    assert [deliver(Channel.SMS, [row.pk]).claimed for _ in range(5)] == [0] * 5
    assert deliver(Channel.SMS, [uuid4()]).claimed == 0
    assert Attempt.objects.count() == 1


def test_a_message_that_comes_early_sends_nothing() -> None:
    row = sms(send_at=timezone.now() + timezone.timedelta(hours=1))
    assert deliver(Channel.SMS, [row.pk]).claimed == 0
    assert fresh(row).status == Status.SCHEDULED


def test_a_stopping_worker_gives_back_what_it_has_not_sent() -> None:
    rows = [sms() for _ in range(25)]
    asked: list[int] = []

    def stopping() -> bool:
        asked.append(1)
        return len(asked) > 2

    report = deliver(Channel.SMS, [row.pk for row in rows], stopping)
    assert (report.claimed, report.settled, report.released) == (25, 10, 15)
    back = Notification.objects.filter(state=State.QUEUED, publish_at__lte=Now())
    assert (back.count(), Attempt.objects.count()) == (15, 10)


@pytest.mark.parametrize(
    ("scope", "subject"), [("channel", "sms"), ("provider", "simulated"), ("tenant", "default")]
)
def test_a_pause_keeps_its_rows_and_spends_no_attempt(scope: str, subject: str) -> None:
    row = sms()
    Pause.objects.create(scope=scope, subject=subject)
    assert attempt(row).put_off == 1
    row = fresh(row)
    assert (row.status, row.attempt_count) == (Status.QUEUED, 0)
    assert (row.wait_reason, row.wait_scope) == (WaitReason.PAUSED, f"{scope}:{subject}")
    Pause.objects.all().delete()
    policy.forget()
    attempt(row)
    assert fresh(row).status == Status.DELIVERED


def test_a_disabled_tenant_sends_nothing() -> None:
    row = sms(tenant=tenant("shop"))
    row.tenant.is_active = False
    row.tenant.save()
    policy.forget()
    assert attempt(row).put_off == 1


def test_a_limit_lets_go_what_it_allows_and_puts_off_the_rest() -> None:
    RateLimit.objects.create(scope="tenant", subject="shop", rates="5/s")
    shop, other = tenant("shop"), tenant("other")
    rows = [sms(tenant=shop) for _ in range(8)] + [sms(tenant=other) for _ in range(3)]
    report = attempt(*rows)
    assert (report.settled, report.put_off) == (8, 3)
    late = list(Notification.objects.filter(state=State.QUEUED).order_by("due_at"))
    assert all(row.tenant == shop and row.attempt_count == 0 for row in late)
    assert all(row.wait_reason == WaitReason.RATE_LIMIT for row in late)
    assert late[0].wait_scope.startswith("tenant:shop")
    gaps = [(b.due_at - a.due_at).total_seconds() for a, b in pairwise(late)]
    assert gaps == pytest.approx([0.2, 0.2], abs=0.01)


def test_what_expires_in_the_hands_of_a_worker_is_not_sent(monkeypatch: Any) -> None:
    def admit_too_late(lease: Lease, rows: list[Notification]) -> Any:
        Notification.objects.filter(pk=row.pk).update(expires_at=Now())
        return admit(lease, rows)

    row = sms()
    monkeypatch.setattr("notifications.pipeline.deliver.admit", admit_too_late)
    attempt(row)
    assert Attempt.objects.count() == 0
    assert fresh(row).state == State.EXPIRED


def test_a_late_writer_with_a_strangers_lease_is_fenced() -> None:
    row = sms()
    Notification.objects.filter(pk=row.pk).update(
        state=State.DISPATCHING, attempt_count=1, lease_token=uuid4(), lease_until=Now()
    )
    late = fresh(row)
    assert settle(uuid4(), "simulated", [Ended(late, Outcome.accepted("x"))]) == {}
    assert (fresh(row).state, Attempt.objects.count()) == (State.DISPATCHING, 0)


def test_the_truth_is_taken_however_late_it_comes() -> None:
    row, token = sms(), uuid4()
    Notification.objects.filter(pk=row.pk).update(
        state=State.DISPATCHING, attempt_count=1, lease_token=token, lease_until=Now()
    )
    late = fresh(row)
    settle(token, "simulated", [Ended(late, Outcome.ambiguous("worker_lost"))])
    assert fresh(row).status == Status.UNKNOWN
    settle(token, "simulated", [Ended(late, Outcome.accepted("x"))])
    assert fresh(row).status == Status.SENT
    assert Attempt.objects.get().outcome == "accepted"


def test_a_cancel_wish_in_flight_ends_the_trying() -> None:
    row, token = sms(), uuid4()
    Notification.objects.filter(pk=row.pk).update(
        state=State.DISPATCHING,
        attempt_count=1,
        lease_token=token,
        lease_until=Now(),
        cancel_requested=True,
    )
    settle(token, "simulated", [Ended(fresh(row), Outcome.transient("x"))])
    assert fresh(row).status == Status.CANCELLED
    assert fresh(row).settled_at is not None


GUARDED: dict[str, Any] = {
    "PROVIDERS": {
        "simulated": {
            "BACKEND": "notifications.providers.simulated.SimulatedProvider",
            "CIRCUIT": {"MIN_CALLS": 10, "OPEN_FOR": 0.2},
        }
    }
}


def test_an_open_circuit_spares_the_attempts_of_those_behind_it(settings: Any) -> None:
    simulated = GUARDED["PROVIDERS"]["simulated"]
    settings.NOTIFICATIONS = {
        "PROVIDERS": {"simulated": simulated | {"CIRCUIT": {"MIN_CALLS": 10, "OPEN_FOR": 60}}}
    }
    rows = [sms("transient,deliver") for _ in range(30)]
    report = attempt(*rows)
    assert (report.settled, report.put_off) == (10, 20)
    held = Notification.objects.filter(wait_reason=WaitReason.CIRCUIT_OPEN)
    assert {(row.status, row.attempt_count) for row in held} == {(Status.QUEUED, 0)}
    assert {row.wait_scope for row in held} == {"provider:simulated"}
    assert attempt(*held).put_off == 20, "nothing goes while it is open"


def test_a_circuit_closes_when_its_probe_succeeds(settings: Any) -> None:
    settings.NOTIFICATIONS = GUARDED
    attempt(*[sms("transient") for _ in range(10)])
    time.sleep(0.3)
    rows = [sms("deliver") for _ in range(25)]
    assert attempt(*rows).settled == 25
    assert {fresh(row).status for row in rows} == {Status.DELIVERED}


def test_a_probe_that_fails_is_the_only_one_that_went(settings: Any) -> None:
    settings.NOTIFICATIONS = GUARDED
    attempt(*[sms("transient") for _ in range(10)])
    time.sleep(0.3)
    report = attempt(*[sms("transient") for _ in range(25)])
    assert (report.settled, report.put_off) == (1, 24)


def test_a_provider_without_a_circuit_is_always_asked() -> None:
    assert attempt(*[sms("transient") for _ in range(30)]).settled == 30


def test_being_throttled_holds_up_the_whole_account() -> None:
    attempt(sms("throttle:60"))
    others = [sms(tenant=tenant("shop")) for _ in range(5)]
    assert attempt(*others).put_off == 5
    held = [fresh(row) for row in others]
    assert {(row.status, row.attempt_count) for row in held} == {(Status.QUEUED, 0)}
    assert {(row.wait_reason, row.wait_scope) for row in held} == {
        (WaitReason.RATE_LIMIT, "provider:simulated")
    }
    in_a_minute = timezone.now() + timezone.timedelta(seconds=50)
    assert min(row.due_at for row in held) > in_a_minute


def test_being_throttled_stops_what_is_still_in_hand() -> None:
    rows = [sms("throttle:60") for _ in range(30)]
    report = attempt(*rows)
    assert (report.settled, report.put_off) == (10, 20), "one window, and no more"


def test_afterwards_the_account_goes_slower() -> None:
    attempt(*[sms("throttle:0,deliver") for _ in range(10)])
    report = attempt(*[sms() for _ in range(50)])
    assert 0 < report.settled < 25
    assert report.put_off == 50 - report.settled


def test_each_attempt_is_told_to_who_listens(
    django_capture_on_commit_callbacks: Any,
) -> None:
    heard: list[tuple[Any, ...]] = []

    def listen(notification: Any, attempt: Any, seconds: float, **_: Any) -> None:
        heard.append((notification.pk, attempt.number, attempt.outcome, seconds >= 0))

    signals.attempt_finished.connect(listen)
    try:
        row = sms("transient,deliver")
        with django_capture_on_commit_callbacks(execute=True):
            attempt(row)
            attempt(row)
    finally:
        signals.attempt_finished.disconnect(listen)
    assert heard == [(row.pk, 1, "transient", True), (row.pk, 2, "accepted", True)]


def test_a_row_costs_no_statement_of_its_own() -> None:
    def statements(count: int) -> int:
        rows = [sms() for _ in range(count)]
        with CaptureQueriesContext(connection) as captured:
            assert attempt(*rows).settled == count
        return len(captured)

    # The least of some: what is read once a second is not meant.
    assert min(statements(10) for _ in range(4)) == min(statements(3) for _ in range(4))
