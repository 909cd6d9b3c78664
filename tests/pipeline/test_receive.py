"""Receipts: once each, in any order, never backwards."""

import itertools
from uuid import uuid4

import pytest
from django.db.models.functions import Now

from notifications.enums import ReceiptState, State, Status
from notifications.messages import ProviderReceipt
from notifications.models import Notification, Receipt
from notifications.pipeline.receive import Arrival, receive

from .factories import attempt, fresh, sms

pytestmark = pytest.mark.django_db

K = ReceiptState


def arrival(row: Notification, kind: ReceiptState, event: str = "") -> Arrival:
    return Arrival(row.pk, "simulated", ProviderReceipt(kind, event or f"{row.pk}:{kind}"))


def in_state(state: State) -> Notification:
    row = sms()
    Notification.objects.filter(pk=row.pk).update(
        state=state, attempt_count=1, lease_token=uuid4(), lease_until=Now()
    )
    return row


@pytest.mark.parametrize(
    "order", list(itertools.permutations([K.ACCEPTED, K.IN_TRANSIT, K.DELIVERED]))
)
def test_in_any_order_delivered_is_the_end(order: list[ReceiptState]) -> None:
    row = in_state(State.SENT)
    for kind in order:
        receive([arrival(row, kind)])
    assert fresh(row).status == Status.DELIVERED
    assert fresh(row).settled_at is not None


def test_a_repeated_receipt_changes_nothing() -> None:
    row = in_state(State.SENT)
    for _ in range(10):
        receive([arrival(row, K.DELIVERED)])
    assert Receipt.objects.count() == 1


def test_of_two_that_contradict_the_first_is_kept() -> None:
    row = in_state(State.SENT)
    receive([arrival(row, K.UNDELIVERED)])
    receive([arrival(row, K.DELIVERED)])
    assert fresh(row).status == Status.UNDELIVERED


def test_a_bounce_after_delivery_is_told() -> None:
    row = in_state(State.SENT)
    receive([arrival(row, K.DELIVERED)])
    receive([arrival(row, K.BOUNCED)])
    assert fresh(row).status == Status.UNDELIVERED
    assert Receipt.objects.count() == 2


@pytest.mark.parametrize("state", [State.UNKNOWN, State.RETRY_WAIT, State.QUEUED, State.FAILED])
def test_proof_of_delivery_ends_all_trying(state: State) -> None:
    row = in_state(state)
    receive([arrival(row, K.DELIVERED)])
    assert fresh(row).status == Status.DELIVERED
    assert attempt(row).claimed == 0


def test_a_receipt_before_the_send_is_recorded_waits_for_it() -> None:
    row = sms("accept")
    receive([arrival(row, K.IN_TRANSIT)])
    attempt(row)
    assert fresh(row).status == Status.SENT
    receive([arrival(row, K.DELIVERED)])
    assert fresh(row).status == Status.DELIVERED


def test_a_receipt_during_the_attempt_decides_when_it_is_settled() -> None:
    row = in_state(State.DISPATCHING)
    receive([arrival(row, K.DELIVERED)])
    assert fresh(row).status == Status.SENDING
