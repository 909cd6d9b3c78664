"""No page of the German admin shows an English word of ours.

English is what stands in the texts that our catalogue translates, and in none of the German ones.
"""

import gettext
import html
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import django
import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import override

from notifications import notify
from notifications.enums import ReceiptState, State, Status, SuppressionReason, WaitReason
from notifications.gates import get_breaker
from notifications.lifecycle import states_of
from notifications.messages import Tally
from notifications.models import (
    Attempt,
    Digest,
    Job,
    Notification,
    Pause,
    RateLimit,
    Receipt,
    Suppression,
    Template,
    TemplateVersion,
    Tenant,
    Wait,
    Worker,
    new_id,
)
from notifications.pipeline import policy
from notifications.suppression import detail_of
from tests.pipeline.factories import sms
from tests.processes import ROOT

pytestmark = pytest.mark.django_db

WORD = re.compile(r"[a-zäöüß]{3,}")
HIDDEN = re.compile(r"(?s)<(script|style|code|pre|textarea|nav)\b.*?</\1>|<!--.*?-->")
SHOWN = re.compile(
    r'\b(?:aria-label|title|placeholder|alt|type="submit" value)="([^"]*)"|>([^<>]+)<'
)

CODES = (
    r"[a-z]+_[a-z_]+|https?:\S+|\S+@\S+|celery|worker\S*|[0-9a-f]{8}-\S+"
    r"|simulated|transient: unavailable|shop/\w+|--[a-z]+"
)
"""Names of settings, columns, providers and codes, which are the same in every language."""

AS_THEY_ARE = {"search", "run", "suppressed"}
"""What Django itself has in English (from 6.0 on `Run`), and a code that is a status, too."""

SIMULATED = "notifications.providers.simulated.SimulatedProvider"


def words_of(texts: Any) -> set[str]:
    bare = " ".join(str(text) for text in texts)
    return set(WORD.findall(re.sub(r"[{%]\(?\w*\)?[}s]?|<[^>]+>", " ", bare).lower()))


def catalogue(path: Path) -> dict[Any, str]:
    with path.open("rb") as file:
        return dict(gettext.GNUTranslations(file)._catalog)  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def english() -> set[str]:
    """Words that only English texts have."""
    ours = catalogue(ROOT / "notifications/locale/de/LC_MESSAGES/django.mo")
    keys = [key[0] if isinstance(key, tuple) else key for key in ours]
    originals = [key.partition("\x04")[2] for key in keys]
    django_s = [Path(django.__file__).parent / at for at in ("conf", "contrib/admin")]
    german = [
        text
        for at in django_s
        for text in catalogue(at / "locale/de/LC_MESSAGES/django.mo").values()
    ]
    return words_of(originals) - words_of(ours.values()) - words_of(german) - AS_THEY_ARE


def shown(page: str) -> Iterator[str]:
    """What a reader has before them, without codes."""
    for parts in SHOWN.findall(HIDDEN.sub(" ", page)):
        text = html.unescape(" ".join(parts))
        yield re.sub(CODES, " ", text)


def left(client: Client, english: set[str], path: str) -> dict[str, set[str]]:
    """The English words on a page, by the text in which they stand."""
    with override("de"):
        response = client.get(path)
    assert response.status_code == 200, path
    texts = {text.strip() for text in shown(response.content.decode())}
    found = {text: words_of([text]) & english for text in texts}
    return {text: words for text, words in found.items() if words}


@pytest.fixture
def reader(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("chef"))
    return client


@pytest.fixture
def template() -> TemplateVersion:
    tenant = Tenant.objects.get_or_create(name="laden")[0]
    made = Template.objects.create(tenant=tenant, name="gruss", channel="sms", version=1)
    return TemplateVersion.objects.create(template=made, number=1, content={"body": "Guten Tag"})


def in_status(status: Status, template: TemplateVersion) -> Notification:
    """One with all that a page can tell of it."""
    state, receipt_state = states_of(status)[-1]
    now = timezone.now()
    error = {
        Status.EXPIRED: ("abgelaufen", "expires_at passed before it was sent"),
        Status.SUPPRESSED: ("suppressed", detail_of(SuppressionReason.HARD_BOUNCE)),
        Status.RETRYING: ("unavailable", ""),
    }.get(status, ("", ""))
    row = Notification.objects.create(
        tenant=template.template.tenant,
        template_version=template,
        channel="sms",
        to="+4915112345678",
        content={"body": "Guten Tag"},
        fingerprint="0" * 64,
        state=state,
        receipt_state=receipt_state,
        lease_token=uuid4(),
        lease_until=now - timedelta(seconds=1),
        due_at=now + timedelta(minutes=5),
        send_at=now,
        expires_at=now + timedelta(days=1),
        settled_at=now,
        attempt_count=1,
        provider="simulated",
        error_code=error[0],
        error_detail=error[1],
        cancel_requested=status == Status.SENDING,
        duplicate_risk=True,
    )
    for number, outcome in enumerate(("transient", "throttled", "ambiguous", "permanent")):
        Attempt.objects.create(
            notification=row, number=number, provider="simulated", outcome=outcome, duration_ms=1
        )
    for kind in ReceiptState:
        Receipt.objects.create(notification=row, event_id=f"{row.pk}{kind}", kind=kind)
    held = [
        (WaitReason.RATE_LIMIT, "channel:sms:1/s"),
        (WaitReason.RATE_LIMIT, "provider:simulated"),
        (WaitReason.RATE_LIMIT, "provider:simulated:pace"),
        (WaitReason.CIRCUIT_OPEN, "provider:simulated"),
        (WaitReason.CIRCUIT_OPEN, f"endpoint:{row.pk}"),
        (WaitReason.PAUSED, "tenant:laden"),
        (WaitReason.PAUSED, "template:laden/gruss"),
        (WaitReason.QUIET_HOURS, ""),
    ]
    times = {"since": now, "last_at": now, "until": now}
    for reason, scope in held:
        values = {"reason": reason, "scope": scope, "after_attempt": 0, "count": 3}
        Wait.objects.create(notification=row, **values, **times)
    return row


