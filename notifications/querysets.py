"""Named sets of rows, and every move of a notification's state.

A move is one `UPDATE` guarded by the state and, where a worker moves, by its lease token; it
runs on the database's clock, and the number of rows says who won. No other module writes a
state. The methods return what moved and never raise for what did not.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connections, models
from django.db.models import Case, Exists, F, OuterRef, Q, Value, When
from django.db.models.functions import Now

from .enums import ReceiptState, State, Status, WaitReason
from .lifecycle import MOVES, WAITING, Move, states_of
from .retry import FAST_RETRY_SECONDS

if TYPE_CHECKING:
    from .models import APIKey, Notification, Tenant, Worker  # noqa: F401 - types only

RETRY_GRACE_SECONDS = 5.0
"""How long after `due_at` the dispatcher leaves a short delay to Celery's own countdown."""

PROVEN = tuple(r for r in ReceiptState if r >= ReceiptState.DELIVERED)
"""Receipts that prove the provider took the message, whatever became of it then."""


class Clock(models.Func):
    """The database's clock at this very moment, not at the start of the statement.

    `Now()` is cheaper and can use an index; a guard that may have waited for a row lock must
    not be judged by the time at which it began to wait.
    """

    template = "CLOCK_TIMESTAMP()"
    output_field = models.DateTimeField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return Now().as_sqlite(compiler, connection, **context)


@dataclass(frozen=True, slots=True)
class Settlement:
    """How one notification is to move after its attempt; `delay` is in seconds."""

    id: UUID
    move: Move
    delay: float = 0.0
    free: bool = False
    final: bool = True
    ambiguous: bool = False
    risky: bool = False
    provider_message_id: str = ""
    code: str = ""
    detail: str = ""


_Kind = tuple[Move, bool, bool, bool, bool]


class TenantQuerySet(models.QuerySet["Tenant"]):
    def active(self) -> "TenantQuerySet":
        return self.filter(is_active=True)

    def owed(self, channel: str, priority: int) -> "TenantQuerySet":
        """Tenants with something to dispatch: one index probe each, however long the queues."""
        related: Any = self.model._meta.get_field("notification").related_model
        owed = related.objects.owed(channel, priority).filter(tenant=OuterRef("pk"))
        return self.filter(Exists(owed))


