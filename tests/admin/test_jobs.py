"""Retry and cancel many from the admin: who may, what is asked, and what is shown of it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from notifications.enums import JobState, State, Status
from notifications.models import Job, Notification
from notifications.pipeline import jobs
from tests.pipeline.factories import tenant

ADD = "/admin/notifications/job/add/"

pytestmark = pytest.mark.django_db

FORM = {"kind": "retry", "reason": "the outage is over"}


@pytest.fixture(autouse=True)
def nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "request_job", lambda id: None)


def make(count: int, state: State = State.FAILED, **values: Any) -> None:
    base = {"channel": "sms", "to": "+14155550123", "content": {}, "fingerprint": "0" * 64}
    Notification.objects.bulk_create(
        Notification(**{**base, "tenant": tenant("shop"), "state": state, **values})
        for _ in range(count)
    )


def test_a_job_is_started_logged_and_shown_to_its_end(admin_client: Client) -> None:
    make(5)
    make(2, channel="email")
    response = admin_client.post(ADD, {**FORM, "channel": "sms", "tenant": "shop"}, follow=True)
    job = Job.objects.get()
    page = response.content.decode()
    assert job.filters == {"channel": "sms", "tenant": "shop"}
    assert "Running, 0 %" in page
    assert "Stop it" in page
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.change_message) == (str(job.pk), "Started: the outage is over")
    jobs.run(job.pk)
    page = admin_client.get(f"/admin/notifications/job/{job.pk}/change/").content.decode()
    assert "Done, 100 %" in page
    assert re.search(r"<dt>retried</dt><dd>5</dd>", page)
    assert Notification.objects.with_status(Status.QUEUED).count() == 5
    history = LogEntry.objects.filter(change_message="Retried by a job: the outage is over")
    assert history.count() == 5
    assert "100 %" in admin_client.get("/admin/notifications/job/").content.decode()


def test_it_is_stopped_and_taken_up_again_from_its_page(admin_client: Client) -> None:
    make(3)
    admin_client.post(ADD, FORM)
    job = Job.objects.get()
    url = f"/admin/notifications/job/{job.pk}"
    assert "Go on" in admin_client.post(f"{url}/stop/", follow=True).content.decode()
    jobs.run(job.pk)
    assert not Notification.objects.with_status(Status.QUEUED).exists()
    admin_client.post(f"{url}/go-on/")
    jobs.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.changed) == (JobState.DONE, 3)
    admin_client.get(f"{url}/stop/")
    assert Job.objects.get().state == JobState.DONE


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"reason": ""}, "This field is required"),
        ({"tenant": "nobody"}, "There is no tenant of this name"),
        ({"template": "x"}, "This tenant has no template of this name"),
        ({"status": ["delivered"]}, "There is nothing to retry in these"),
        ({"status": ["unknown"]}, "accept the risk below"),
        ({"created_after": "yesterday"}, "Enter a valid date/time"),
        ({"kind": "delete"}, "Select a valid choice"),
        ({"channel": "pigeon"}, "Select a valid choice"),
        ({"provider": "x\x00"}, "Null characters are not allowed"),
    ],
)
def test_what_makes_no_sense_is_refused(
    admin_client: Client, values: dict[str, Any], said: str
) -> None:
    make(1)
    page = admin_client.post(ADD, {**FORM, **values}).content.decode()
    assert said in page
    assert not Job.objects.exists()


def test_unknown_is_retried_with_the_risk_accepted(admin_client: Client) -> None:
    make(2, State.UNKNOWN)
    admin_client.post(ADD, {**FORM, "status": ["unknown"], "accept_duplicate_risk": "on"})
    jobs.run(Job.objects.get().pk)
    assert Notification.objects.filter(duplicate_risk=True).count() == 2


def test_the_form_takes_over_what_the_list_was_narrowed_to(admin_client: Client) -> None:
    listed = "/admin/notifications/notification/?status=failed&channel__exact=sms&tenant=shop"
    make(1)
    page = admin_client.get(listed).content.decode()
    [query] = re.findall(r'href="/admin/notifications/job/add/\?([^"]*)"', page)
    form = admin_client.get(f"{ADD}?{query.replace('&amp;', '&')}").content.decode()
    assert re.search(r'value="failed"[^>]*checked', form)
    assert re.search(r'value="sms" selected', form)
    assert 'value="shop"' in form


@pytest.mark.parametrize(
    ("permissions", "kinds"),
    [
        (("add_job",), None),
        (("retry_notification", "cancel_notification"), None),
        (("add_job", "retry_notification"), {"retry"}),
        (("add_job", "cancel_notification"), {"cancel"}),
    ],
)
def test_it_takes_the_permission_for_jobs_and_that_for_what_it_does(
    staff: Callable[..., Client], permissions: tuple[str, ...], kinds: set[str] | None
) -> None:
    client = staff(*permissions)
    answer = client.get(ADD)
    if kinds is None:
        assert answer.status_code == 403
        return
    page = answer.content.decode()
    assert set(re.findall(r'<option value="(retry|cancel)"', page)) == kinds
    for kind in ("retry", "cancel"):
        client.post(ADD, {**FORM, "kind": kind})
    assert {job.kind for job in Job.objects.all()} == kinds


def test_who_may_not_start_it_may_not_stop_it(staff: Callable[..., Client]) -> None:
    make(1)
    job = jobs.start(jobs.JobKind.RETRY, {}, reason="x", by="ada")
    client = staff("view_job", "add_job", "cancel_notification")
    assert (
        "Stop it" not in client.get(f"/admin/notifications/job/{job.pk}/change/").content.decode()
    )
    assert client.post(f"/admin/notifications/job/{job.pk}/stop/").status_code == 403
    assert client.post(f"/admin/notifications/job/{job.pk}/go-on/").status_code == 403
