"""What waits in the queue of django-post_office becomes notifications, each e-mail once.

It writes each e-mail itself, so that what arrives is what it would have sent. A notification and
the end of the row in its queue are one transaction; where its tables are in another database, the
idempotency key, which is made of the row's id, sees to it that what was accepted is not again.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import router, transaction

from ..conf import get_settings
from ..enums import State
from ..exceptions import Busy, ContentError, InvalidNotification, NotificationError
from ..mail import draft_of
from ..messages import Draft
from ..models import Notification, Tenant
from ..pipeline import database
from ..pipeline.accept import Accepted, accept_many
from ..shortcuts import tenant_of
from .post_office_templates import flaws_of

try:
    from post_office.lockfile import FileLock, FileLocked, default_lockfile
except ImportError:  # then it is no installed app either, and nobody comes here
    FileLock = None

SIZE = 25
"""Rows in one transaction; each may be an e-mail of MAX_BYTES, and they are in memory together."""

WAITING = (2, 3)
"""Its statuses `queued` and `requeued`."""

TAKEN = None
"""Its status of a row that is in no queue, and neither sent nor failed."""

PRIORITY_OF = {0: "bulk", 1: "normal", 2: "urgent", 3: "urgent", None: "normal"}

NOT_SENT = (State.CANCELLED, State.FAILED, State.EXPIRED, State.SUPPRESSED)

Told = Callable[[int], object]


@dataclass(slots=True)
class Imported:
    """How many e-mails were taken over, and how many of them are to go at a later time.

    `known` had been before; `left` are those that stay, their ids by the reason; `backends` counts
    those taken that name a backend of their own, which they do not keep.
    """

    taken: int = 0
    scheduled: int = 0
    known: int = 0
    left: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    backends: Counter[str] = field(default_factory=Counter)


def waiting() -> Any:
    """The rows in its queue, those that are due and those that are not."""
    email: Any = apps.get_app_config("post_office").get_model("Email")
    return email._default_manager.using(router.db_for_write(email)).filter(status__in=WAITING)


def import_emails(
    tenant: str | None = None, *, dry_run: bool = False, told: Told = lambda count: None
) -> Imported:
    """Take over what waits; with `dry_run`, all of it is done and undone again.

    `told` gets the number of rows gone through, a few at a time. Raises Busy while its sender is at
    work on this host, and TenantUnavailable.
    """
    with nullcontext() if dry_run else _senders_kept_out():
        return _Import(tenant or get_settings().mail.tenant, dry_run).run(told)


@contextmanager
def _senders_kept_out() -> Iterator[None]:
    """Hold the lock that its senders take; those on other hosts do not see it."""
    try:
        with FileLock(default_lockfile):
            yield
    except FileLocked as error:
        detail = "django-post_office is sending on this host; stop what starts it, and wait"
        raise Busy(detail) from error


class _Import:
    def __init__(self, tenant: str | None, dry_run: bool) -> None:
        self.tenant = tenant
        self.dry_run = dry_run
        self.found = Imported()

    def run(self, told: Told) -> Imported:
        after = 0
        rows = waiting().order_by("pk")
        while ids := list(rows.filter(pk__gt=after).values_list("pk", flat=True)[:SIZE]):
            self._take(ids)
            told(len(ids))
            after = ids[-1]
        return self.found

    def _take(self, ids: Sequence[int]) -> None:
        with _together(self.dry_run):
            tenant = tenant_of(self.tenant)
            rows = list(
                waiting()
                .filter(pk__in=ids)
                .order_by("pk")
                .select_for_update()
                .prefetch_related("attachments", "template")
            )
            taken = [*self._known(tenant, rows), *self._accepted(tenant, rows)]
            waiting().filter(pk__in=taken).update(status=TAKEN)

    def _known(self, tenant: Tenant, rows: list[Any]) -> list[int]:
        """Take out of `rows` what was accepted before; which of it is not to be sent again."""
        keys = [_key(row) for row in rows]
        earlier = Notification.objects.filter(tenant=tenant, idempotency_key__in=keys)
        states = dict(earlier.values_list("idempotency_key", "state"))
        before = [row for row in rows if _key(row) in states]
        rows[:] = [row for row in rows if _key(row) not in states]
        for row in before:
            if (state := states[_key(row)]) in NOT_SENT:
                self._leave(row, f"it was taken over before, and is {state}: retry it there")
        good = [row.pk for row in before if states[_key(row)] not in NOT_SENT]
        self.found.known += len(good)
        return good

    def _accepted(self, tenant: Tenant, rows: Sequence[Any]) -> Iterator[int]:
        drafted = [(row, draft) for row in rows if (draft := self._draft(row))]
        answers = accept_many(tenant, [draft for _, draft in drafted]) if drafted else []
        for (row, _), answer in zip(drafted, answers, strict=True):
            if isinstance(answer, Accepted):
                self._count(row, answer.notification)
                yield row.pk
            else:
                self._leave(row, _reason(answer))

    def _draft(self, row: Any) -> Draft | None:
        try:
            message = row.prepare_email_message()
            if message.recipients():
                return draft_of(message, _terms(row))
            self._leave(row, "it has no recipient")
        # A template or a file of theirs may raise anything, and concerns its own row alone.
        except Exception as error:
            self._leave(row, _reason(error))
        return None

    def _count(self, row: Any, notification: Notification) -> None:
        self.found.taken += 1
        self.found.scheduled += notification.state == State.SCHEDULED
        if row.backend_alias:
            self.found.backends[row.backend_alias] += 1

    def _leave(self, row: Any, reason: str) -> None:
        self.found.left[reason].append(row.pk)


@contextmanager
def _together(dry_run: bool) -> Iterator[None]:
    """One transaction; with two databases theirs ends last, so that nothing is lost between."""
    theirs = waiting().db
    outer: AbstractContextManager[Any] = transaction.atomic(using=theirs)
    with outer, database.atomic():
        yield
        if dry_run:
            for alias in {theirs, database.alias()}:
                transaction.set_rollback(True, using=alias)


def _key(row: Any) -> str:
    return f"import_post_office:{row.pk}"


def _terms(row: Any) -> dict[str, Any]:
    return {
        "priority": PRIORITY_OF[row.priority],
        "send_at": row.scheduled_time,
        "expires_at": row.expires_at,
        "idempotency_key": _key(row),
    }


def _reason(error: Exception) -> str:
    """Why a row stays, without anything personal: most messages of errors show what they are of."""
    if isinstance(error, InvalidNotification):
        return "; ".join(flaws_of(error))
    if isinstance(error, NotificationError | ContentError):
        return str(error)
    return f"no e-mail can be made of it ({type(error).__name__})"
