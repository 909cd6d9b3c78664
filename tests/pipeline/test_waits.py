"""What is written down of a notification that is put off: each reason once, and not for ever."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from notifications.enums import Channel, State, WaitReason
from notifications.models import Notification, Pause, Wait
from notifications.pipeline import policy, waits
from notifications.pipeline.deliver import deliver
from notifications.pipeline.dispatch import dispatch_due
from notifications.pipeline.lease import Lease

from .factories import attempt, fresh, make_due, sms

pytestmark = pytest.mark.django_db

LIMIT = WaitReason.RATE_LIMIT
SCOPE = "channel:sms:2/m"


def held(*rows: Notification) -> Lease:
    """A lease on all of `rows`, by a worker of its own."""
    make_due([row.pk for row in rows])
    lease = Lease(Channel.SMS, lambda: False)
    assert len(lease.claim([row.pk for row in rows])) == len(rows)
    return lease


def put_off(*rows: Notification, reason: WaitReason = LIMIT, scope: str = SCOPE) -> None:
    held(*rows).put_off({row.pk: 60.0 for row in rows}, reason, scope)


def kept(row: Notification) -> list[tuple[int, str, str, int]]:
    return list(row.waits.values_list("after_attempt", "reason", "scope", "count"))


def statements(*rows: Notification) -> list[str]:
    """What delivering them sends to the tables of notifications and waits."""
    make_due([row.pk for row in rows])
    with CaptureQueriesContext(connection) as captured:
        deliver(Channel.SMS, [row.pk for row in rows])
    return [q["sql"] for q in captured if "notifications_wait" in q["sql"]]


def test_a_spent_limit_is_written_down_with_its_time(settings: Any) -> None:
    settings.NOTIFICATIONS = {"CHANNELS": {"sms": {"RATE_LIMIT": "2/m"}}}
    rows = [sms() for _ in range(3)]
    attempt(*rows)
    late = {row.pk: fresh(row) for row in rows if fresh(row).state == State.QUEUED}
    assert {wait.notification_id for wait in Wait.objects.all()} == set(late) != set()
    wait = Wait.objects.first()
    assert wait is not None
    assert (wait.after_attempt, wait.reason, wait.scope, wait.count) == (0, LIMIT, SCOPE, 1)
    assert wait.since == wait.last_at
    assert wait.until == late[wait.notification_id].due_at
    assert timedelta(0) < wait.until - wait.since <= timedelta(seconds=120)


def test_the_same_again_counts_on() -> None:
    row = sms()
    put_off(row)
    before = row.waits.get()
    put_off(row)
    put_off(row)
    wait = row.waits.get()
    assert wait.count == 3
    assert wait.since == before.since < wait.last_at
    assert wait.until == fresh(row).due_at > before.until


def test_another_reason_scope_or_attempt_is_another() -> None:
    row = sms("transient,deliver")
    put_off(row)
    put_off(row, scope="tenant:default:1/s")
    put_off(row, reason=WaitReason.QUIET_HOURS, scope="")
    attempt(row)
    put_off(row)
    assert kept(row) == [
        (0, LIMIT, SCOPE, 1),
        (0, LIMIT, "tenant:default:1/s", 1),
        (0, WaitReason.QUIET_HOURS, "", 1),
        (1, LIMIT, SCOPE, 1),
    ]


def test_no_more_than_a_few_are_kept_and_those_go_on_counting() -> None:
    row, other = sms(), sms()
    for number in range(waits.MOST + 3):
        put_off(row, other, scope=f"channel:sms:{number}/s") if number else put_off(row, scope="x")
    assert len(kept(row)) == len(kept(other)) == waits.MOST
    put_off(row, other, scope="x")
    assert kept(row)[0] == (0, LIMIT, "x", 2)
    assert len(kept(row)) == len(kept(other)) == waits.MOST


def test_nothing_is_written_for_what_was_taken_away_meanwhile() -> None:
    lapsed, cancelled, taken, ours = (sms() for _ in range(4))
    put_off(lapsed)
    Notification.objects.update(wait_reason=LIMIT, wait_scope=SCOPE)
    lease = held(lapsed, cancelled, taken, ours)
    Notification.objects.return_lapsed([lapsed.pk])
    Notification.objects.cancel([cancelled.pk])
    Notification.objects.filter(pk=taken.pk).update(lease_token=uuid4())
    lease.put_off({row.pk: 60.0 for row in (lapsed, cancelled, taken, ours)}, LIMIT, SCOPE)
    assert lease.report.put_off == 1
    assert [kept(row) for row in (cancelled, taken)] == [[], []]
    assert kept(lapsed) == kept(ours) == [(0, LIMIT, SCOPE, 1)]


@pytest.mark.django_db(transaction=True)
def test_a_put_off_that_fails_leaves_neither_the_move_nor_the_record(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = sms()
    lease = held(row)

    def broken(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(waits, "record", broken)
        with pytest.raises(RuntimeError):
            lease.put_off({row.pk: 60.0}, LIMIT, SCOPE)
    assert fresh(row).state == State.LEASED
    assert not Wait.objects.exists()


def test_it_costs_nothing_where_nothing_is_put_off_and_one_statement_for_many() -> None:
    assert statements(*(sms() for _ in range(3))) == []
    rows = [sms() for _ in range(50)]
    Pause.objects.create(scope="channel", subject="sms")
    policy.forget()
    assert len(statements(*rows)) == 1
    assert Wait.objects.count() == 50


def test_while_a_pause_lasts_each_is_written_down_once_however_many_wait() -> None:
    rows = [sms() for _ in range(30)]
    Pause.objects.create(scope="provider", subject="simulated")
    policy.forget()
    assert len(statements(*rows)) == 1
    for _ in range(3):
        Notification.objects.update(due_at=Now(), publish_at=Now())
        with CaptureQueriesContext(connection) as captured:
            assert dispatch_due() == 0
        assert not any(q["sql"].startswith(("UPDATE", "INSERT")) for q in captured)
    assert {wait.count for wait in Wait.objects.all()} == {1}
    assert Wait.objects.count() == 30


def test_what_is_given_back_was_not_put_off() -> None:
    row = sms()
    lease = held(row)
    lease.give_back([row])
    assert not Wait.objects.exists()


@pytest.mark.parametrize(
    ("reason", "scope", "words"),
    [
        (LIMIT, SCOPE, "the limit of channel sms (2/m) was used up"),
        (LIMIT, "provider:ses", "provider ses refused to be sent so much so fast"),
        (WaitReason.PAUSED, "channel:sms", "channel sms was paused"),
        (WaitReason.PAUSED, "tenant:shop", "tenant shop was paused or switched off"),
        (WaitReason.CIRCUIT_OPEN, "provider:ses", "the circuit of provider ses was open"),
        (WaitReason.QUIET_HOURS, "", "its recipient had quiet hours"),
    ],
)
def test_it_is_told_in_words(reason: WaitReason, scope: str, words: str) -> None:
    assert waits.in_words(Wait(reason=reason, scope=scope)) == words
