"""Uploaded files, imported in the background: a slice of rows at a time.

What a slice stores, its rejected rows and how far the file is read are one transaction: a worker
that is killed in the middle has done nothing, and the next one begins with the same row. The keys
of the rows are those of `importing`, so that a file which the command has read is known.
"""

import io
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, BinaryIO
from uuid import UUID, uuid4

from django.db import InterfaceError, OperationalError, models
from django.db.models.functions import Now

from .. import tabular
from ..discretion import describe
from ..enums import ImportPart, JobState
from ..exceptions import Busy
from ..models import Batch, Import, ImportChunk, Tenant
from ..tabular import Unreadable
from . import background, chunks, database
from .accept import LOCK_TIMEOUT, ItemResult
from .background import LEASE_SECONDS
from .import_plan import Plan, fields_of, parse_rate
from .importing import Item, Reading, at_once, batch_key, batch_of, rejected, store
from .publish import request_import

logger = logging.getLogger(__name__)

MAX_BYTES = 50 * 1024 * 1024
"""A longer file is for the command, which reads it from a disk."""

HEADER_BYTES = 1024 * 1024

TURN_SECONDS = 10.0
"""How long a worker goes on with it; then a tick has one go on, and others had their turn."""

CATCH_UP_SECONDS = 10.0
"""How much of a rate that was not used is made up for: ticks come a few seconds late."""

FILE_DAYS = 7

SHOWN = 20
"""How many rejected rows are shown without a download."""

REASON_MAX = 300
ERROR_MAX = 500


def check(file: BinaryIO, plan: Plan) -> None:
    """Raise Unreadable where the file cannot be imported so; only its beginning is read."""
    file.seek(0)
    start = io.BytesIO(file.read(HEADER_BYTES))
    file.seek(0)
    fields_of(tabular.Table(start, plan.encoding, plan.delimiter).header, plan)


def start(
    tenant: Tenant,
    name: str,
    file: BinaryIO,
    options: Mapping[str, Any],
    *,
    dry_run: bool,
    by: str,
) -> Import:
    """Keep the file and have a worker begin; `options` are those that `plan_of` knows."""
    until = database.now() + timedelta(seconds=LEASE_SECONDS)
    with database.atomic():
        upload = Import.objects.create(
            tenant=tenant,
            name=name[-255:],
            options=dict(options),
            dry_run=dry_run,
            by=by,
            lease_until=until,
        )
        chunks.store(upload, file)
        upload.save(update_fields=["size", "digest"])
        database.on_commit(lambda: _ask_for(upload.pk))
    return upload


def plan_of(
    tenant: Tenant,
    *,
    columns: Mapping[str, str] | None = None,
    defaults: Mapping[str, str] | None = None,
    encoding: str = "",
    delimiter: str = "",
    rate: str = "",
    dry_run: bool = False,
) -> Plan:
    """The plan that options of an import make; raises ValueError for a rate that is none."""
    return Plan(
        tenant,
        columns or {},
        defaults or {},
        encoding or None,
        delimiter or None,
        parse_rate(rate) if rate else None,
        dry_run,
    )


def stop(upload: Import) -> bool:
    """End it after the slice at hand; whether it was still running."""
    return background.stop(Import.objects.all(), upload.pk)


def go_on(upload: Import) -> bool:
    """Take up one that was stopped, from where it was; whether it was."""
    if not has_file(upload):
        return False
    Import.objects.filter(pk=upload.pk, state=JobState.STOPPED).update(error="")
    return background.go_on(Import.objects.all(), upload.pk, _ask_for)


def confirm(upload: Import) -> bool:
    """Import for real what a dry run has judged, from its beginning; whether there was one."""
    until = database.now() + timedelta(seconds=LEASE_SECONDS)
    with database.atomic():
        judged = Import.objects.filter(pk=upload.pk, dry_run=True, state=JobState.DONE)
        found = has_file(upload) and judged.update(
            dry_run=False,
            state=JobState.RUNNING,
            **dict.fromkeys(COUNTS, 0),
            read_bytes=0,
            first_rejects=[],
            finished_at=None,
            due_at=Now(),
            lease_token=None,
            lease_until=until,
        )
        if found:
            chunks.drop(upload, ImportPart.REJECTS)
            database.on_commit(lambda: _ask_for(upload.pk))
    return bool(found)


COUNTS = ("rows", "accepted", "replayed", "rejected")


def discard(upload: Import) -> bool:
    """Delete the bytes of a file that is not being imported; whether there were any."""
    with database.atomic():
        idle = ended().select_for_update().filter(pk=upload.pk).first()
        if not (idle and has_file(upload)):
            return False
        chunks.drop(upload, ImportPart.FILE)
        return True


def has_file(upload: Import) -> bool:
    """Whether the bytes of the file are still there."""
    return chunks.have(upload, ImportPart.FILE)


def rejects_of(upload: Import) -> Iterator[bytes]:
    """The rows that were not accepted as a CSV file, part by part."""
    return chunks.read(upload, ImportPart.REJECTS)


def share_done(upload: Import) -> float:
    """How much of the file is read, from 0 to 1."""
    if upload.state == JobState.DONE:
        return 1.0
    return upload.read_bytes / upload.size if upload.size else 0.0


def stored_in(upload: Import) -> Batch | None:
    """The batch of all that this file has stored, now or before."""
    key = batch_key(upload.digest)
    return Batch.objects.filter(tenant=upload.tenant_id, idempotency_key=key).first()


