"""The timeline of a notification: what has happened, from its acceptance to its end."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from notifications import notify
from notifications.admin.words import moment
from notifications.enums import Channel, State, Status, WaitReason
from notifications.gates import forget_gates
from notifications.messages import TemplateDraft
from notifications.models import Digest, Notification, RateBucket, Wait
from notifications.pipeline import waits
from notifications.pipeline.template_store import put
from tests.pipeline.factories import attempt, fresh, sms, tenant

pytestmark = pytest.mark.django_db


def told(client: Client, row: Notification) -> list[tuple[str, str, str]]:
    """Time, title and detail of each event."""
    page = client.get(reverse("admin:notifications_notification_change", args=[row.pk]))
    event = r"<time>(.*?)</time> <strong>(.*?)</strong>(?: <span>(.*?)</span>)?</li>"
    return re.findall(event, page.content.decode())


def wait(row: Notification, **values: Any) -> Wait:
    at = row.created_at
    times = {"since": at, "last_at": at, "until": at}
    common = {"notification": row, "after_attempt": 0, "reason": WaitReason.PAUSED, "count": 1}
    return Wait.objects.create(**common | times | values)


def test_a_put_off_is_still_told_when_it_has_been_sent(admin_client: Client, settings: Any) -> None:
    settings.NOTIFICATIONS = {"CHANNELS": {"sms": {"RATE_LIMIT": "1/m"}}}
    rows = sms(), sms()
    attempt(*rows)
    row = next(row for row in rows if fresh(row).state == State.QUEUED)
    RateBucket.objects.all().delete()
    forget_gates()
    attempt(row)
    assert fresh(row).status == Status.DELIVERED
    found = told(admin_client, row)
    titles = [title for _, title, _ in found]
    assert titles[0] == "Accepted"
    assert titles[1] == "Put off: the limit of channel sms (1/m) was used up"
    assert titles[2].startswith("Attempt 1 at simulated: accepted")
    kept = row.waits.get()
    assert found[1][0] == moment(kept.since)
    assert found[1][2] == f"until {moment(kept.until)}"


def test_what_came_again_is_told_once_with_its_number(admin_client: Client) -> None:
    row = sms()
    last = row.created_at + timedelta(minutes=5)
    wait(row, reason="rate_limit", scope="channel:sms:1/s", count=14, last_at=last, until=last)
    wait(row, scope="channel:sms", since=last, count=1)
    first, second = told(admin_client, row)[1:3]
    assert first[2] == f"14 times, the last at {moment(last)}, until {moment(last)}"
    assert second[1:] == ("Put off: channel sms was paused", "")


def test_where_no_more_are_kept_it_says_so(admin_client: Client) -> None:
    row = sms()
    for number in range(waits.MOST - 1):
        wait(row, scope=f"provider:{number}")
    assert "not told" not in str(told(admin_client, row))
    wait(row)
    assert "if there were others since, they are not told" in str(told(admin_client, row))


def test_what_was_gathered_in_a_digest_says_until_when(admin_client: Client) -> None:
    row = sms()
    now = timezone.now()
    values = {"tenant": row.tenant, "channel": "sms", "recipient": row.to, "key": "news"}
    times = {"window": 60, "max_count": 9, "closes_at": now, "closed_at": now, "is_open": False}
    digest = Digest.objects.create(template="t", **values, **times)
    Notification.objects.update(digest=digest, state=State.DIGESTED, settled_at=now)
    assert [(title, detail) for _, title, detail in told(admin_client, row)][1:] == [
        ("Put off: gathered in the digest news", f"until {moment(now)}"),
        ("It is digested", ""),
    ]
    Digest.objects.update(closed_at=None)
    assert "gathered in the digest" not in str(told(admin_client, row))


def switch(client: Client, name: str, scope: str, subject: str, reason: str) -> None:
    values = {"scope": scope, "subject": subject, "reason": reason}
    assert client.post(reverse(f"admin:notifications_{name}"), values).status_code == 302


def test_a_pause_is_told_when_it_is_over(admin_client: Client) -> None:
    switch(admin_client, "pause", "channel", "sms", "an old story")
    switch(admin_client, "resume", "channel", "sms", "an old end")
    switch(admin_client, "pause", "provider", "simulated", "new contract")
    switch(admin_client, "pause", "channel", "email", "another way")
    row = sms()
    tenant("else")
    switch(admin_client, "pause", "channel", "sms", "new database")
    switch(admin_client, "pause", "tenant", "else", "another tenant")
    switch(admin_client, "resume", "provider", "simulated", "signed")
    switch(admin_client, "resume", "channel", "sms", "done")
    attempt(row)
    switch(admin_client, "pause", "channel", "sms", "after its end")
    found = [(title, detail) for _, title, detail in told(admin_client, row)]
    assert found[:5] == [
        ("admin", "provider simulated: Paused: new contract"),
        ("Accepted", f"for {row.tenant.name}"),
        ("admin", "channel sms: Paused: new database"),
        ("admin", "provider simulated: Resumed: signed"),
        ("admin", "channel sms: Resumed: done"),
    ]
    assert found[5][0].startswith("Attempt 1 at simulated")
    assert len([title for title, _ in found if title == "admin"]) == 4


def test_a_pause_of_its_template_is_told(admin_client: Client) -> None:
    put(tenant("bakery"), "hello", TemplateDraft(Channel.SMS, {"body": "Hello"}))
    row = notify("sms", to="+14155550123", template="hello", tenant="bakery")
    switch(admin_client, "pause", "template", "bakery/hello", "a wrong price")
    assert "a wrong price" in str(told(admin_client, row))