class APIKeyQuerySet(models.QuerySet["APIKey"]):
    def live(self) -> "APIKeyQuerySet":
        """Keys that open the door now: not revoked, not expired."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), revoked_at=None)


class WorkerQuerySet(models.QuerySet["Worker"]):
    def seen_within(self, seconds: float) -> "WorkerQuerySet":
        return self.filter(seen_at__gt=Now() - timedelta(seconds=seconds))


class NotificationQuerySet(models.QuerySet["Notification"]):
    # Named sets

    def with_status(self, *statuses: Status) -> "NotificationQuerySet":
        pairs = [pair for status in statuses for pair in states_of(status)]
        receipts: dict[State, set[ReceiptState]] = defaultdict(set)
        for state, receipt in pairs:
            receipts[state].add(receipt)
        whole = [s for s, found in receipts.items() if len(found) == len(ReceiptState)]
        query = Q(state__in=whole)
        for state, found in receipts.items():
            if state not in whole:
                query |= Q(state=state, receipt_state__in=sorted(found))
        return self.filter(query)

    def waiting(self) -> "NotificationQuerySet":
        return self.filter(state__in=sorted(WAITING))

    def due(self) -> "NotificationQuerySet":
        """What may be claimed now."""
        return self.waiting().unexpired().filter(due_at__lte=Now(), cancel_requested=False)

    def unexpired(self) -> "NotificationQuerySet":
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=Now()))

    def overdue(self) -> "NotificationQuerySet":
        """Not sent in time: waiting or merely leased, past `expires_at`."""
        start, _ = MOVES[Move.EXPIRE]
        return self.filter(state__in=sorted(start), expires_at__lte=Now())

    def cancellable(self) -> "NotificationQuerySet":
        """What provably has not been sent and still would be."""
        start, _ = MOVES[Move.CANCEL]
        return self.filter(state__in=sorted(start))

    def owed(self, channel: str, priority: int) -> "NotificationQuerySet":
        """What the dispatcher owes a message: due, and no live message is believed to exist."""
        return self.waiting().filter(channel=channel, priority=priority, publish_at__lte=Now())

    def lapsed(self, state: State, grace: float) -> "NotificationQuerySet":
        """In flight in `state` although the lease ran out more than `grace` seconds ago."""
        return self.filter(state=state, lease_until__lt=Now() - timedelta(seconds=grace))

    # Moves of workers

    def claim(
        self, ids: Collection[UUID], token: UUID, lease_seconds: float
    ) -> "list[Notification]":
        """Lease what is due of `ids`; call inside a transaction. What others hold is skipped."""
        claimed = list(self.filter(pk__in=ids).due().lock().select_related("tenant"))
        self._move(Move.CLAIM, [n.pk for n in claimed]).update(
            state=State.LEASED,
            lease_token=token,
            lease_until=Now() + timedelta(seconds=lease_seconds),
            publish_at=Now() + timedelta(seconds=lease_seconds),
        )
        return claimed

    def lock(self) -> "NotificationQuerySet":
        """Lock the rows until the transaction ends, passing over what others have locked."""
        skip = connections[self.db].features.has_select_for_update_skip_locked
        return self.select_for_update(skip_locked=skip, of=("self",) if skip else ())

    def release(
        self,
        ids: Collection[UUID],
        token: UUID,
        delays: Mapping[UUID, float] | None = None,
        reason: str = "",
        scope: str = "",
    ) -> int:
        """Give leased rows back, unsent and free of charge; `delays` snoozes them (seconds)."""
        due_at = _after(delays or {}, default=Now())
        return self._move(Move.RELEASE, ids, token).update(
            state=_back_in_line(),
            due_at=due_at,
            publish_at=due_at,
            wait_reason=reason,
            wait_scope=scope[:100],
        )

    def mark_dispatching(
        self, ids: Collection[UUID], token: UUID, provider: str, margin: float
    ) -> set[UUID]:
        """Commit the intent to send; from here on the provider may have it.

        Refused are rows whose lease has less than `margin` seconds left, that have expired, or
        whose cancellation was asked for. Returns the ids that may be sent.
        """
        marked = self._move(Move.MARK, ids, token).filter(
            Q(expires_at=None) | Q(expires_at__gt=Clock()),
            lease_until__gt=Clock() + timedelta(seconds=margin),
            cancel_requested=False,
        )
        count = marked.update(
            state=State.DISPATCHING,
            attempt_count=F("attempt_count") + 1,
            provider=provider,
            dispatched_at=Clock(),
            wait_reason="",
            wait_scope="",
        )
        if count == len(ids):
            return set(ids)
        held = self.filter(pk__in=ids, lease_token=token, state=State.DISPATCHING)
        return set(held.values_list("pk", flat=True))

    def settle(self, token: UUID, settlements: Sequence[Settlement]) -> int:
        """Write what attempts came to, one statement for each kind of move; how many moved."""
        by_move: dict[_Kind, list[Settlement]] = defaultdict(list)
        for item in settlements:
            kind = (item.move, item.free, item.final, item.ambiguous, item.risky)
            by_move[kind].append(item)
        return sum(self._settle(token, key[0], items) for key, items in by_move.items())

    def settleable(self, token: UUID, ids: Collection[UUID]) -> set[UUID]:
        """Lock and name those of `ids` that the holder of `token` may still settle."""
        start, _ = MOVES[Move.ACCEPT]
        held = self.filter(pk__in=ids, lease_token=token, state__in=sorted(start))
        return set(held.select_for_update().values_list("pk", flat=True))

    def _settle(self, token: UUID, move: Move, items: Sequence[Settlement]) -> int:
        ids = [item.id for item in items]
        values = _SETTLED_VALUES[move](items)
        values |= {
            "error_code": _each(items, "code"),
            "error_detail": _each(items, "detail"),
            "cancel_requested": False,
        }
        if items[0].free:
            values["uncounted_attempts"] = F("uncounted_attempts") + 1
        if items[0].ambiguous:
            values["was_ambiguous"] = True
        return self._move(move, ids, token).update(**values)

    # Moves of the rescuer

    def return_lapsed(self, ids: Collection[UUID]) -> int:
        """Put leased rows of a worker that is gone back in line; nothing of them was sent."""
        return self._move(Move.RELEASE, ids).update(
            state=_back_in_line(),
            due_at=Now(),
            publish_at=Now(),
            abandon_count=F("abandon_count") + 1,
        )

    def poison(self, ids: Collection[UUID]) -> int:
        """Fail rows whose worker died too often before sending them."""
        return self._move(Move.POISON, ids).update(
            state=State.FAILED,
            settled_at=Now(),
            error_code="poison",
            error_detail="the worker that held it died too often before sending it",
        )

    def expire(self, ids: Collection[UUID]) -> int:
        return self._move(Move.EXPIRE, ids).update(
            state=State.EXPIRED,
            settled_at=Now(),
            error_code="expired",
            error_detail="expires_at passed before it was sent",
        )

    # Moves of control and of receipts

    def cancel(self, ids: Collection[UUID]) -> int:
        """Cancel what provably has not been sent."""
        return self._move(Move.CANCEL, ids).update(state=State.CANCELLED, settled_at=Now())

    def request_cancel(self, ids: Collection[UUID]) -> int:
        """Ask that what is in flight, or may have been sent, is not tried again."""
        maybe_sent = (State.DISPATCHING, State.UNKNOWN)
        return self.filter(pk__in=ids, state__in=maybe_sent).update(cancel_requested=True)

    def requeue(self, ids: Collection[UUID], statuses: Collection[Status]) -> int:
        """Start a new cycle of attempts for rows that have one of `statuses`."""
        return (
            self._move(Move.REQUEUE, ids)
            .with_status(*statuses)
            .update(
                state=State.QUEUED,
                receipt_state=ReceiptState.NONE,
                duplicate_risk=Case(
                    When(state=State.UNKNOWN, then=True), default=F("duplicate_risk")
                ),
                due_at=Now(),
                publish_at=Now(),
                uncounted_attempts=F("attempt_count"),
                expires_at=Case(When(expires_at__lte=Now(), then=None), default=F("expires_at")),
                cancel_requested=False,
                abandon_count=0,
                sent_at=None,
                settled_at=None,
                error_code="",
                error_detail="",
            )
        )

    def raise_receipt(self, ids: Collection[UUID], kind: ReceiptState) -> "list[Notification]":
        """Let a receipt speak where it outranks what earlier ones said; which rows rose by it.

        One that proves that the provider has the message also ends all trying (EVIDENCE) and
        stamps the end of what was sent. Call inside a transaction.
        """
        outranked = self.filter(pk__in=ids, receipt_state__lt=kind.floor)
        rising = list(outranked.select_for_update().only("id", "channel", "state", "settled_at"))
        values: dict[str, Any] = {"receipt_state": kind}
        if kind in PROVEN:
            start, _ = MOVES[Move.EVIDENCE]
            known = Q(state__in=sorted(start | {State.SENT}))
            values |= {
                "state": Case(When(known, then=Value(State.SENT.value)), default=F("state")),
                "sent_at": Case(When(known & Q(sent_at=None), then=Now()), default=F("sent_at")),
                "settled_at": Case(When(known, then=Now()), default=F("settled_at")),
            }
        self.filter(pk__in=[row.pk for row in rising]).update(**values)
        return rising

    # The dispatcher's mark

    def hint(self, ids: Collection[UUID], seconds: float) -> int:
        """Note that a message is on its way, so that none is owed for `seconds`."""
        later = Now() + timedelta(seconds=seconds)
        return self.waiting().filter(pk__in=ids).update(publish_at=later)

    def _move(
        self, move: Move, ids: Collection[UUID], token: UUID | None = None
    ) -> "NotificationQuerySet":
        start, _ = MOVES[move]
        rows = self.filter(pk__in=ids, state__in=sorted(start))
        return rows if token is None else rows.filter(lease_token=token)


def _back_in_line() -> Case:
    return Case(
        When(attempt_count__gt=0, then=Value(State.RETRY_WAIT.value)),
        default=Value(State.QUEUED.value),
    )


def _unless_proven(state: State, *whens: When) -> Case:
    """The state to move to, unless a receipt or the wish to cancel says otherwise."""
    proven = When(receipt_state__in=PROVEN, then=Value(State.SENT.value))
    return Case(proven, *whens, default=Value(state.value))


def _when_proven(*whens: When) -> Case:
    """The time of settling, for rows that a receipt (or one of `whens`) has already decided."""
    return Case(When(receipt_state__in=PROVEN, then=Now()), *whens, default=None)


def _accepted(items: Sequence[Settlement]) -> dict[str, Any]:
    return {
        "state": State.SENT,
        "sent_at": Now(),
        "settled_at": Now() if items[0].final else _when_proven(),
        "provider_message_id": _each(items, "provider_message_id"),
    }


def _to_be_retried(items: Sequence[Settlement]) -> dict[str, Any]:
    delays = {item.id: item.delay for item in items}
    by_dispatcher = {
        id: delay + (RETRY_GRACE_SECONDS if delay <= FAST_RETRY_SECONDS else 0)
        for id, delay in delays.items()
    }
    risk = {"duplicate_risk": True} if items[0].risky else {}
    return risk | {
        "state": _unless_proven(
            State.RETRY_WAIT, When(cancel_requested=True, then=Value(State.CANCELLED.value))
        ),
        "settled_at": _when_proven(When(cancel_requested=True, then=Now())),
        "due_at": _after(delays, Now()),
        "publish_at": _after(by_dispatcher, Now()),
        "wait_reason": WaitReason.BACKOFF,
    }


def _failed(items: Sequence[Settlement]) -> dict[str, Any]:
    return {"state": _unless_proven(State.FAILED), "settled_at": Now()}


def _parked(items: Sequence[Settlement]) -> dict[str, Any]:
    return {
        "state": _unless_proven(State.UNKNOWN),
        "settled_at": _when_proven(),
        "wait_reason": WaitReason.RECONCILE,
    }


def _abandoned(items: Sequence[Settlement]) -> dict[str, Any]:
    cancelled = When(cancel_requested=True, then=Value(State.CANCELLED.value))
    tried_before = When(attempt_count__gt=1, then=Value(State.RETRY_WAIT.value))
    return {
        "state": Case(cancelled, tried_before, default=Value(State.QUEUED.value)),
        "settled_at": Case(When(cancel_requested=True, then=Now()), default=None),
        "attempt_count": F("attempt_count") - 1,
        "due_at": Now(),
        "publish_at": Now(),
    }


_SETTLED_VALUES = {
    Move.ACCEPT: _accepted,
    Move.RETRY: _to_be_retried,
    Move.FAIL: _failed,
    Move.PARK: _parked,
    Move.ABANDON: _abandoned,
}


def _each(items: Sequence[Settlement], name: str) -> Any:
    """One value where all items agree, a CASE over the ids where they do not."""
    values: dict[str, list[UUID]] = defaultdict(list)
    for item in items:
        values[getattr(item, name)].append(item.id)
    if len(values) == 1:
        return next(iter(values))
    return _case({id: Value(value) for value, ids in values.items() for id in ids})


def _after(delays: Mapping[UUID, float], default: Any) -> Any:
    if not delays:
        return default
    now = Now()
    if len(set(delays.values())) == 1:
        return now + timedelta(seconds=next(iter(delays.values())))
    return now + _case({id: Value(timedelta(seconds=delay)) for id, delay in delays.items()})


def _case(values: Mapping[UUID, Value]) -> Case:
    return Case(*(When(pk=id, then=value) for id, value in values.items()))
