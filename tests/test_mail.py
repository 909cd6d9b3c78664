"""Django's mail API through the pipeline, to the same real SMTP server as without it."""

import re
from collections.abc import Iterator
from typing import Any

import django
import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.core.mail import EmailMessage, EmailMultiAlternatives, mail_admins, mail_managers
from django.core.mail import send_mail, send_mass_mail
from django.core.mail.backends.smtp import EmailBackend as SMTPBackend
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from notifications.enums import Channel, Priority, Status
from notifications.exceptions import IdempotencyConflict, InvalidNotification, TenantUnavailable
from notifications.mail import EmailBackend
from notifications.models import Attachment, Notification, Suppression, Tenant
from notifications.pipeline.deliver import deliver
from notifications.pipeline.suppressions import add
from notifications.suppression import Entry
from notifications.providers.registry import forget_providers

from .mail_samples import FROM, SAMPLES, TO, plain
from .providers.smtp_server import Arrived, Script, Server

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning"),
]

OURS = "notifications.mail.EmailBackend"
DJANGOS = "django.core.mail.backends.smtp.EmailBackend"
PROVIDER = "notifications.providers.django_email.DjangoEmailProvider"
HAS_MAILERS = django.VERSION >= (6, 1)


@pytest.fixture(scope="module")
def smtp() -> Iterator[Server]:
    server = Server(Script())
    server.start()
    yield server
    server.stop(no_assert=True)


@pytest.fixture(autouse=True)
def script(smtp: Server) -> Script:
    smtp.handler.arrived.clear()
    return smtp.handler


@pytest.fixture(autouse=True, params=["EMAIL_*", "MAILERS"] if HAS_MAILERS else ["EMAIL_*"])
def _through_us(request: pytest.FixtureRequest, settings: Any, smtp: Server) -> Iterator[None]:
    way_out = {"BACKEND": DJANGOS, "OPTIONS": {"host": "127.0.0.1", "port": smtp.port}}
    if request.param == "MAILERS":
        settings.MAILERS = {
            "default": {"BACKEND": OURS},
            "bulk": {"BACKEND": OURS, "OPTIONS": {"priority": "bulk", "tenant": "shop"}},
            "out": way_out,
        }
        options = {"MAILER": "out"}
    else:
        if hasattr(settings, "MAILERS"):
            del settings.MAILERS
        settings.EMAIL_BACKEND = OURS
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", smtp.port
        options = {"BACKEND": DJANGOS}
    settings.NOTIFICATIONS = {
        "CHANNELS": {"email": {"PROVIDERS": ["smtp"]}},
        "PROVIDERS": {"smtp": {"BACKEND": PROVIDER, "OPTIONS": options}},
    }
    yield
    forget_providers()


def delivered() -> list[Notification]:
    """Send all that was accepted; what became of it, in order."""
    rows = Notification.objects.order_by("pk")
    deliver(Channel.EMAIL, [row.pk for row in rows])
    return list(rows.all())


def direct(message: EmailMessage, port: int) -> None:
    """Send it as Django does without us."""
    if HAS_MAILERS and hasattr(mail.mailers, "settings") and "out" in mail.mailers:
        mail.mailers["out"].send_messages([message])
    else:
        SMTPBackend(host="127.0.0.1", port=port).send_messages([message])


BOUNDARY = re.compile(rb'boundary="([^"]+)"')
OF_EACH_WRITING = re.compile(rb"(?im)^(date: ).*\r$|^(message-id: ).*(?:\r\n .*)*\r$")


def unified(arrived: Arrived) -> tuple[str, list[str], bytes]:
    """Without what Django makes up anew each time that it writes the same e-mail."""
    data = arrived.data
    for number, boundary in enumerate(BOUNDARY.findall(data)):
        data = data.replace(boundary, b"boundary-%d" % number)
    return arrived.sender, arrived.recipients, OF_EACH_WRITING.sub(rb"\1\2", data)


@pytest.mark.parametrize("name", SAMPLES)
def test_it_arrives_byte_for_byte_as_without_us(name: str, smtp: Server, script: Script) -> None:
    direct(SAMPLES[name](), smtp.port)
    assert SAMPLES[name]().send() == 1
    [row] = delivered()
    assert row.status == Status.SENT, (row.error_code, row.error_detail)
    without, through = script.arrived
    assert unified(through) == unified(without)


def test_the_samples_are_many_and_of_many_kinds() -> None:
    assert len(SAMPLES) >= 40
