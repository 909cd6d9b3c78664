"""What goes, what stays, and that nobody is held up by it."""

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, connections
from django.utils import timezone
from django_celery_results.models import TaskResult

from notifications.enums import Channel, Priority, ReceiptState, State, Status
from notifications.lifecycle import TERMINAL
from notifications.models import Attempt, Batch, Notification, Receipt, Wait, Worker, new_id
from notifications.pipeline import prune as pruning
from notifications.pipeline.prune import Pruned, prunable, prune
from notifications.tasks import prune as prune_task

from .factories import attempt, fresh, sms, tenant

pytestmark = pytest.mark.django_db

OLD = timedelta(days=100)
IN_FLIGHT = {"lease_token": uuid4(), "lease_until": timezone.now()}


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "PAUSE_SECONDS", 0)


def made(ago: timedelta) -> tuple[UUID, datetime]:
    """The id and the time of something made so long ago."""
    then = timezone.now() - ago
    return UUID(int=int(then.timestamp() * 1000) << 80 | new_id().int % (1 << 80)), then


def notification(ago: timedelta = OLD, state: State = State.SENT, **values: Any) -> Notification:
    """One made and, where `state` is final, ended so long ago, with all that hangs on it."""
    id, then = made(ago)
    ended = {"settled_at": then} if state in TERMINAL else {}
    held = IN_FLIGHT if state in (State.LEASED, State.DISPATCHING) else {}
    common = {"tenant": tenant("old"), "channel": Channel.SMS, "content": {"body": "Hello"}}
    common |= {"created_at": then, "state": state, "priority": Priority.NORMAL, "id": id}
    row = Notification.objects.create(**common | ended | held | values)
    Attempt.objects.create(
        notification=row, number=1, outcome="accepted", duration_ms=1, finished_at=then
    )
    Receipt.objects.create(
        notification=row, event_id=str(id), kind=ReceiptState.DELIVERED, occurred_at=then
    )
    times = {"since": then, "last_at": then, "until": then}
    Wait.objects.create(notification=row, after_attempt=0, reason="paused", count=1, **times)
    return row


def batch(ago: timedelta = OLD) -> Batch:
    id, then = made(ago)
    return Batch.objects.create(id=id, tenant=tenant("old"), created_at=then)


def left() -> set[Any]:
    return set(Notification.objects.values_list("pk", flat=True))


# What goes


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_what_was_settled_long_ago_goes_with_all_that_hangs_on_it(state: State) -> None:
    notification(state=state)
    assert prune() == Pruned(notifications=1)
    assert not left()
    assert not Attempt.objects.exists()
    assert not Receipt.objects.exists()
    assert not Wait.objects.exists()


def test_what_was_sent_and_never_heard_of_again_goes_too() -> None:
    notification(settled_at=None, sent_at=timezone.now() - OLD)
    assert prune().notifications == 1


@pytest.mark.parametrize("state", sorted(set(State) - TERMINAL))
def test_what_waits_is_in_flight_or_unknown_stays_however_old_it_is(state: State) -> None:
    row = notification(timedelta(days=3000), state)
    assert prune(1) == prunable(1) == Pruned()
    assert left() == {row.pk}
    assert Attempt.objects.count() == Receipt.objects.count() == 1


def test_what_was_settled_lately_stays_however_early_it_was_made() -> None:
    row = notification(settled_at=timezone.now() - timedelta(days=2))
    assert prune().notifications == prunable().notifications == 0
    assert left() == {row.pk}


def test_the_setting_says_how_long_and_the_argument_takes_its_place(settings: Any) -> None:
    day = timedelta(days=1)
    kept, older = notification(5 * day), notification(20 * day)
    assert prune().notifications == 0, "the default is 90 days"
    settings.NOTIFICATIONS = {"RETENTION_DAYS": 10}
    assert prune().notifications == 1
    assert left() == {kept.pk}
    assert prune(4).notifications == 1
    assert older.pk not in left()


@pytest.mark.parametrize("days", [0, -1])
def test_less_than_a_day_is_refused_because_keys_must_be_remembered(days: int) -> None:
    notification(idempotency_key="order-7")
    for refused in (prune, prunable):
        with pytest.raises(ValueError, match="idempotency keys"):
            refused(days)
    assert len(left()) == 1


def test_a_key_of_the_last_day_stays() -> None:
    row = notification(timedelta(hours=23, minutes=59), idempotency_key="order-7")
    notification(timedelta(hours=24, minutes=1), idempotency_key="order-6")
    prune(1)
    assert left() == {row.pk}


def test_it_goes_on_behind_what_stays_whatever_the_size_of_a_batch() -> None:
    states = [State.UNKNOWN, State.SENT, State.SENT, State.QUEUED, State.FAILED, State.UNKNOWN]
    rows = [notification(OLD - timedelta(hours=n), state) for n, state in enumerate(states)]
    told: list[int] = []
    assert prune(batch_size=2, told=told.append).notifications == 3
    assert told == [1, 1, 1]
    assert left() == {row.pk for row in rows if row.state not in TERMINAL}


