"""Retry or cancel by filter: any number of notifications, a slice of ids at a time.

A slice and the cursor behind it are one transaction, so a worker that is killed in the middle has
done nothing, and the next one begins where the last slice ended. No slice reads more than `SLICE`
rows, however few of them the filters find.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from django.apps import apps
from django.contrib.auth import get_user_model

from ..enums import JobKind, JobState, Status
from ..models import Job, Notification, TemplateVersion
from ..querysets import NotificationQuerySet
from . import background, control, database
from .background import LEASE_SECONDS
from .publish import request_job

SLICE = 2000
PASSES = 3
"""How often a slice is looked at for what a worker held just then, to cancel it too."""

FIRST = UUID(int=0)

STATUSES: Mapping[JobKind, tuple[Status, ...]] = {
    JobKind.RETRY: (*control.RETRYABLE, Status.UNKNOWN),
    JobKind.CANCEL: (
        Status.SCHEDULED,
        Status.QUEUED,
        Status.SENDING,
        Status.RETRYING,
        Status.UNKNOWN,
    ),
}
"""What there is to do something about; `unknown` is retried only where a duplicate is accepted."""

FILTERS = {
    "channel": "channel",
    "priority": "priority",
    "tenant": "tenant__name",
    "provider": "provider",
    "error_code": "error_code",
    "batch": "batch",
}


def start(
    kind: JobKind,
    filters: Mapping[str, Any],
    *,
    reason: str,
    by: str,
    user: str = "",
    accept_duplicate_risk: bool = False,
) -> Job:
    """Make the job and have a worker begin; later ones are taken over from the row alone.

    `filters` are those of FILTERS, `status` (a list), `template` (of `tenant`), `created_after` and
    `created_before` in ISO 8601. What is accepted after this is not touched.
    """
    begins, until = _span(filters)
    job = Job.objects.create(
        kind=kind,
        filters=dict(filters),
        reason=reason,
        by=by,
        user=user,
        accept_duplicate_risk=accept_duplicate_risk,
        begins=begins,
        cursor=begins,
        until=until,
        lease_until=database.now() + timedelta(seconds=LEASE_SECONDS),
    )
    database.on_commit(lambda: _ask_for(job.pk))
    return job


def stop(job: Job) -> bool:
    """End it after the slice at hand; whether it was still running."""
    return background.stop(Job.objects.all(), job.pk)


def go_on(job: Job) -> bool:
    """Take up one that was stopped, from where it was; whether it was."""
    return background.go_on(Job.objects.all(), job.pk, _ask_for)


def run(id: UUID, stop: Callable[[], bool] = lambda: False) -> None:
    """Go on with a job until it is done; `stop` is asked before each slice."""
    token = uuid4()
    if not background.take(Job.objects.all(), id, token):
        return
    while not stop() and _do_slice(id, token):
        pass
    background.let_go(Job.objects.all(), id, token)


def resume() -> None:
    """Have a worker go on with what nobody has in hand; never raises for the broker's sake."""
    background.resume(Job.objects.all(), _ask_for)


def share_done(job: Job) -> float:
    """How far through the time between its first and last id it has come, from 0 to 1."""
    if job.state == JobState.DONE:
        return 1.0
    span = job.until.int - job.begins.int
    passed = min(job.cursor.int, job.until.int) - job.begins.int
    return passed / span if span > 0 else 0.0


def matching(job: Job) -> NotificationQuerySet:
    """What the job is for, of all notifications."""
    named = {FILTERS[name]: value for name, value in job.filters.items() if name in FILTERS}
    rows = Notification.objects.filter(**named)
    if name := job.filters.get("template"):
        versions = TemplateVersion.objects.filter(
            template__name=name, template__tenant__name=job.filters.get("tenant", "")
        )
        rows = rows.filter(template_version__in=list(versions.values_list("pk", flat=True)))
    return rows.with_status(*_statuses(job))


def _span(filters: Mapping[str, Any]) -> tuple[UUID, UUID]:
    """Before the first id and the last one, of what there is and of the times in `filters`."""
    ids = Notification.objects.values_list("pk", flat=True)
    oldest, newest = ids.order_by("pk").first(), ids.order_by("-pk").first()
    begins = UUID(int=oldest.int - 1) if oldest else FIRST
    until = newest or FIRST
    if after := filters.get("created_after"):
        begins = max(begins, _id_at(after))
    if before := filters.get("created_before"):
        until = max(begins, min(until, _id_at(before)))
    return begins, until


def _statuses(job: Job) -> list[Status]:
    possible = STATUSES[JobKind(job.kind)]
    wanted = job.filters.get("status") or possible
    found = [status for status in possible if status in wanted]
    if job.kind == JobKind.RETRY and not job.accept_duplicate_risk:
        found = [status for status in found if status != Status.UNKNOWN]
    return found


def _do_slice(id: UUID, token: UUID) -> bool:
    """Handle the next ids; whether there is more to do for the holder of `token`."""
    with database.atomic():
        job = background.held(Job.objects.all(), id, token)
        if job is None:
            return False
        within = Notification.objects.filter(pk__gt=job.cursor, pk__lte=job.until)
        ids = list(within.order_by("pk").values_list("pk", flat=True)[:SLICE])
        if ids:
            _apply(job, ids)
        _move_on(job, ids)
    return job.state == JobState.RUNNING


def _apply(job: Job, ids: list[UUID]) -> None:
    rows = matching(job).filter(pk__gte=ids[0], pk__lte=ids[-1])
    if job.kind == JobKind.RETRY:
        changed = control.retry_many(rows, accept_duplicate_risk=job.accept_duplicate_risk)
        _log(job, changed, "Retried")
        job.changed += len(changed)
        return
    for _ in range(PASSES):
        cancelled, asked = control.cancel_many(rows)
        _log(job, [*cancelled, *asked], "Cancelled")
        job.changed += len(cancelled)
        job.asked += len(asked)
        if not rows.cancellable().exists():
            break


def _move_on(job: Job, ids: list[UUID]) -> None:
    job.looked_at += len(ids)
    job.cursor = ids[-1] if ids else job.until
    job.lease_until = database.now() + timedelta(seconds=LEASE_SECONDS)
    if len(ids) < SLICE:
        job.state, job.finished_at = JobState.DONE, database.now()
    job.save()


def _log(job: Job, ids: list[UUID], what: str) -> None:
    """Into the history of each, where the admin is there to show it, and the user still is."""
    if not (ids and job.user and apps.is_installed("django.contrib.admin")):
        return
    if not get_user_model()._default_manager.filter(pk=job.user).exists():
        return
    log: Any = apps.get_model("admin", "LogEntry")._default_manager
    message = f"{what} by a job: {job.reason}"
    rows = [Notification(pk=id) for id in ids]
    log.log_actions(job.user, rows, 2, change_message=message)


def _ask_for(id: UUID) -> None:
    background.ask_for(request_job, id)


def _id_at(when: str) -> UUID:
    """Before all ids of that millisecond: they begin with the time of their making."""
    return UUID(int=max(0, int(datetime.fromisoformat(when).timestamp() * 1000)) << 80)
