"""The guides for those who come from other packages, followed in a project that has these."""

import email
import email.policy
from datetime import timedelta
from typing import Any

import django
import pytest
from django.core.mail import EmailMultiAlternatives, send_mail
from django.db import transaction
from django.utils import timezone
from djcelery_email.tasks import send_emails
from post_office import mail
from post_office.models import STATUS, Email

from notifications.enums import Channel, Priority, Status
from notifications.management.post_office import import_emails
from notifications.models import Notification
from notifications.pipeline.deliver import deliver
from notifications.worker import EmbeddedWorker
from project.celery import app
from tests.processes import ROOT, wait_until
from tests.providers.smtp_server import Arrived, Script
from tests.test_docs import blocks

pytestmark = pytest.mark.django_db(transaction=True)

HOW_TO = ROOT / "docs" / "how-to"
SEND_MAIL = blocks(HOW_TO / "move-from-send-mail.md", "python")
POST_OFFICE = blocks(HOW_TO / "move-from-post-office.md", "python")
THEIRS = "djcelery_email.backends.CeleryEmailBackend"


def follow(block: str) -> dict[str, Any]:
    """Run what a guide shows; what it has defined."""
    names: dict[str, Any] = {}
    exec(compile(block, "guide", "exec"), names)
    return names


def take_the_step(settings: Any, block: str = SEND_MAIL[0]) -> None:
    for name, value in follow(block).items():
        if name.isupper():
            setattr(settings, name, value)


def deliver_all() -> list[str]:
    rows = Notification.objects.order_by("pk")
    deliver(Channel.EMAIL, [row.pk for row in rows])
    return [row.status for row in rows.all()]


def addresses(script: Script) -> list[str]:
    return sorted(one.recipients[0] for one in script.arrived)


def test_from_send_mail(settings: Any, script: Script) -> None:
    send_mail("Before", "Body", None, ["before@example.com"])
    _, with_a_key, some_go_first = SEND_MAIL
    follow(some_go_first)
    assert addresses(script) == ["before@example.com"]
    assert deliver_all() == [Status.SENT]
    assert addresses(script) == ["ada@example.com", "before@example.com"]

    take_the_step(settings)
    follow(with_a_key)
    follow(with_a_key)
    assert deliver_all() == [Status.SENT, Status.SENT]
    assert Notification.objects.filter(priority=Priority.URGENT).count() == 1
    assert len(script.arrived) == 3
    with transaction.atomic():
        send_mail("Never", "Body", None, ["never@example.com"])
        transaction.set_rollback(True)
    assert Notification.objects.count() == 2


@pytest.mark.skipif(
    django.VERSION >= (6, 0), reason="django-celery-email 3.0 fails there: no `mixed_subtype`"
)
def test_from_django_celery_email_with_messages_still_in_the_broker(
    settings: Any, script: Script
) -> None:
    with app.connection_for_write() as connection:
        app.amqp.queues["celery"](connection.default_channel).purge()
    settings.EMAIL_BACKEND = THEIRS
    message = EmailMultiAlternatives("Old", "Body", None, ["old@example.com"])
    message.attach_alternative("<p>Body</p>", "text/html")
    message.attach("a.txt", "A", "text/plain")
    message.send()
    take_the_step(settings)
    assert send_mail("New", "Body", None, ["new@example.com"]) == 1
    assert addresses(script) == []
    worker = EmbeddedWorker(app)
    worker.start()
    try:
        wait_until(lambda: len(script.arrived) == 2, 20, "both e-mails")
        settings.EMAIL_BACKEND = THEIRS  # the way back
        send_mail("Back", "Body", None, ["back@example.com"])
        wait_until(lambda: len(script.arrived) == 3, 20, "the third e-mail")
        wait_until(lambda: Notification.objects.get().status == Status.SENT, 20)
    finally:
        worker.stop()
    assert addresses(script) == ["back@example.com", "new@example.com", "old@example.com"]


def test_what_the_guide_says_of_django_celery_email(settings: Any, script: Script) -> None:
    assert send_emails.name == "djcelery_email_send_multiple"
    settings.EMAIL_BACKEND = THEIRS
    page = (HOW_TO / "move-from-django-celery-email.md").read_text()
    assert f'EMAIL_BACKEND = "{THEIRS}"' in page
    assert send_emails.name in page


def test_a_call_of_django_post_office_and_what_it_becomes(settings: Any, script: Script) -> None:
    step, before, after, _ = POST_OFFICE
    take_the_step(settings)
    take_the_step(settings, step)
    follow(before)
    mail.send_queued()
    assert len(script.arrived) == 1
    follow(after)
    assert deliver_all() == [Status.SENT]
    assert Notification.objects.get().priority == Priority.URGENT
    old, new = map(said, script.arrived)
    assert old == new


def said(arrived: Arrived) -> tuple[Any, ...]:
    """What a reader sees of it."""
    message = email.message_from_bytes(arrived.data, policy=email.policy.default)
    heads = [message[name] for name in ("from", "to", "subject")]
    body, html = (message.get_body([kind]) for kind in ("plain", "html"))
    assert body is not None
    assert html is not None
    return arrived.recipients, heads, body.get_content().strip(), html.get_content().strip()


def test_what_is_for_later_can_be_given_back_to_django_post_office(script: Script) -> None:
    later = timezone.now() + timedelta(days=30)
    mail.send("ada@example.com", "shop@example.com", subject="S", scheduled_time=later)
    mail.send("now@example.com", "shop@example.com", subject="S")
    assert import_emails().taken == 2
    follow(POST_OFFICE[3])
    assert list(Email.objects.order_by("pk").values_list("status", flat=True)) == [
        STATUS.queued,
        None,
    ]
    assert sorted(deliver_all()) == [Status.CANCELLED, Status.SENT]
    Email.objects.update(scheduled_time=None)
    mail.send_queued()
    assert addresses(script) == ["ada@example.com", "now@example.com"]
