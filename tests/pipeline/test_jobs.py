"""Retry and cancel by filter: in slices, to the end, whoever dies over it."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from notifications.enums import JobKind, JobState, Priority, State, Status
from notifications.models import Job, Notification, Tenant
from notifications.pipeline import jobs
from notifications.tasks import job as task
from tests.pipeline.factories import tenant

pytestmark = pytest.mark.django_db


def make(count: int, state: State = State.FAILED, **values: Any) -> list[Notification]:
    base = {"channel": "sms", "to": "+14155550123", "content": {}, "fingerprint": "0" * 64}
    shop = values.pop("tenant", None) or tenant("shop")
    return Notification.objects.bulk_create(
        Notification(**{**base, "tenant": shop, "state": state, **values}) for _ in range(count)
    )


def begin(kind: JobKind = JobKind.RETRY, **filters: Any) -> Job:
    risk = filters.pop("accept_duplicate_risk", False)
    return jobs.start(kind, filters, reason="why", by="ada", accept_duplicate_risk=risk)


def states(rows: list[Notification]) -> set[str]:
    found = Notification.objects.filter(pk__in=[row.pk for row in rows])
    return set(found.values_list("state", flat=True))


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "SLICE", 10)


def test_all_that_matches_is_retried_and_nothing_else() -> None:
    failed, sent = make(25), make(5, State.SENT)
    other = make(5, channel="email")
    job = begin(channel="sms")
    jobs.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.changed, job.looked_at) == (JobState.DONE, 25, 35)
    assert states(failed) == {State.QUEUED}
    assert states(sent) == {State.SENT}
    assert states(other) == {State.FAILED}


def test_what_waits_is_cancelled_and_what_is_being_sent_is_asked_for() -> None:
    waiting = make(15, State.QUEUED)
    lease = {"lease_token": uuid4(), "lease_until": Now()}
    sending = make(3, State.DISPATCHING, **lease)
    job = begin(JobKind.CANCEL)
    jobs.run(job.pk)
    job.refresh_from_db()
    assert (job.changed, job.asked) == (15, 3)
    assert states(waiting) == {State.CANCELLED}
    assert Notification.objects.filter(cancel_requested=True).count() == len(sending)


def test_unknown_is_retried_only_where_a_duplicate_is_accepted() -> None:
    unknown = make(3, State.UNKNOWN)
    jobs.run(begin(status=["unknown", "failed"]).pk)
    assert states(unknown) == {State.UNKNOWN}
    jobs.run(begin(status=["unknown"], accept_duplicate_risk=True).pk)
    assert states(unknown) == {State.QUEUED}


@pytest.mark.parametrize(
    ("filters", "values"),
    [
        ({"channel": "email"}, {"channel": "email"}),
        ({"priority": 0}, {"priority": Priority.URGENT}),
        ({"tenant": "other"}, {"tenant": "other"}),
        ({"provider": "smtp"}, {"provider": "smtp"}),
        ({"error_code": "timeout"}, {"error_code": "timeout"}),
        ({"status": ["expired"]}, {"state": State.EXPIRED}),
    ],
)
def test_each_filter_finds_its_own(filters: dict[str, Any], values: dict[str, Any]) -> None:
    if "tenant" in values:
        values = {"tenant": Tenant.objects.create(name=values["tenant"])}
    make(3)
    mine = make(3, **values)
    jobs.run(begin(**filters).pk)
    assert states(mine) == {State.QUEUED}
    assert Notification.objects.with_status(Status.QUEUED).count() == 3


def test_times_narrow_it_by_when_they_were_made() -> None:
    early = make(3)
    between = jobs.database.now()
    while jobs._id_at(between.isoformat()) <= early[-1].pk:
        between += timedelta(milliseconds=1)
    late = make(1)
    while late[-1].pk < jobs._id_at(between.isoformat()):
        late += make(1)
    late = [row for row in late if row.pk > jobs._id_at(between.isoformat())]
    jobs.run(begin(created_after=between.isoformat()).pk)
    assert states(late) == {State.QUEUED}
    assert states(early) == {State.FAILED}
    jobs.run(begin(created_before=between.isoformat()).pk)
    assert states(early) == {State.QUEUED}


def test_what_comes_after_it_was_made_is_left_alone() -> None:
    make(3)
    job = begin()
    later = make(3)
    jobs.run(job.pk)
    assert states(later) == {State.FAILED}


class Killed(BaseException):
    pass


def test_a_worker_killed_in_a_slice_has_done_nothing_of_it_and_another_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = make(35)
    job = begin()
    move_on, slices = jobs._move_on, []

    def die_in_the_third(job: Job, ids: Any) -> None:
        slices.append(ids)
        if len(slices) == 3:
            raise Killed
        move_on(job, ids)

    monkeypatch.setattr(jobs, "_move_on", die_in_the_third)
    with pytest.raises(Killed):
        jobs.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.changed) == (JobState.RUNNING, 20)
    assert Notification.objects.with_status(Status.QUEUED).count() == 20
    monkeypatch.setattr(jobs, "_move_on", move_on)
    jobs.run(job.pk)  # a message that came twice: the lease is still the dead one's
    assert Notification.objects.with_status(Status.QUEUED).count() == 20
    Job.objects.update(lease_until=Now() - timedelta(seconds=1))
    jobs.resume()
    jobs.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.changed) == (JobState.DONE, 35)
    assert states(rows) == {State.QUEUED}


def test_only_one_worker_at_a_time_is_asked_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(jobs, "_ask_for", asked.append)
    make(1)
    job = begin()
    jobs.resume()
    assert asked == []
    Job.objects.update(lease_until=Now() - timedelta(seconds=1))
    jobs.resume()
    jobs.resume()
    assert asked == [job.pk]


def test_a_worker_that_stops_hands_the_job_on() -> None:
    make(25)
    job = begin()
    answers = iter([False, True])
    jobs.run(job.pk, stop=lambda: next(answers))
    job.refresh_from_db()
    assert (job.state, job.changed, job.lease_token) == (JobState.RUNNING, 10, None)
    assert 0 < jobs.share_done(job) < 1
    task(str(job.pk))
    job.refresh_from_db()
    assert (job.state, job.changed, jobs.share_done(job)) == (JobState.DONE, 25, 1)


def test_it_can_be_stopped_and_taken_up_again() -> None:
    make(25)
    job = begin()
    assert jobs.stop(job)
    jobs.run(job.pk)
    assert Notification.objects.with_status(Status.QUEUED).count() == 0
    assert not jobs.stop(job)
    assert jobs.go_on(job)
    jobs.run(job.pk)
    assert Notification.objects.with_status(Status.QUEUED).count() == 25


def test_the_history_of_each_says_who_and_why() -> None:
    ada = User.objects.create_user("ada")
    rows = make(3)
    job = jobs.start(JobKind.RETRY, {}, reason="outage over", by="ada", user=str(ada.pk))
    jobs.run(job.pk)
    entries = LogEntry.objects.filter(user=ada)
    assert {entry.object_id for entry in entries} == {str(row.pk) for row in rows}
    assert {entry.change_message for entry in entries} == {"Retried by a job: outage over"}


def test_it_goes_on_when_its_user_is_gone() -> None:
    make(3)
    job = jobs.start(JobKind.RETRY, {}, reason="x", by="ada", user="4711")
    jobs.run(job.pk)
    job.refresh_from_db()
    assert job.changed == 3


def test_a_slice_takes_few_statements_however_many_it_changes() -> None:
    make(10)
    job = begin()
    with CaptureQueriesContext(connection) as queries:
        jobs.run(job.pk)
    assert len(queries) < 25
