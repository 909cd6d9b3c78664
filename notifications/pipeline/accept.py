"""The one way in: drafts become committed rows, once for each idempotency key.

The row, its key and its fingerprint are one insert. A concurrent duplicate waits on the unique
index and is then answered with the row that won. Nothing is published here: after the commit
the relay gets the ids.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import OperationalError
from django.utils.functional import SimpleLazyObject

from .. import bulk, tracing
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
from ..models import Batch, Notification, Tenant, new_id
from ..signals import notification_accepted
from . import database, files, gather, preferences, relay, suppress
from .publish import is_heard
from .suppress import Why
from .templates import Resolved, resolve
from .told import Stored

LOCK_TIMEOUT = "2s"
"""How long a request waits for another one that is storing the same key."""

LOCK_NOT_AVAILABLE, DEADLOCK = "55P03", "40P01"
HELD = frozenset({LOCK_NOT_AVAILABLE, DEADLOCK})
"""What PostgreSQL says when others hold what is wanted."""

HOLDING = (preferences.held_drafts, suppress.held_drafts)
"""Who says what must not be sent; where both do, the latter is right."""

Row = dict[str, Any]
"""The values of a new notification, by field, but for those that a whole call has alike.

Most callers need no more of a thousand rows than their ids: making models of them would take
longer than storing them.
"""

Verdict = Row | Notification | NotificationError
"""What becomes of a draft: a new row, the notification that its key stored before, or neither."""


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
class Call:
    """What all rows have alike that are stored together."""

    tenant: Tenant
    now: datetime
    resolved: Resolved
    batch: Batch | None = None
    lock_timeout: str = ""
    trace: str = ""

    @property
    def values(self) -> dict[str, Any]:
        batch_id = self.batch and self.batch.pk
        return {
            "tenant_id": self.tenant.pk,
            "batch_id": batch_id,
            "created_at": self.now,
            "trace": self.trace,
        }

    def notification(self, row: Row) -> Notification:
        made = Notification(tenant=self.tenant, batch=self.batch, created_at=self.now, **row)
        if made.template_version_id is not None:
            made.template_version = self.resolved.versions[made.template_version_id]
        made._state.adding, made._state.db = False, database.alias()  # as if it had been read
        return made


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
    resolved = resolve(tenant, [draft])
    with _statement_for(draft) as (now, lock_timeout):
        call = Call(tenant, now, resolved, lock_timeout=lock_timeout)
        [verdict] = _store(call)
    answer = _answer(call, verdict)
    if isinstance(answer, NotificationError):
        raise answer
    return answer


def accept_many(tenant: Tenant, drafts: Sequence[Draft]) -> list[Accepted | NotificationError]:
    """Store many at once in a constant number of statements; an answer for each, in order."""
    resolved = resolve(tenant, drafts)
    with _transaction() as now:
        call = Call(tenant, now, resolved)
        verdicts = _store(call)
    return [_answer(call, verdict) for verdict in verdicts]


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
    resolved = resolve(tenant, [item for item in items if isinstance(item, Draft)])
    batch = Batch(tenant=tenant, idempotency_key=idempotency_key, fingerprint=fingerprint)
    with _transaction() as now:
        earlier = _claim_batch(batch)
        if earlier:
            return earlier
        results = _store_items(Call(tenant, now, resolved, batch), items)
        if not any(result.id for result in results):
            raise InvalidNotification(
                [e.under(f"/notifications/{r.index}") for r in results for e in r.errors]
            )
        if idempotency_key:
            batch.results = [result.as_dict() for result in results]
            batch.save(update_fields=["results"])
    return BatchAnswer(batch, results)


def accept_into(batch: Batch, items: Sequence[Draft | InvalidNotification]) -> list[ItemResult]:
    """Store more of a batch that is there already; its items are independent of each other."""
    resolved = resolve(batch.tenant, [item for item in items if isinstance(item, Draft)])
    with _transaction() as now:
        return _store_items(Call(batch.tenant, now, resolved, batch), items)


@contextmanager
def _statement_for(draft: Draft) -> Iterator[tuple[datetime, str]]:
    """The database's time and a lock timeout for an INSERT that commits by itself.

    Beside the one statement, beginning, asking for the time and committing would be three more
    ways to the database and back. Within the caller's transaction it is as any other, and so it is
    for a draft whose bytes take an INSERT of their own, or which joins a digest.
    """
    is_alone = draft.digest is None and not files.of_draft(draft)
    if is_alone and database.connection().get_autocommit():
        with _busy_when_locked():
            yield database.recent_now(), LOCK_TIMEOUT
    else:
        with _transaction() as now:
            yield now, ""


@contextmanager
def _transaction() -> Iterator[datetime]:
    """A transaction, with the database's time, that does not wait long for a held key.

    The waiting of a transaction that the caller began is the caller's affair.
    """
    own = not database.connection().in_atomic_block
    with _busy_when_locked(), database.atomic():
        yield database.now(lock_timeout=LOCK_TIMEOUT if own else "")


@contextmanager
def _busy_when_locked() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) in HELD:
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


def _store_items(call: Call, items: Sequence[Draft | InvalidNotification]) -> list[ItemResult]:
    stored = iter(_store(call))
    verdicts = [next(stored) if isinstance(item, Draft) else item for item in items]
    return [_item_result(index, verdict) for index, verdict in enumerate(verdicts)]


def _item_result(index: int, verdict: Verdict) -> ItemResult:
    match verdict:
        case dict():
            return ItemResult(index, "accepted", verdict["id"])
        case Notification():
            return ItemResult(index, "replayed", verdict.pk)
        case InvalidNotification():
            return ItemResult(index, "rejected", errors=verdict.errors)
        case IdempotencyConflict():
            code, detail = "idempotency_key_reused", "the key was used with other content"
        case _:
            code, detail = "busy", "the key is being stored by another request; try again"
    return ItemResult(index, "rejected", errors=(FieldError("/idempotency_key", code, detail),))


def _answer(call: Call, verdict: Verdict) -> Accepted | NotificationError:
    match verdict:
        case dict():
            return Accepted(call.notification(verdict))
        case Notification():
            return Accepted(verdict, replayed=True)
        case _:
            return verdict


def _store(call: Call) -> Sequence[Verdict]:
    """Store what is new, as part of the trace that asks for it."""
    with tracing.accepting(len(call.resolved.drafts)) as trace:
        return _store_traced(replace(call, trace=trace) if trace else call)


def _store_traced(call: Call) -> Sequence[Verdict]:
    """Insert what is new, look up what the keys hold, judge each draft."""
    drafts = call.resolved.drafts
    # Without a worker in reach there is no message to wait for: the next dispatcher takes the row.
    relayed = len(drafts) == 1 and is_heard()
    grace = timedelta(seconds=get_settings().hint_seconds if relayed else 0)
    rows = [_row(draft, call.now, grace) for draft in drafts]
    preferred, suppressed = (of(call.tenant, drafts) for of in HOLDING)
    if held := {**preferred, **suppressed}:
        rows = [row | _end(call, held.get(index)) for index, row in enumerate(rows)]
    if any(draft.digest or draft.digest_id for draft in drafts):
        rows = _gather(call, rows, held)
    refusals = _refusals(call, rows)
    verdicts: Sequence[Verdict] = rows
    if _insert(call, [row for row in rows if row["id"] not in refusals]) < len(rows):
        verdicts = _judge_by_key(call.tenant, rows, refusals)
    files.store(
        (verdict["id"], draft)
        for verdict, draft in zip(verdicts, drafts, strict=True)
        if isinstance(verdict, dict)
    )
    _announce(call, [verdict for verdict in verdicts if isinstance(verdict, dict)])
    return verdicts


def _gather(call: Call, rows: list[Row], held: Collection[int]) -> list[Row]:
    """The rows with the digest that they wait in, or that they send."""
    drafts = call.resolved.drafts
    joined = gather.join(call.tenant, call.now, drafts, {*held, *call.resolved.errors})
    waiting = {"state": State.IN_DIGEST}
    return [
        row
        | {"digest_id": joined.get(index, drafts[index].digest_id)}
        | (waiting if index in joined else {})
        for index, row in enumerate(rows)
    ]


def _refusals(call: Call, rows: Sequence[Row]) -> dict[UUID, InvalidNotification]:
    """Why some rows cannot be stored; their key may have stored them when they could."""
    late = [r for r in rows if r["expires_at"] is not None and r["expires_at"] <= call.now]
    unfilled = call.resolved.errors.items()
    return {r["id"]: expired() for r in late} | {rows[n]["id"]: error for n, error in unfilled}


def _row(draft: Draft, now: datetime, grace: timedelta) -> Row:
    later = draft.send_at is not None and draft.send_at > now
    due_at = draft.send_at if draft.send_at is not None and later else now
    return {
        "id": new_id(),
        "template_version_id": draft.template_version_id,
        "channel": draft.channel,
        "priority": draft.priority,
        "to": draft.to,
        "content": files.content_of(draft),
        "metadata": dict(draft.metadata),
        "category": draft.category,
        "idempotency_key": draft.idempotency_key,
        "fingerprint": fingerprint_of(draft),
        "send_at": draft.send_at,
        "expires_at": draft.expires_at,
        "state": State.SCHEDULED if later else State.QUEUED,
        "due_at": due_at,
        "publish_at": due_at if later else now + grace,
    }


def _end(call: Call, why: Why | None) -> Row:
    """What becomes of a new row that is not sent; all rows of a call have the same fields."""
    if why is None:
        return {"settled_at": None, "error_code": "", "error_detail": ""}
    return {
        "state": State.SUPPRESSED,
        "settled_at": call.now,
        "error_code": why.code,
        "error_detail": why.detail,
    }


def _insert(call: Call, rows: Sequence[Row]) -> int:
    """Store what has no key or a free one; how many rows that were."""
    return bulk.insert(
        database.alias(), Notification, rows, alike=call.values, lock_timeout=call.lock_timeout
    )


def _judge_by_key(
    tenant: Tenant, rows: Sequence[Row], refusals: Mapping[UUID, InvalidNotification]
) -> list[Verdict]:
    keys = [row["idempotency_key"] for row in rows if row["idempotency_key"] is not None]
    holders = Notification.objects.filter(tenant=tenant, idempotency_key__in=keys)
    by_key = {holder.idempotency_key: holder for holder in holders}
    return [
        _judge(row, by_key.get(row["idempotency_key"]), refusals.get(row["id"])) for row in rows
    ]


def _judge(row: Row, holder: Notification | None, refusal: InvalidNotification | None) -> Verdict:
    if row["idempotency_key"] is None and refusal is None:
        return row
    if holder is None:
        return refusal or Busy("the key was freed at this moment")
    if holder.pk == row["id"]:
        return row
    if holder.fingerprint != row["fingerprint"]:
        return IdempotencyConflict("this key was used before, with other content")
    return holder


def expired() -> InvalidNotification:
    """What is said of one whose `expires_at` has passed."""
    return InvalidNotification([FieldError("/expires_at", "already_expired", "is in the past")])


def _announce(call: Call, rows: Sequence[Row]) -> None:
    if rows:
        database.on_commit(lambda: _after_commit(call, rows))


def _stored(call: Call, rows: Sequence[Row]) -> list[Stored]:
    name = call.tenant.name
    return [Stored(row["id"], name, row["channel"], row["priority"]) for row in rows]


def _after_commit(call: Call, rows: Sequence[Row]) -> None:
    """First the rows go on their way: nobody who listens is to hold them up."""
    _relay(rows)
    notification_accepted.send_robust(
        sender=Notification,
        notifications=SimpleLazyObject(lambda: [call.notification(row) for row in rows]),
        counts=Counter((row["channel"], row["priority"]) for row in rows),
        stored=SimpleLazyObject(lambda: _stored(call, rows)),
    )
    suppress.tell_suppressed(
        (row["id"], row["channel"]) for row in rows if row["state"] == State.SUPPRESSED
    )


def _relay(rows: Sequence[Row]) -> None:
    lanes: dict[tuple[Channel, Priority], list[UUID]] = defaultdict(list)
    due = [row for row in rows if row["state"] == State.QUEUED]
    relayed = [row for row in due if row["publish_at"] > row["due_at"]]
    for row in relayed:
        lanes[row["channel"], row["priority"]].append(row["id"])
    for (channel, priority), ids in lanes.items():
        relay.offer(channel, priority, ids)
    if len(relayed) < len(due):
        relay.offer_dispatch()
