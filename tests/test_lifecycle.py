"""The table of moves against the statements that make them."""

from collections.abc import Callable
from itertools import chain
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, transaction
from django.db.models.functions import Now
from django.utils import timezone

from notifications.enums import ReceiptState, State, Status
from notifications.lifecycle import INDEXED, MOVES, Move, states_of, status_of
from notifications.models import Notification, Tenant
from notifications.querysets import NotificationQuerySet
from notifications.settlements import Settlement, Way

TOKEN = UUID("018f0000-0000-7000-8000-000000000001")

Act = Callable[[NotificationQuerySet, list[UUID], UUID], object]


def settlement(move: Move) -> Act:
    def act(rows: NotificationQuerySet, ids: list[UUID], token: UUID) -> object:
        return rows.settle(token, [Settlement(id, Way(move)) for id in ids])

    return act


def claim(rows: NotificationQuerySet, ids: list[UUID], token: UUID) -> object:
    with transaction.atomic():
        return rows.claim(ids, token, 60)


def evidence(rows: NotificationQuerySet, ids: list[UUID], token: UUID) -> object:
    with transaction.atomic():
        return rows.raise_receipt(ids, ReceiptState.BOUNCED)


ACTS: dict[Move, Act] = {
    Move.CLAIM: claim,
    Move.RELEASE: lambda rows, ids, token: rows.release(ids, token),
    Move.MARK: lambda rows, ids, token: rows.mark_dispatching(ids, token, "simulated", 1),
    Move.ACCEPT: settlement(Move.ACCEPT),
    Move.RETRY: settlement(Move.RETRY),
    Move.FAIL: settlement(Move.FAIL),
    Move.PARK: settlement(Move.PARK),
    Move.ABANDON: settlement(Move.ABANDON),
    Move.POISON: lambda rows, ids, token: rows.poison(ids),
    Move.CANCEL: lambda rows, ids, token: rows.cancel(ids),
    Move.SUPPRESS: lambda rows, ids, token: rows.suppress(ids, token, "suppressed", "manual"),
    Move.EXPIRE: lambda rows, ids, token: rows.expire(ids),
    Move.DIGEST: lambda rows, ids, token: rows.digest(ids),
    Move.DISBAND: lambda rows, ids, token: rows.disband(ids),
    Move.REQUEUE: lambda rows, ids, token: rows.requeue(ids, list(Status)),
    Move.EVIDENCE: evidence,
}

HELD_BY_TOKEN = (
    Move.RELEASE,
    Move.MARK,
    Move.ACCEPT,
    Move.RETRY,
    Move.FAIL,
    Move.PARK,
    Move.ABANDON,
    Move.SUPPRESS,
)


def rows_in_every_condition() -> dict[UUID, Notification]:
    tenant = Tenant.objects.create(name=f"t-{uuid4().hex[:8]}")
    rows = [
        Notification(
            tenant=tenant,
            channel="sms",
            to="+14155550123",
            content={"body": "x"},
            fingerprint="f",
            state=state,
            receipt_state=receipt,
            cancel_requested=cancelling,
            attempt_count=attempts,
            lease_token=TOKEN,
            lease_until=timezone.now() + timezone.timedelta(minutes=5),
            send_at=timezone.now() + timezone.timedelta(hours=1) if attempts == 2 else None,
        )
        for state in State
        for receipt in ReceiptState
        for cancelling in (False, True)
        for attempts in (0, 1, 2)
        if attempts or state != State.DISPATCHING
    ]
    Notification.objects.bulk_create(rows)
    return {row.pk: row for row in rows}


def test_every_move_has_an_act() -> None:
    assert set(ACTS) == set(MOVES) == set(Move)


@pytest.mark.django_db
@pytest.mark.parametrize("move", list(Move))
def test_a_move_goes_only_where_the_table_says(move: Move) -> None:
    before = rows_in_every_condition()
    start, end = MOVES[move]
    ACTS[move](Notification.objects.all(), list(before), TOKEN)
    moved: set[tuple[State, State]] = set()
    for row in Notification.objects.filter(pk__in=before):
        was, now = State(before[row.pk].state), State(row.state)
        if was != now:
            moved.add((was, now))
            assert was in start, f"{move} started from {was}"
            assert now in end, f"{move} led from {was} to {now}"
    assert {was for was, _ in moved} | (start & end) >= start, "some starts were never left"
    assert {now for _, now in moved} | (start & end) >= end, "some ends were never reached"


@pytest.mark.django_db
def test_a_stranger_to_the_lease_moves_nothing() -> None:
    before = rows_in_every_condition()
    for move in HELD_BY_TOKEN:
        ACTS[move](Notification.objects.all(), list(before), uuid4())
        now = dict(Notification.objects.filter(pk__in=before).values_list("pk", "state"))
        assert now == {id: row.state for id, row in before.items()}, move


@pytest.mark.django_db
@pytest.mark.parametrize("kind", [k for k in ReceiptState if k])
def test_a_receipt_never_lowers_what_was_said(kind: ReceiptState) -> None:
    before = rows_in_every_condition()
    with transaction.atomic():
        Notification.objects.raise_receipt(list(before), kind)
    for row in Notification.objects.filter(pk__in=before):
        was = ReceiptState(before[row.pk].receipt_state)
        assert row.receipt_state == (kind if was < kind.floor else was)


@pytest.mark.django_db
def test_no_state_outside_the_words_can_be_stored() -> None:
    row = next(iter(rows_in_every_condition().values()))
    with pytest.raises(IntegrityError), transaction.atomic():
        Notification.objects.filter(pk=row.pk).update(state="lost")


@pytest.mark.django_db
def test_nothing_is_in_flight_without_a_lease() -> None:
    row = next(iter(rows_in_every_condition().values()))
    with pytest.raises(IntegrityError), transaction.atomic():
        Notification.objects.filter(pk=row.pk).update(state="leased", lease_token=None)


@pytest.mark.django_db
def test_the_filter_by_status_is_the_inverse_of_the_status() -> None:
    before = rows_in_every_condition()
    for status in Status:
        found = Notification.objects.filter(pk__in=before).with_status(status)
        ids = {id for id, row in before.items() if row.status == status}
        assert set(found.values_list("pk", flat=True)) == ids, status


def test_every_pair_of_columns_has_one_status() -> None:
    pairs = [pair for status in Status for pair in states_of(status)]
    assert len(pairs) == len(set(pairs)) == len(State) * len(ReceiptState)
    assert all(status_of(*pair) for pair in pairs)


@pytest.mark.django_db
def test_only_what_is_due_unexpired_and_wanted_is_claimed() -> None:
    rows = rows_in_every_condition()
    with transaction.atomic():
        claimed = Notification.objects.claim(list(rows), TOKEN, 60)
    assert claimed
    assert not any(row.cancel_requested for row in claimed)
    Notification.objects.filter(pk__in=rows).update(
        state=State.QUEUED, cancel_requested=False, expires_at=Now()
    )
    with transaction.atomic():
        assert Notification.objects.claim(list(rows), TOKEN, 60) == []


def test_every_state_is_in_one_of_the_indexes_by_channel_and_priority() -> None:
    assert sorted(chain.from_iterable(INDEXED)) == sorted(State)
