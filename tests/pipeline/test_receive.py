"""Receipts: once each, in any order, never backwards."""

import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications import signals
from notifications.enums import ReceiptState, State, Status
from notifications.messages import ReportedReceipt
from notifications.models import Notification, Receipt
from notifications.pipeline.adopt import adopt, adopt_missed
from notifications.pipeline.control import retry
from notifications.pipeline.prune import prunable, prune
from notifications.pipeline.receive import receive as receive_from

from .factories import attempt, fresh, sms

pytestmark = pytest.mark.django_db(transaction=True)

K = ReceiptState
Heard = list[tuple[Any, ...]]


def arrival(
    row: Notification | None, kind: ReceiptState, event: str = "", **more: Any
) -> ReportedReceipt:
    id = row.pk if row else None
    return ReportedReceipt(kind, event or f"{id}:{kind}", notification_id=id, **more)


def receive(receipts: list[ReportedReceipt]) -> None:
    receive_from("simulated", receipts)


def in_state(state: State, **more: Any) -> Notification:
    row = sms()
    values = {"attempt_count": 1, "provider": "simulated", **more}
    Notification.objects.filter(pk=row.pk).update(
        state=state, lease_token=uuid4(), lease_until=Now(), **values
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


@pytest.mark.parametrize("kind", [K.ACCEPTED, K.IN_TRANSIT])
def test_any_receipt_proves_that_an_unknown_one_was_sent(kind: ReceiptState) -> None:
    row = in_state(State.UNKNOWN)
    receive([arrival(row, kind)])
    assert fresh(row).status == Status.SENT
    assert fresh(row).sent_at is not None
    assert fresh(row).settled_at is None, "what became of it is still to be told"


@pytest.mark.parametrize("state", [State.RETRY_WAIT, State.QUEUED, State.FAILED])
def test_on_its_way_is_no_reason_to_stop_trying(state: State) -> None:
    row = in_state(state)
    receive([arrival(row, K.IN_TRANSIT)])
    assert fresh(row).state == state


def test_what_was_told_of_before_the_answer_was_lost_is_not_unknown() -> None:
    row = sms("timeout")
    Notification.objects.filter(pk=row.pk).update(provider="simulated")
    receive([arrival(row, K.IN_TRANSIT)])
    attempt(row)
    assert fresh(row).status == Status.SENT


def test_a_receipt_before_the_send_is_recorded_waits_for_it() -> None:
    row = sms("accept")
    Notification.objects.filter(pk=row.pk).update(provider="simulated")
    receive([arrival(row, K.IN_TRANSIT)])
    attempt(row)
    assert fresh(row).status == Status.SENT
    receive([arrival(row, K.DELIVERED)])
    assert fresh(row).status == Status.DELIVERED


def test_a_receipt_during_the_attempt_decides_when_it_is_settled() -> None:
    row = in_state(State.DISPATCHING)
    receive([arrival(row, K.DELIVERED)])
    assert fresh(row).status == Status.SENDING


# Whose it is


def test_the_provider_s_own_id_is_enough() -> None:
    row = in_state(State.SENT, provider_message_id="SM1")
    receive([arrival(None, K.DELIVERED, "e", provider_message_id="SM1")])
    assert fresh(row).status == Status.DELIVERED


@pytest.mark.parametrize("by", ["our id", "their id"])
def test_another_provider_says_nothing_of_it(by: str) -> None:
    row = in_state(State.SENT, provider_message_id="SM1")
    known = {"notification_id": row.pk} if by == "our id" else {"provider_message_id": "SM1"}
    receive_from("another", [ReportedReceipt(K.DELIVERED, "e", **known)])
    assert fresh(row).status == Status.SENT
    assert Receipt.objects.get().notification is None


def test_a_provider_that_has_tried_it_before_may_speak() -> None:
    row = in_state(State.RETRY_WAIT, provider="another")
    row.attempts.create(number=1, provider="simulated", outcome="ambiguous", duration_ms=1)
    receive([arrival(row, K.DELIVERED)])
    assert fresh(row).status == Status.DELIVERED


def test_what_was_pruned_leaves_an_orphan() -> None:
    row = in_state(State.SENT)
    late = arrival(row, K.DELIVERED, provider_message_id="SM1")
    Notification.objects.filter(pk=row.pk).delete()
    receive([late])
    receive([late])
    orphan = Receipt.objects.get()
    assert (orphan.notification, orphan.provider_message_id) == (None, "SM1")


def test_what_is_retried_does_not_heed_the_same_report_again() -> None:
    row = in_state(State.SENT)
    bounced = arrival(row, K.UNDELIVERED)
    receive([bounced])
    retry(fresh(row))
    receive([bounced])
    assert fresh(row).status == Status.QUEUED


# Orphans


def test_one_that_overtook_its_send_is_adopted_when_that_is_recorded() -> None:
    row = sms("accept")
    overtaking = f"sim-{row.pk}-1"
    receive([arrival(None, K.DELIVERED, "e", provider_message_id=overtaking)])
    attempt(row)
    assert fresh(row).status == Status.DELIVERED
    assert Receipt.objects.get().notification == row


def test_one_that_knew_our_id_before_it_was_sent_waits_for_that() -> None:
    row = sms("accept")
    receive([arrival(row, K.DELIVERED)])
    assert adopt_missed() == 0
    assert fresh(row).status == Status.QUEUED, "what was never sent cannot have arrived"
    attempt(row)
    assert fresh(row).status == Status.DELIVERED


def test_an_adopted_one_is_told_as_any_other(heard: Heard) -> None:
    row = sms("accept")
    receive([arrival(None, K.BOUNCED, "e", provider_message_id=f"sim-{row.pk}-1", code="bounce")])
    assert heard == [("orphaned", K.BOUNCED)]
    attempt(row)
    assert heard[1:] == [(row.pk, K.BOUNCED, "bounce", True), (row.pk, Status.UNDELIVERED)]


def test_one_that_the_send_has_missed_is_adopted_by_a_worker_s_round() -> None:
    row = in_state(State.SENT, provider_message_id="SM1")
    Receipt.objects.create(
        provider="simulated", provider_message_id="SM1", event_id="e", kind=K.DELIVERED
    )
    Receipt.objects.create(
        provider="another", provider_message_id="SM1", event_id="e", kind=K.BOUNCED
    )
    other = in_state(State.SENT)
    Receipt.objects.create(
        provider="simulated", claims=other.pk, event_id="of the other", kind=K.DELIVERED
    )
    assert adopt_missed() == 2
    assert fresh(row).status == fresh(other).status == Status.DELIVERED
    assert adopt_missed() == 0


def test_orphans_are_looked_for_by_index() -> None:
    with CaptureQueriesContext(connection) as seen:
        receive([arrival(None, K.DELIVERED, provider_message_id="SM1")])
        adopt_missed()
        with transaction.atomic():
            adopt("simulated", {uuid4()}, {"SM2": uuid4()})
    for query in (q["sql"] for q in seen if q["sql"].startswith("SELECT")):
        plan = explained(query)
        assert "Seq Scan" not in plan, query
        assert "SCAN notifications" not in plan, query


def explained(query: str) -> str:
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
        word = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
        cursor.execute(f"{word} {query}")
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


def test_an_orphan_is_kept_for_a_week() -> None:
    for days in (6, 8):
        Receipt.objects.create(
            provider="simulated",
            event_id=str(days),
            kind=K.DELIVERED,
            received_at=timezone.now() - timedelta(days=days),
        )
    assert prunable().orphans == 1
    assert prune().orphans == 1
    assert Receipt.objects.get().event_id == "6"


# What is told


@pytest.fixture
def heard() -> Iterator[Heard]:
    """What the signals say, as they say it."""
    told: Heard = []

    def received(notification_id: Any, kind: Any, code: str, applied: bool, **_: Any) -> None:
        told.append((notification_id, kind, code, applied))

    def dismissed(kind: Any, result: str, **_: Any) -> None:
        told.append((result, kind))

    def settled(notification_id: Any, status: Any, **_: Any) -> None:
        told.append((notification_id, status))

    signals.receipt_received.connect(received)
    signals.receipt_dismissed.connect(dismissed)
    signals.notification_settled.connect(settled)
    yield told
    signals.receipt_received.disconnect(received)
    signals.receipt_dismissed.disconnect(dismissed)
    signals.notification_settled.disconnect(settled)


def test_each_is_told_with_its_reason_and_whether_it_changed_anything(heard: Heard) -> None:
    row = in_state(State.SENT)
    bounce = arrival(row, K.BOUNCED, code="bounce")
    receive([bounce, bounce])
    receive([bounce])
    assert heard == [
        (row.pk, K.BOUNCED, "bounce", True),
        (row.pk, Status.UNDELIVERED),
        (row.pk, K.BOUNCED, "bounce", False),
    ]


def test_what_says_nothing_that_counts_is_counted_and_not_kept(heard: Heard) -> None:
    receive([arrival(in_state(State.SENT), K.NONE)])
    assert heard == [("ignored", K.NONE)]
    assert not Receipt.objects.exists()


def test_what_no_database_takes_is_left_out_of_what_is_stored() -> None:
    odd = "a\x00b\ud800" * 1000
    receive([arrival(None, K.DELIVERED, odd, provider_message_id=odd, code=odd)])
    receive([arrival(None, K.DELIVERED, odd, provider_message_id=odd, code=odd)])
    assert Receipt.objects.get().code == ("ab?" * 17)[:50]
