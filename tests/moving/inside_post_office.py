"""The import from django-post_office; `test_moving` runs this where that is an installed app."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone
from post_office import mail
from post_office.lockfile import FileLock, default_lockfile
from post_office.models import STATUS, Email, EmailTemplate

from notifications import notify
from notifications.enums import Channel, Priority, Status
from notifications.management import post_office
from notifications.management.post_office import import_emails, waiting
from notifications.models import Attachment, Notification, Template, Tenant
from notifications.pipeline.control import cancel
from notifications.pipeline.deliver import deliver
from notifications.pipeline.prune import prune
from tests.moving.settings import ELSEWHERE
from tests.pipeline.factories import make_due
from tests.processes import ROOT
from tests.providers.smtp_server import Script
from tests.test_mail import unified

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "elsewhere"]),
    pytest.mark.usefixtures("script"),
]

SHOP, ADA = "Shop <shop@example.com>", "Ada <ada@example.org>"
LATER = timezone.now() + timedelta(days=2)


def import_all(*arguments: str) -> str:
    out = StringIO()
    call_command("import_post_office", *arguments, stdout=out)
    return out.getvalue()


def deliver_all() -> None:
    ids = list(Notification.objects.order_by("pk").values_list("pk", flat=True))
    make_due(ids)
    deliver(Channel.EMAIL, ids)


def queue_all_kinds() -> None:
    """One e-mail of each kind that its queue takes."""
    welcome = EmailTemplate.objects.create(
        name=f"welcome-{EmailTemplate.objects.count()}",
        subject="Hello {{ name }}",
        content="Dear {{ name|upper }}",
        html_content="<p>{{ name }}</p>",
    )
    files = {
        "straße.txt": ContentFile("Grüße".encode()),
        "large.bin": {"file": ContentFile(os.urandom(100_000)), "mimetype": "application/pdf"},
    }
    logo = {"file": ContentFile(b"x"), "mimetype": "image/png", "headers": {"Content-ID": "<l>"}}
    mail.send(ADA, SHOP, subject="Plain", message="Body")
    mail.send(ADA, SHOP, subject="Grüße", message="Body", html_message="<p>Körper</p>")
    mail.send(ADA, SHOP, subject="HTML", html_message="<p>alone</p>")
    mail.send([ADA, "bob@example.org"], SHOP, subject="All", cc=["c@example.org"], message="Body")
    mail.send(None, SHOP, subject="Hidden", message="Body", bcc=["d@example.org"])
    mail.send(ADA, SHOP, subject="Files", message="Body", attachments=files)
    mail.send(ADA, SHOP, subject="Inline", html_message="<p/>", attachments={"logo.png": logo})
    mail.send(
        ADA, SHOP, subject="Headers", message="B", headers={"Reply-To": "r@e.org", "X-A": "1"}
    )
    mail.send(ADA, SHOP, subject="Expires", message="Body", expires_at=LATER)
    mail.send(ADA, SHOP, template=welcome, context={"name": "Ada"}, priority="high")
    context = {"name": "Ada & Bob"}
    mail.send(ADA, SHOP, template=welcome, context=context, render_on_delivery=True)


KINDS = 11


def queue(count: int, **fields: Any) -> list[int]:
    """So many plain e-mails, each to somebody else; their ids."""
    made = [
        Email(
            from_email=SHOP,
            **{"to": [f"reader-{n}@example.org"], "subject": f"Number {n}", "message": "Body"}
            | {"status": STATUS.queued, "priority": 1}
            | fields,
        )
        for n in range(count)
    ]
    return [row.pk for row in Email.objects.using(waiting().db).bulk_create(made)]


def test_all_kinds_of_e_mails_arrive_as_django_post_office_sends_them(script: Script) -> None:
    queue_all_kinds()
    mail.send_queued()
    without = sorted(map(unified, script.arrived))
    script.arrived.clear()
    Email.objects.update(status=STATUS.queued)
    Email.objects.filter(subject="Plain").update(status=STATUS.requeued)
    assert import_emails().taken == KINDS
    deliver_all()
    # Attachments with a file of its own are many bytes: they are in a table beside the row.
    assert Attachment.objects.count() == 1
    assert sorted(map(unified, script.arrived)) == without
    assert len(without) == KINDS


def test_priorities_and_times_are_kept() -> None:
    for priority in ("low", "medium", "high"):
        mail.send(ADA, SHOP, subject=priority, priority=priority)
    mail.send(ADA, SHOP, subject="later", scheduled_time=LATER, expires_at=LATER + DAY)
    assert import_emails().scheduled == 1
    rows = {row.content["subject"]: row for row in Notification.objects.all()}
    assert [rows[name].priority for name in ("low", "medium", "high")] == [
        Priority.BULK,
        Priority.NORMAL,
        Priority.URGENT,
    ]
    assert rows["later"].status == Status.SCHEDULED
    assert (rows["later"].send_at, rows["later"].expires_at) == (LATER, LATER + DAY)


DAY = timedelta(days=1)


def test_a_second_run_takes_nothing_and_neither_does_the_old_sender(script: Script) -> None:
    queue(3)
    assert "took over 3," in import_all()
    assert "took over 0, 0 of them for later; 0 had been before; 0 stay" in import_all()
    assert mail.send_queued() == (0, 0, 0)
    deliver_all()
    assert len(script.arrived) == 3


def test_what_is_put_into_the_old_queue_again_is_not_accepted_again(script: Script) -> None:
    queue(2)
    import_emails()
    deliver_all()
    Email.objects.update(status=STATUS.queued, message="Changed")
    again = import_emails()
    assert (again.taken, again.known, waiting().count()) == (0, 2, 0)
    deliver_all()
    assert len(script.arrived) == 2


def test_what_was_cancelled_here_stays_in_the_old_queue(script: Script) -> None:
    [id] = queue(1)
    import_emails()
    cancel(Notification.objects.get())
    Email.objects.update(status=STATUS.queued)
    again = import_emails()
    assert dict(again.left) == {"it was taken over before, and is cancelled: retry it there": [id]}
    assert waiting().count() == 1


@pytest.mark.parametrize(
    ("moment", "routed"),
    [("accepted", False), ("update", False), ("accepted", True)],
    ids=["between two transactions", "within one", "between two databases"],
)
def test_killed_and_run_again_each_e_mail_is_sent_once(
    moment: str, routed: bool, settings: Any, script: Script
) -> None:
    if routed:
        settings.DATABASE_ROUTERS = ELSEWHERE
    count = 3 * post_office.SIZE
    queue(count)
    run_killed(moment, "2", settings, routed=routed)
    committed = post_office.SIZE * (2 if moment == "accepted" else 1)
    marked = committed - (post_office.SIZE if routed else 0)
    assert Notification.objects.count() == committed
    assert waiting().count() == count - marked
    again = import_emails()
    assert (again.taken, again.known) == (count - committed, committed - marked)
    deliver_all()
    arrived = sorted(one.recipients[0] for one in script.arrived)
    assert arrived == sorted(f"reader-{n}@example.org" for n in range(count))
    assert waiting().count() == 0


def run_killed(moment: str, number: str, settings: Any, *, routed: bool) -> None:
    names = {
        f"MOVING_{alias.upper()}": str(connections[alias].settings_dict["NAME"])
        for alias in ("default", "elsewhere")
    }
    env = {**os.environ, **names, "MOVING_MEDIA": settings.MEDIA_ROOT}
    done = subprocess.run(
        [sys.executable, "-m", "tests.moving.killed", moment, number],
        env=env | ({"MOVING_ROUTED": "1"} if routed else {}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


def test_what_cannot_be_taken_stays_with_its_reason() -> None:
    past = timezone.now() - DAY
    [expired] = queue(1, expires_at=past)
    [nobody] = queue(1, to=[])
    [nowhere] = queue(1, to=["ada@b@example.org"])
    broken = EmailTemplate.objects.create(name="broken", content="{% nonsense %}")
    [unreadable] = queue(1, template=broken, context={"a": 1})
    [large] = queue(1, message="x" * 11_000_000)
    [good] = queue(1)
    found = import_emails()
    assert found.taken == 1, found
    reasons = {ids[0]: reason for reason, ids in found.left.items()}
    assert reasons[expired] == "expires_at: is in the past"
    assert reasons[nobody] == "it has no recipient"
    assert reasons[nowhere] == "no e-mail can be made of it (ValueError)"
    assert reasons[unreadable] == "no e-mail can be made of it (TemplateSyntaxError)"
    assert reasons[large].startswith("the e-mail has 11,")
    assert good not in waiting().values_list("pk", flat=True)
    assert waiting().count() == 5


def test_a_missing_file_keeps_one_e_mail_back_and_no_other() -> None:
    row = mail.send(ADA, SHOP, subject="File", attachments={"a.txt": ContentFile(b"a")})
    row.attachments.get().file.delete(save=False)
    queue(1)
    found = import_emails()
    assert found.taken == 1
    [ids] = found.left.values()
    assert ids == [row.pk]


def test_a_dry_run_tells_the_same_and_changes_nothing(settings: Any) -> None:
    queue(3, scheduled_time=LATER)
    queue(1, backend_alias="marketing")
    EmailTemplate.objects.create(name="welcome", subject="Hello", content="Hello")
    for routers in ([], ELSEWHERE):
        settings.DATABASE_ROUTERS = routers
        if routers:
            queue(4)
        told = import_all("--dry-run")
        assert "would take over 4, " in told
        assert waiting().count() == 4
        assert not Notification.objects.exists()
        assert not Template.objects.exists()
        assert not Tenant.objects.exists()


def test_it_waits_for_the_sender_and_the_sender_for_it() -> None:
    queue(1)
    with FileLock(default_lockfile), pytest.raises(CommandError, match="is sending on this host"):
        import_all()
    assert waiting().count() == 1
    assert "took over 1," in import_all()
    with FileLock(default_lockfile):  # it was given back
        pass


def test_another_tenant_may_get_them_and_one_of_the_two_may_be_left() -> None:
    shop = Tenant.objects.create(name="shop")
    queue(2, backend_alias="marketing")
    EmailTemplate.objects.create(name="welcome", subject="Hello", content="Hello")
    assert "took over" in import_all("--tenant", "shop", "--only", "templates")
    assert Template.objects.get().tenant == shop
    assert waiting().count() == 2
    told = import_all("--tenant", "shop", "--only", "emails")
    assert "2 name the backend marketing" in told
    assert "Templates" not in told
    assert Notification.objects.filter(tenant=shop).count() == 2
    with pytest.raises(CommandError, match="there is no tenant 'nobody'"):
        import_all("--tenant", "nobody")


def test_a_bar_is_shown_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    queue(2)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    import_all()
    assert "2/2" in capsys.readouterr().err


def test_templates_that_say_the_same_here_are_taken() -> None:
    html = '<p>{{ name|title }}{% if paid %} <a href="{{ url }}">paid</a>{% endif %}</p>'
    first = EmailTemplate.objects.create(
        name="Welcome Mail", subject="Hi {{ name }}", content="Hi", html_content=html
    )
    first.translated_templates.create(
        name="Welcome Mail", language="de", subject="Hallo", content="Hallo"
    )
    told = import_all()
    assert "took over 2; 0 are here already; 0 stay" in told
    assert "Welcome Mail (de) is welcome-mail.de here" in told
    context = {"name": "ada", "paid": True, "url": "https://example.com/"}
    row = notify("email", to="ada@example.org", template="welcome-mail", context=context)
    assert row.content["html"] == '<p>Ada <a href="https://example.com/">paid</a></p>'
    first.content = "Changed there, and not here"
    first.save()
    assert "took over 0; 2 are here already" in import_all()
    assert {template.version for template in Template.objects.all()} == {1}


@pytest.mark.parametrize(
    ("part", "text", "why"),
    [
        ("content", "{% if a == b %}x{% endif %}", "body: line 1: there is no such block here"),
        ("content", "\n{{ text|linebreaks }}", "body: line 2: there is no such filter"),
        ("html_content", "<p style='{{ x }}'>", "html: line 1: "),
        ("content", "a\n{# not for you #}", "body: line 2: a comment would be sent"),
        ("content", "{% for a in b %}{{ forloop.counter }}{% endfor %}", "there is no forloop"),
        ("subject", "", "subject: is required"),
        ("name", "Привет", "name: at most 100 lower-case letters"),
    ],
)
def test_templates_that_would_say_something_else_stay(part: str, text: str, why: str) -> None:
    EmailTemplate.objects.create(**{"name": "t", "subject": "S", "content": "C"} | {part: text})
    told = import_all()
    assert "took over 0; 0 are here already; 1 stay" in told
    assert why in told
    assert not Template.objects.exists()


def test_what_was_taken_over_outlasts_the_retention_of_ours(script: Script) -> None:
    queue(1)
    import_emails()
    deliver_all()
    Notification.objects.all().delete()
    assert prune().notifications == 0
    assert import_emails().taken == 0
