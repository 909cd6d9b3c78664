"""The one way in: drafts become committed rows, once for each idempotency key.

The row, its key and its fingerprint are one insert. A concurrent duplicate waits on the unique
index and is then answered with the row that won. Nothing is published here: after the commit
the relay gets the ids.
"""

from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import OperationalError

from .. import prepared
from ..conf import get_settings
from ..enums import Channel, Priority, State
from ..exceptions import (
    Busy,
    FieldError,
    IdempotencyConflict,
    InvalidNotification,
    NotificationError,
)
from ..idempotency import fingerprint as fingerprint_of
from ..messages import Draft
from ..models import Batch, Notification, Tenant
from ..signals import notification_accepted
from . import database, relay

LOCK_TIMEOUT = "2s"
"""How long a request waits for another one that is storing the same key."""

LOCK_NOT_AVAILABLE = "55P03"

COLUMNS = tuple(field.attname for field in Notification._meta.concrete_fields)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A stored notification; `replayed` when its key had stored it before."""

    notification: Notification
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What became of one item of a batch; `outcome` is accepted, replayed or rejected."""

    index: int
    outcome: str
    id: UUID | None = None
    errors: tuple[FieldError, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "index": self.index,
            "outcome": self.outcome,
            "id": self.id and str(self.id),
            "errors": [error.as_dict() for error in self.errors],
        }


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    batch: Batch
    results: list[ItemResult]
    replayed: bool = False


def accept_one(tenant: Tenant, draft: Draft) -> Accepted:
    """Store `draft`, or find what its key stored before.

    Raises IdempotencyConflict when the key holds other content, Busy when another request is
    storing the same key and does not come to an end, InvalidNotification when it has expired.
    """
    with _transaction() as now:
        [answer] = _store(tenant, [draft], None, now)
    if isinstance(answer, NotificationError):
        raise answer
    return answer


def accept_many(tenant: Tenant, drafts: Sequence[Draft]) -> list[Accepted | NotificationError]:
    """Store many at once in a constant number of statements; an answer for each, in order."""
    with _transaction() as now:
        return _store(tenant, drafts, None, now)


def accept_batch(
    tenant: Tenant,
    items: Sequence[Draft | InvalidNotification],
    *,
    idempotency_key: str | None = None,
    fingerprint: str = "",
) -> BatchAnswer:
    """Store a batch; its items are independent of each other.

    `fingerprint` is that of the whole call and goes with `idempotency_key`, which makes the
    call replayable. Raises InvalidNotification (pointers into `/notifications`) when nothing
    could be accepted, IdempotencyConflict and Busy as `accept_one`.
    """
    batch = Batch(tenant=tenant, idempotency_key=idempotency_key, fingerprint=fingerprint)
    with _transaction() as now:
        earlier = _claim_batch(batch)
        if earlier:
            return earlier
        results = _store_items(tenant, items, batch, now)
        if not any(result.id for result in results):
            raise InvalidNotification(
                [e.under(f"/notifications/{r.index}") for r in results for e in r.errors]
            )
        if idempotency_key:
            batch.results = [result.as_dict() for result in results]
            batch.save(update_fields=["results"])
    return BatchAnswer(batch, results)


@contextmanager
def _transaction() -> Iterator[datetime]:
    """A transaction, with the database's time, that does not wait long for a held key.

    The waiting of a transaction that the caller began is the caller's affair.
    """
    own = not database.connection().in_atomic_block
    try:
        with database.atomic():
            yield database.now(lock_timeout=LOCK_TIMEOUT if own else "")
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) == LOCK_NOT_AVAILABLE:
            raise Busy("another request with this key is being stored") from error
        raise


def _claim_batch(batch: Batch) -> BatchAnswer | None:
    """Insert the batch; where its key was used before, answer what was answered then."""
    Batch.objects.bulk_create([batch], ignore_conflicts=batch.idempotency_key is not None)
    if batch.idempotency_key is None:
        return None
    winner = Batch.objects.get(tenant=batch.tenant, idempotency_key=batch.idempotency_key)
    if winner.pk == batch.pk:
        return None
    if winner.fingerprint != batch.fingerprint:
        raise IdempotencyConflict("this key was used for another batch")
    return BatchAnswer(winner, [_result_of(item) for item in winner.results or ()], replayed=True)


def _result_of(item: dict[str, Any]) -> ItemResult:
    errors = tuple(FieldError(**error) for error in item["errors"])
    return ItemResult(item["index"], item["outcome"], item["id"] and UUID(item["id"]), errors)


def _store_items(
    tenant: Tenant, items: Sequence[Draft | InvalidNotification], batch: Batch, now: datetime
) -> list[ItemResult]:
    drafts = [item for item in items if isinstance(item, Draft)]
    stored = iter(_store(tenant, drafts, batch, now))
    answers = [next(stored) if isinstance(item, Draft) else item for item in items]
    return [_item_result(index, answer) for index, answer in enumerate(answers)]