def ended() -> "models.QuerySet[Import]":
    """All that nobody is to go on with."""
    return Import.objects.exclude(state=JobState.RUNNING)


def drop_old_files() -> None:
    """Delete the bytes of files that were not imported, or not to their end, for FILE_DAYS."""
    old = ended().filter(finished_at__lt=Now() - timedelta(days=FILE_DAYS))
    ImportChunk.objects.filter(part=ImportPart.FILE, upload__in=old).delete()


def resume() -> None:
    """Have a worker go on with what nobody has in hand; never raises for the broker's sake."""
    background.resume(_due(), _ask_for)


def run(id: UUID, stop: Callable[[], bool] = lambda: False) -> None:
    """Go on with an import for a turn; `stop` is asked before each slice."""
    token = uuid4()
    if not background.take(_due(), id, token):
        return
    try:
        _take_turn(id, token, stop)
    except (OperationalError, InterfaceError):
        raise  # with the database away nothing can be written; the lease runs out
    except Busy:
        logger.info("the rows of an import are being stored by somebody else; it is tried again")
    except Unreadable as error:
        _give_up(id, token, str(error))
    except Exception as error:
        logger.error("an import failed: %s", describe(error))
        _give_up(id, token, f"{type(error).__name__}, see the log of the worker")
    background.let_go(Import.objects.all(), id, token)


def _due() -> "models.QuerySet[Import]":
    return Import.objects.filter(due_at__lte=Now())


@dataclass(frozen=True, slots=True)
class _Work:
    """An import that a turn goes on with; its file is open where the next row begins."""

    id: UUID
    token: UUID
    plan: Plan
    batch: Batch | None
    source: BinaryIO
    reading: Reading


def _take_turn(id: UUID, token: UUID, stop: Callable[[], bool]) -> None:
    upload = Import.objects.select_related("tenant").get(pk=id)
    if not upload.tenant.is_active:
        raise Unreadable("its tenant is switched off")
    until = time.monotonic() + TURN_SECONDS
    work = _open(upload, token)
    while not stop() and time.monotonic() < until and _do_slice(work):
        pass


def _open(upload: Import, token: UUID) -> _Work:
    plan = replace(plan_of(upload.tenant, **upload.options), dry_run=upload.dry_run)
    source = chunks.opened(upload)
    reading = Reading(source, plan, upload.digest)
    reading.skip(upload.rows)
    batch = None if plan.dry_run else batch_of(plan.tenant, upload.digest)
    return _Work(upload.pk, token, plan, batch, source, reading)


def _do_slice(work: _Work) -> bool:
    """Handle the next rows; whether there is more to do now for the holder of the lease."""
    records = work.reading.take(at_once(work.plan.rate))
    items = work.reading.items(records)
    with database.atomic():
        now = database.now(lock_timeout=LOCK_TIMEOUT)
        upload = background.held(Import.objects.all(), work.id, work.token)
        if upload is None:
            return False
        if records:
            _store(upload, work, records, items)
        else:
            _finish(upload)
        upload.lease_until = now + timedelta(seconds=LEASE_SECONDS)
        upload.save()
    return upload.state == JobState.RUNNING and upload.due_at <= now


def _store(
    upload: Import, work: _Work, records: Sequence[tabular.Record], items: Sequence[Item]
) -> None:
    results = store(work.plan.tenant, work.batch, items)
    _keep_rejects(upload, work.reading, records, results)
    accepted = _count(upload, results)
    upload.read_bytes = work.source.tell()
    if work.plan.rate and not upload.dry_run:
        earliest = database.now() - timedelta(seconds=CATCH_UP_SECONDS)
        used = timedelta(seconds=accepted / work.plan.rate.per_second)
        upload.due_at = max(upload.due_at, earliest) + used


def _count(upload: Import, results: Sequence[ItemResult]) -> int:
    """How many more are accepted."""
    before = upload.accepted
    for result in results:
        upload.rows += 1
        setattr(upload, result.outcome, getattr(upload, result.outcome) + 1)
    return upload.accepted - before


def _keep_rejects(
    upload: Import,
    reading: Reading,
    records: Sequence[tabular.Record],
    results: Sequence[ItemResult],
) -> None:
    found = rejected(records, results)
    if not found:
        return
    if not upload.rejected:
        chunks.add(upload, ImportPart.REJECTS, 0, _lines([reading.header]))
    chunks.add(upload, ImportPart.REJECTS, records[0].number, _lines(found))
    room = SHOWN - len(upload.first_rejects)
    shown = [[line, name, reason[:REASON_MAX]] for *_, line, name, reason in found[:room]]
    upload.first_rejects = [*upload.first_rejects, *shown]


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    """Bytes that were no text are written as they were."""
    text = io.StringIO(newline="")
    writer = tabular.Writer(text)
    for cells in rows:
        writer.write(cells)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _finish(upload: Import) -> None:
    """A dry run keeps the file, so that it can be imported without another upload."""
    upload.state, upload.finished_at = JobState.DONE, database.now()
    if not upload.dry_run:
        chunks.drop(upload, ImportPart.FILE)


def _give_up(id: UUID, token: UUID, why: str) -> None:
    mine = Import.objects.filter(pk=id, lease_token=token, state=JobState.RUNNING)
    mine.update(state=JobState.STOPPED, error=why[:ERROR_MAX], finished_at=Now())


def _ask_for(id: UUID) -> None:
    background.ask_for(request_import, id)
