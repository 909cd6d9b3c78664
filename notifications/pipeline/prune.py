"""What is settled and old is deleted, in short transactions, beside everything else that runs.

Rows are looked through in the order of their ids, which is that of their making, and go a batch at
a time. What others hold is passed over, and goes the next time.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce
from django.db.models.lookups import LessThan

from ..conf import get_settings
from ..lifecycle import TERMINAL
from ..models import Batch, Digest, Import, Notification, Receipt, Worker
from . import database, uploads
from .adopt import old_orphans

LEAST_DAYS = 1
"""An idempotency key is good for a day at least, and it goes with its notification."""

BATCH_SIZE = 1000

PAUSE_SECONDS = 0.05
"""Between two batches: SQLite has one writer at a time, and it should not always be this one."""

WORKER_DAYS = 1

TASKS = "notifications."
"""How the names of our tasks begin: results of other tasks are not ours to delete."""

Told = Callable[[int], object]
Stop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows of each kind there were; attempts and receipts go with their notification.

    `orphans` are receipts that have none.
    """

    notifications: int = 0
    batches: int = 0
    results: int = 0
    workers: int = 0
    orphans: int = 0
    digests: int = 0
    imports: int = 0


def prune(
    days: int | None = None,
    *,
    batch_size: int = BATCH_SIZE,
    told: Told = lambda count: None,
    stop: Stop = lambda: False,
) -> Pruned:
    """Delete what was settled more than `days` ago, without an argument RETENTION_DAYS.

    `told` gets the number of notifications gone after each batch; `stop` is asked before each one,
    and ends it early. Raises ValueError for less than a day.
    """
    before, deletions = _before(days), _Deletions(batch_size, stop)
    uploads.drop_old_files()
    return Pruned(
        notifications=deletions.carry_out(
            _old(Notification.objects.all(), before), lambda ids: _prune(ids, before), told
        ),
        batches=deletions.carry_out(_old(Batch.objects.all(), before), _prune_batches),
        results=deletions.carry_out(_results(before), _prune_results),
        workers=_delete(_unseen_workers()),
        orphans=deletions.carry_out(old_orphans(), _prune_orphans),
        digests=deletions.carry_out(_old(_emptied_digests(), before), _prune_digests),
        imports=deletions.carry_out(_old(uploads.ended(), before), _prune_imports),
    )


def prunable(days: int | None = None) -> Pruned:
    """How much `prune` would delete; counts all of it, and changes nothing."""
    before = _before(days)
    results = _results(before)
    return Pruned(
        notifications=_settled(before).count(),
        batches=_emptied(before).count(),
        results=0 if results is None else results.count(),
        workers=_unseen_workers().count(),
        orphans=old_orphans().count(),
        digests=_old(_emptied_digests(), before).count(),
        imports=_old(uploads.ended(), before).count(),
    )


def _before(days: int | None) -> datetime:
    days = get_settings().retention_days if days is None else days
    if days < LEAST_DAYS:
        raise ValueError(
            f"{days} is too few: notifications are kept for {LEAST_DAYS} day at least, because "
            "their idempotency keys must answer repeated requests for so long"
        )
    return database.now() - timedelta(days=days)


def _settled(before: datetime) -> QuerySet[Notification]:
    return _old(Notification.objects.filter(_is_settled(before)), before)


def _is_settled(before: datetime) -> Q:
    """By its own time, not by the id's: a notification may have been scheduled for long."""
    end = Coalesce("settled_at", "sent_at", "created_at")
    return Q(LessThan(end, before), state__in=sorted(TERMINAL))


def _old(rows: QuerySet[Any], before: datetime) -> QuerySet[Any]:
    """Those of `rows` that were made before then, told by their ids alone."""
    return rows.filter(pk__lt=UUID(int=int(before.timestamp() * 1000) << 80))


def _emptied(before: datetime) -> QuerySet[Batch]:
    """Old batches that have no notification which stays."""
    staying = Notification.objects.filter(~_is_settled(before), batch=OuterRef("pk"))
    return _old(Batch.objects.filter(~Exists(staying)), before)


def _emptied_digests() -> QuerySet[Digest]:
    """Closed ones of which every notification is gone."""
    left = Notification.objects.filter(digest=OuterRef("pk"))
    return Digest.objects.filter(~Exists(left), closed_at__isnull=False)


def _results(before: datetime) -> QuerySet[Any] | None:
    """Old results of our tasks, where django-celery-results keeps them."""
    if not apps.is_installed("django_celery_results"):
        return None
    results = apps.get_model("django_celery_results", "TaskResult")._default_manager
    return results.filter(date_done__lt=before, task_name__startswith=TASKS)


def _unseen_workers() -> QuerySet[Worker]:
    return Worker.objects.filter(seen_at__lt=database.now() - timedelta(days=WORKER_DAYS))


class _Deletions:
    """Goes through rows in the order of their ids, a batch at a time, until told to stop."""

    def __init__(self, batch_size: int, stop: Stop) -> None:
        self._size, self._stop = batch_size, stop

    def carry_out(
        self,
        rows: QuerySet[Any] | None,
        delete: Callable[[Sequence[Any]], int],
        told: Told = lambda count: None,
    ) -> int:
        gone = 0
        for ids in self._batches(rows) if rows is not None else ():
            count = delete(ids)
            gone += count
            told(count)
            time.sleep(PAUSE_SECONDS if count else 0)
        return gone

    def _batches(self, rows: QuerySet[Any]) -> Iterator[Sequence[Any]]:
        rest, ids = rows, [None] * self._size
        while len(ids) == self._size and not self._stop():
            ids = list(rest.order_by("pk").values_list("pk", flat=True)[: self._size])
            if ids:
                yield ids
                rest = rows.filter(pk__gt=ids[-1])


def _prune(ids: Sequence[UUID], before: datetime) -> int:
    with database.atomic():
        settled = Notification.objects.filter(_is_settled(before), pk__in=ids).lock()
        # Not a raw DELETE: a project may have tables of its own that refer to notifications.
        found = list(settled.values_list("pk", flat=True))
        return _delete(Notification.objects.filter(pk__in=found).only("pk"))


def _prune_batches(ids: Sequence[UUID]) -> int:
    left = Notification.objects.filter(batch=OuterRef("pk"))
    return _delete(Batch.objects.filter(~Exists(left), pk__in=ids).only("pk"))


def _prune_digests(ids: Sequence[UUID]) -> int:
    return _delete(_emptied_digests().filter(pk__in=ids).only("pk"))


def _prune_imports(ids: Sequence[UUID]) -> int:
    return _delete(Import.objects.filter(pk__in=ids).only("pk"))


def _prune_results(ids: Sequence[int]) -> int:
    results = apps.get_model("django_celery_results", "TaskResult")._default_manager
    return _delete(results.filter(pk__in=ids))


def _prune_orphans(ids: Sequence[int]) -> int:
    return _delete(Receipt.objects.filter(pk__in=ids, notification__isnull=True))


def _delete(rows: QuerySet[Any]) -> int:
    """How many of `rows` themselves were deleted, without what went with them."""
    _, by_model = rows.delete()
    return by_model.get(rows.model._meta.label, 0)