def _item_result(index: int, answer: Accepted | NotificationError) -> ItemResult:
    match answer:
        case Accepted():
            outcome = "replayed" if answer.replayed else "accepted"
            return ItemResult(index, outcome, answer.notification.pk)
        case InvalidNotification():
            return ItemResult(index, "rejected", errors=answer.errors)
        case IdempotencyConflict():
            code, detail = "idempotency_key_reused", "the key was used with other content"
        case _:
            code, detail = "busy", "the key is being stored by another request; try again"
    return ItemResult(index, "rejected", errors=(FieldError("/idempotency_key", code, detail),))


def _store(
    tenant: Tenant, drafts: Sequence[Draft], batch: Batch | None, now: datetime
) -> list[Accepted | NotificationError]:
    """Insert what is new, look up what the keys hold, judge each draft."""
    by_dispatcher = len(drafts) > 1
    rows = [_row(tenant, draft, batch, now, by_dispatcher) for draft in drafts]
    alive = [row for row in rows if row.expires_at is None or row.expires_at > now]
    if _insert(alive) == len(rows):
        answers: list[Accepted | NotificationError] = [Accepted(row) for row in rows]
    else:
        answers = _judge_by_key(tenant, rows, {row.pk for row in alive})
    _announce([a.notification for a in answers if isinstance(a, Accepted) and not a.replayed])
    return answers


def _insert(rows: Sequence[Notification]) -> int:
    """Store what has no key or a free one; how many rows are known to be stored.

    One row is the case that must be fast, and the only one in which the database's count is
    heard: Django keeps that of `bulk_create` to itself.
    """
    if len(rows) != 1:
        Notification.objects.bulk_create(rows, ignore_conflicts=True)
        return sum(row.idempotency_key is None for row in rows)
    values = {name: getattr(rows[0], name) for name in COLUMNS}
    return prepared.insert(database.alias(), Notification, [values], ignore_conflicts=True)


def _judge_by_key(
    tenant: Tenant, rows: Sequence[Notification], alive: Container[UUID]
) -> list[Accepted | NotificationError]:
    keys = [row.idempotency_key for row in rows if row.idempotency_key is not None]
    holders = Notification.objects.filter(tenant=tenant, idempotency_key__in=keys)
    by_key = {holder.idempotency_key: holder for holder in holders}
    return [_judge(row, by_key.get(row.idempotency_key), row.pk in alive) for row in rows]


def _row(
    tenant: Tenant, draft: Draft, batch: Batch | None, now: datetime, by_dispatcher: bool
) -> Notification:
    later = draft.send_at is not None and draft.send_at > now
    due_at = draft.send_at if draft.send_at is not None and later else now
    relayed = not later and not by_dispatcher
    grace = timedelta(seconds=get_settings().hint_seconds if relayed else 0)
    return Notification(
        tenant=tenant,
        batch=batch,
        channel=draft.channel,
        priority=draft.priority,
        to=draft.to,
        content=dict(draft.content),
        metadata=dict(draft.metadata),
        idempotency_key=draft.idempotency_key,
        fingerprint=fingerprint_of(draft),
        created_at=now,
        send_at=draft.send_at,
        expires_at=draft.expires_at,
        state=State.SCHEDULED if later else State.QUEUED,
        due_at=due_at,
        publish_at=due_at + grace,
    )


def _judge(
    row: Notification, holder: Notification | None, alive: bool
) -> Accepted | NotificationError:
    if row.idempotency_key is None and alive:
        return Accepted(row)
    if holder is None:
        return Busy("the key was freed at this moment") if alive else _expired()
    if holder.pk == row.pk:
        return Accepted(row)
    if holder.fingerprint != row.fingerprint:
        return IdempotencyConflict("this key was used before, with other content")
    return Accepted(holder, replayed=True)


def _expired() -> InvalidNotification:
    return InvalidNotification([FieldError("/expires_at", "already_expired", "is in the past")])


def _announce(rows: Sequence[Notification]) -> None:
    if rows:
        database.on_commit(lambda: _after_commit(rows))


def _after_commit(rows: Sequence[Notification]) -> None:
    notification_accepted.send_robust(sender=Notification, notifications=rows)
    lanes: dict[tuple[Channel, Priority], list[UUID]] = defaultdict(list)
    due = [row for row in rows if row.state == State.QUEUED]
    relayed = [row for row in due if row.publish_at > row.due_at]
    for row in relayed:
        lanes[Channel(row.channel), Priority(row.priority)].append(row.pk)
    for (channel, priority), ids in lanes.items():
        relay.offer(channel, priority, ids)
    if len(relayed) < len(due):
        relay.offer_dispatch()