@pytest.mark.parametrize("status", Status)
def test_the_page_of_a_notification(
    reader: Client, english: set[str], template: TemplateVersion, status: Status
) -> None:
    row = in_status(status, template)
    path = reverse("admin:notifications_notification_change", args=[row.pk])
    assert left(reader, english, path) == {}


def test_a_status_that_is_a_code_too(reader: Client, template: TemplateVersion) -> None:
    in_status(Status.SUPPRESSED, template)
    with override("de"):
        page = reader.get("/admin/notifications/notification/").content.decode()
    assert 'notification-status-suppressed">gesperrt</span>' in page


def test_why_one_waits(reader: Client, english: set[str], settings: Any) -> None:
    """Whatever holds it up: nobody there, its turn, a pause, a circuit."""
    limited = {"PROVIDERS": {"eins": {"BACKEND": SIMULATED, "CIRCUIT": {"MIN_CALLS": 1}}}}
    settings.NOTIFICATIONS = limited | {"CHANNELS": {"sms": {"PROVIDERS": ["eins"]}}}
    policy.forget()
    row = sms(body="Guten Tag", metadata={})
    path = reverse("admin:notifications_notification_change", args=[row.pk])

    def says(german: str) -> None:
        policy.forget()
        with override("de"):
            assert german in html.unescape(reader.get(path).content.decode())
        assert left(reader, english, path) == {}

    says("kein Worker")
    Worker.objects.create(name="w", seen_at=timezone.now())
    says("Mandanten")
    pause = Pause.objects.create(scope="channel", subject="sms")
    says("Kanal sms ist angehalten")
    pause.delete()
    get_breaker().record("eins", Tally(failed=1))
    says("Sicherung von eins ist")
    Notification.objects.update(wait_reason="paused", wait_scope="channel:sms")
    Notification.objects.update(due_at=timezone.now() + timedelta(days=1))
    says("Kanal sms")


def test_the_list_and_the_dashboard(
    reader: Client, english: set[str], template: TemplateVersion, settings: Any
) -> None:
    limit = {"RATE_LIMIT": "5/s", "CIRCUIT": {"MIN_CALLS": 1}}
    settings.NOTIFICATIONS = {"PROVIDERS": {"eins": {"BACKEND": SIMULATED, **limit}}}
    settings.NOTIFICATIONS |= {
        "CHANNELS": {name: {"PROVIDERS": ["eins"]} for name in ("email", "sms", "webhook")}
    }
    policy.forget()
    for status in Status:
        in_status(status, template)
    Notification.objects.filter(state=State.QUEUED).update(due_at=timezone.now())
    Pause.objects.create(scope="tenant", subject="laden")
    RateLimit.objects.create(scope="channel", subject="sms", rates="1/s")
    get_breaker().record("eins", Tally(failed=1))
    policy.forget()
    for path in ("notification/", "dashboard/", "dashboard/live/"):
        assert left(reader, english, f"/admin/notifications/{path}") == {}, path


@pytest.mark.parametrize("name", ["pause", "resume", "drain", "resume-all", "limit"])
def test_the_switches(reader: Client, english: set[str], name: str) -> None:
    assert left(reader, english, f"/admin/notifications/dashboard/{name}/") == {}


def test_jobs(reader: Client, english: set[str]) -> None:
    ids = {"begins": new_id(), "cursor": new_id(), "until": new_id()}
    filters = {"status": ["failed", "expired"], "channel": "sms", "priority": 0, "tenant": "laden"}
    job = Job.objects.create(kind="retry", filters=filters, reason="Grund", by="chef", **ids)
    for path in ("", "add/", f"{job.pk}/change/"):
        assert left(reader, english, f"/admin/notifications/job/{path}") == {}


def test_all_lists_and_forms(reader: Client, english: set[str], template: TemplateVersion) -> None:
    tenant = template.template.tenant
    Suppression.objects.create(tenant=tenant, channel="sms", recipient="+4915112345678")
    now = timezone.now()
    Digest.objects.create(
        tenant=tenant, channel="sms", recipient="1", key="k", template="gruss",
        window=60, max_count=9, closes_at=now,
    )  # fmt: skip
    models = [m for m in admin.site._registry if m._meta.app_label == "notifications"]
    paths = [f"/admin/notifications/{m._meta.model_name}/" for m in models]
    adding = [f"{path}add/" for path in paths]
    paths += [path for path in adding if reader.get(path).status_code == 200]
    paths += [
        f"/admin/notifications/{name}/" for name in ("suppression/import", "notification/export")
    ]
    found = {path: left(reader, english, path) for path in paths}
    assert {path: words for path, words in found.items() if words} == {}


def test_a_walk_finds_what_is_english(reader: Client, english: set[str]) -> None:
    assert {"waiting", "limit", "recipient", "the", "paused"} & english
    row = notify("sms", to="+4915112345678", body="Guten Tag", metadata={})
    Notification.objects.update(state=State.FAILED, error_detail="the limit was used up")
    path = reverse("admin:notifications_notification_change", args=[row.pk])
    assert left(reader, english, path) != {}