def test_it_ends_between_two_batches_when_told_to_stop() -> None:
    for _ in range(3):
        notification()
    answers = iter([False, False, True, True, True])
    assert prune(batch_size=1, stop=lambda: next(answers, True)).notifications == 2
    assert len(left()) == 1


def test_batches_go_once_they_are_empty() -> None:
    emptied, half, never_filled, young = batch(), batch(), batch(), batch(timedelta(days=1))
    notification(batch=emptied)
    notification(batch=half)
    kept = notification(state=State.UNKNOWN, batch=half)
    assert prunable().batches == 2
    assert prune(batch_size=2) == Pruned(notifications=2, batches=2)
    assert left() == {kept.pk}
    assert set(Batch.objects.all()) == {half, young}
    assert never_filled not in Batch.objects.all()


def test_results_of_our_tasks_go_and_those_of_others_stay() -> None:
    for number, name in enumerate(["notifications.deliver_sms", "shop.report", None]):
        TaskResult.objects.create(task_id=f"old-{number}", task_name=name)
    TaskResult.objects.create(task_id="young", task_name="notifications.deliver_sms")
    old = TaskResult.objects.filter(task_id__startswith="old")
    old.update(date_done=timezone.now() - OLD)
    assert prunable().results == 1
    assert prune().results == 1
    assert set(TaskResult.objects.values_list("task_id", flat=True)) == {"old-1", "old-2", "young"}


def test_workers_that_nobody_has_seen_for_a_day_go() -> None:
    now = timezone.now()
    Worker.objects.create(name="gone", seen_at=now - timedelta(hours=25))
    Worker.objects.create(name="away", seen_at=now - timedelta(hours=23))
    assert prune().workers == 1
    assert Worker.objects.get().name == "away"


def test_what_would_go_is_counted_and_nothing_is_touched() -> None:
    notification(batch=batch())
    assert prunable() == Pruned(notifications=1, batches=1)
    assert len(left()) == 1
    assert prune() == Pruned(notifications=1, batches=1)


def test_a_batch_costs_the_same_few_statements_whatever_its_size(
    django_assert_max_num_queries: Any,
) -> None:
    for _ in range(30):
        notification()
    with django_assert_max_num_queries(41):
        assert prune(batch_size=10).notifications == 30


def test_the_task_gives_the_counts() -> None:
    notification()
    assert prune_task.apply().get() == {
        "notifications": 1,
        "batches": 0,
        "results": 0,
        "workers": 0,
        "orphans": 0,
        "digests": 0,
        "imports": 0,
    }


# Beside others


@pytest.fixture
def old_rows(transactional_db: None) -> list[Notification]:
    return [notification() for _ in range(20)]


@pytest.fixture
def in_the_middle_of_a_batch(
    old_rows: list[Notification], monkeypatch: pytest.MonkeyPatch
) -> Iterator[threading.Thread]:
    """A prune in another thread, which has deleted a batch and not committed it."""
    reached, go_on, delete = threading.Event(), threading.Event(), pruning._delete

    def wait_after_delete(rows: Any) -> int:
        count = delete(rows)
        if rows.model is Notification:
            reached.set()
            assert go_on.wait(30)
        return count

    def run() -> None:
        try:
            prune()
        finally:
            connections.close_all()

    monkeypatch.setattr(pruning, "_delete", wait_after_delete)
    thread = threading.Thread(target=run)
    thread.start()
    assert reached.wait(30)
    yield thread
    go_on.set()
    thread.join(30)
    assert not thread.is_alive()


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_nobody_waits_for_a_batch_in_the_making(in_the_middle_of_a_batch: threading.Thread) -> None:
    row = sms()
    attempt(row)
    assert fresh(row).status == Status.DELIVERED
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT mode FROM pg_locks JOIN pg_class ON pg_class.oid = relation "
            "WHERE relname LIKE 'notifications_%' AND pid <> pg_backend_pid()"
        )
        modes = {mode for (mode,) in cursor.fetchall()}
    assert in_the_middle_of_a_batch.is_alive(), "delivery went on only after the batch"
    assert "RowExclusiveLock" in modes
    assert modes <= {"AccessShareLock", "RowShareLock", "RowExclusiveLock"}


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_what_others_hold_is_passed_over_and_goes_the_next_time(
    old_rows: list[Notification],
) -> None:
    held, locked, let_go = old_rows[3], threading.Event(), threading.Event()

    def hold() -> None:
        with connection.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute(
                "SELECT 1 FROM notifications_notification WHERE id = %s FOR UPDATE", [held.pk]
            )
            locked.set()
            let_go.wait(30)
            cursor.execute("COMMIT")
        connections.close_all()

    holder = threading.Thread(target=hold)
    holder.start()
    assert locked.wait(30)
    assert prune().notifications == 19
    let_go.set()
    holder.join(30)
    assert left() == {held.pk}
    assert prune().notifications == 1
