"""Django's mail API through the pipeline, to the same real SMTP server as without it."""

import email.policy
import logging
import re
from collections.abc import Iterator
from typing import Any

import django
import pytest
from django.contrib.auth.forms import PasswordResetForm
from django.contrib.auth.models import User
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import (
    EmailMessage,
    EmailMultiAlternatives,
    mail_admins,
    mail_managers,
    send_mail,
    send_mass_mail,
)
from django.core.mail.backends.smtp import EmailBackend as SMTPBackend
from django.db import OperationalError, connection, transaction
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils.log import AdminEmailHandler

from notifications.enums import Channel, Priority, Status
from notifications.exceptions import IdempotencyConflict, InvalidNotification, TenantUnavailable
from notifications.mail import EmailBackend, draft_of
from notifications.messages import Draft, Message, recipients_of
from notifications.models import Attachment, Notification, Tenant
from notifications.pipeline.deliver import deliver
from notifications.pipeline.suppressions import add
from notifications.providers.mime import CompleteEmail
from notifications.providers.registry import forget_providers
from notifications.suppression import Entry

from .mail_samples import FROM, PIXEL, SAMPLES, TO, plain
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


def test_send_mail_with_html(script: Script) -> None:
    assert send_mail("Subject", "Body", FROM, [TO], html_message="<p>Body</p>") == 1
    delivered()
    assert b"multipart/alternative" in script.arrived[0].data


def test_send_mass_mail_is_one_insert(script: Script) -> None:
    Tenant.objects.get_or_create(name="default")
    mails = [(f"Subject {n}", "Body", FROM, [f"reader-{n}@example.org"]) for n in range(30)]
    with CaptureQueriesContext(connection) as many:
        assert send_mass_mail(mails) == 30
    with CaptureQueriesContext(connection) as few:
        assert send_mass_mail(mails[:2]) == 2
    inserts = [q for q in many.captured_queries if "INSERT" in q["sql"]]
    assert len(many) == len(few) if connection.vendor == "postgresql" else len(inserts) <= 30
    assert len(delivered()) == len(script.arrived) == 32


def test_a_small_mail_takes_no_more_statements_than_any_notification(settings: Any) -> None:
    Tenant.objects.get_or_create(name="default")
    send_mail("Subject", "Body", FROM, [TO])
    with CaptureQueriesContext(connection) as queries:
        send_mail("Subject", "Body", FROM, [TO])
    assert not [q for q in queries if "attachment" in q["sql"]]
    with CaptureQueriesContext(connection) as queries:
        delivered()
    assert not [q for q in queries if "attachment" in q["sql"]]


def test_mail_admins_and_managers(settings: Any, script: Script) -> None:
    both = ["root@example.org", "boss@example.org"]
    settings.ADMINS = settings.MANAGERS = both if HAS_MAILERS else [("", each) for each in both]
    mail_admins("Trouble", "It burns", html_message="<b>It burns</b>")
    mail_managers("Hello", "All is well")
    delivered()
    assert [a.recipients for a in script.arrived] == [both, both]
    assert any(b"Subject: [Django] Trouble" in a.data for a in script.arrived)


def test_an_error_is_mailed_to_the_admins(settings: Any, script: Script) -> None:
    settings.ADMINS = ["root@example.org"] if HAS_MAILERS else [("", "root@example.org")]
    record = logging.LogRecord("django", logging.ERROR, __file__, 1, "It burns", (), None)
    AdminEmailHandler().emit(record)
    delivered()
    assert b"Subject: [Django] ERROR: It burns" in script.arrived[0].data


LOCMEM_TEMPLATES = {
    "BACKEND": "django.template.backends.django.DjangoTemplates",
    "OPTIONS": {
        "loaders": [
            (
                "django.template.loaders.locmem.Loader",
                {"s.txt": "Your password\n", "e.txt": "{{ user }}, go to {{ uid }}/{{ token }}"},
            )
        ]
    },
}


def test_a_password_can_be_reset(script: Script, settings: Any, rf: Any) -> None:
    User.objects.create_user("ada", "ada@example.org", "secret")
    form = PasswordResetForm({"email": "ada@example.org"})
    assert form.is_valid()
    templates = {"subject_template_name": "s.txt", "email_template_name": "e.txt"}
    settings.TEMPLATES = [LOCMEM_TEMPLATES]
    form.save(domain_override="example.org", from_email=FROM, request=rf.get("/"), **templates)
    delivered()
    assert script.arrived[0].recipients == ["ada@example.org"]


def test_it_goes_with_the_transaction_it_was_sent_in(script: Script) -> None:
    with transaction.atomic():
        send_mail("Subject", "Body", FROM, [TO])
        transaction.set_rollback(True)
    assert delivered() == []
    assert script.arrived == []


def test_nothing_is_sent_before_the_worker_sends_it(script: Script) -> None:
    send_mail("Subject", "Body", FROM, [TO])
    assert script.arrived == []


def test_all_attempts_send_the_same_bytes(script: Script) -> None:
    message = EmailMultiAlternatives("Subject", "Body", FROM, ["dot-450@example.org"])
    message.attach_alternative("<p>Body</p>", "text/html")
    message.attach("a.bin", bytes(range(256)), "application/octet-stream")
    message.send()
    [row] = delivered()
    assert row.status == Status.RETRYING
    written = row.content["mime"]
    Notification.objects.update(to=TO, due_at=Now(), metadata={})
    [row] = delivered()
    assert row.status == Status.SENT
    [arrived] = script.arrived
    assert arrived.data.decode() == written
    assert row.provider_message_id in written


def test_a_mail_has_one_row_that_shows_its_recipients(script: Script) -> None:
    message = EmailMessage("Subject", "Body", FROM, [f"Ada <{TO}>"], bcc=["Eve <eve@example.org>"])
    message.cc = ["bob@example.org"]
    assert message.send() == 1
    [row] = delivered()
    assert (row.to, row.content["subject"]) == (TO, "Subject")
    lists = {name: row.content[name] for name in ("to", "cc", "bcc")}
    assert lists == {"to": [TO], "cc": ["bob@example.org"], "bcc": ["eve@example.org"]}
    assert script.arrived[0].recipients == [TO, "bob@example.org", "eve@example.org"]
    assert b"eve@" not in script.arrived[0].data


def suppress(recipient: str, **values: Any) -> None:
    tenant, _ = Tenant.objects.get_or_create(name="default")
    add(tenant, Entry(Channel.EMAIL, recipient, **values))


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("suppressed", [TO, "bob@example.org", "eve@example.org"])
def test_whoever_is_suppressed_is_left_out_and_the_others_get_it(
    script: Script, when: str, suppressed: str
) -> None:
    everybody = [TO, "bob@example.org", "eve@example.org"]
    if when == "before":
        suppress(suppressed)
    EmailMessage(
        "Subject", "Body", FROM, everybody[:1], cc=everybody[1:2], bcc=everybody[2:]
    ).send()
    if when == "after":
        suppress(suppressed)
    [row] = delivered()
    assert row.status == Status.SENT
    assert script.arrived[0].recipients == [to for to in everybody if to != suppressed]
    assert row.attempts.get().detail == "Not sent to 1 of its recipients, who are suppressed."


@pytest.mark.parametrize("when", ["before", "after"])
def test_with_everybody_suppressed_it_is_suppressed(script: Script, when: str) -> None:
    if when == "before":
        suppress(TO)
        suppress("bob@example.org")
    send_mail("Subject", "Body", FROM, ["Ada@example.org", "bob@example.org"])
    if when == "after":
        suppress(TO)
        suppress("bob@example.org")
    [row] = delivered()
    assert (row.status, script.arrived) == (Status.SUPPRESSED, [])


def test_recipients_that_the_server_refuses_do_not_keep_it_from_the_others(script: Script) -> None:
    send_mail("Subject", "Body", FROM, ["rcpt-550@example.org", TO, "rcpt-450@example.org"])
    [row] = delivered()
    attempt = row.attempts.get()
    assert (row.status, script.arrived[0].recipients) == (Status.SENT, [TO])
    assert attempt.code == "some_refused"
    assert attempt.detail == "The server refused 2 of 3 recipients."


@pytest.mark.parametrize(
    ("recipients", "status"),
    [
        (["rcpt-550@example.org", "rcpt-551@example.org"], Status.FAILED),
        (["rcpt-550@example.org", "rcpt-450@example.org"], Status.RETRYING),
    ],
)
def test_with_all_recipients_refused_it_is_refused(
    recipients: list[str], status: Status, script: Script
) -> None:
    send_mail("Subject", "Body", FROM, recipients)
    send_mail("Subject", "Body", FROM, [TO])
    first, second = delivered()
    assert (first.status, second.status) == (status, Status.SENT)
    assert [a.recipients for a in script.arrived] == [[TO]]


def test_a_large_mail_is_kept_beside_its_row(script: Script) -> None:
    message = plain()()
    message.attach("a.bin", bytes(200_000), "application/octet-stream")
    message.send()
    [row] = Notification.objects.all()
    assert row.content["mime"] is None
    [row] = delivered()
    assert row.status == Status.SENT
    assert len(script.arrived[0].data) == row.content["size"] > 200_000
    assert bytes(row.attachments.get().data) == script.arrived[0].data


def test_one_whose_bytes_are_gone_fails_and_harms_no_other(script: Script) -> None:
    message = plain()()
    message.attach("a.bin", bytes(200_000), "application/octet-stream")
    message.send()
    plain()().send()
    Attachment.objects.all().delete()
    first, second = delivered()
    assert (first.status, first.error_code) == (Status.FAILED, "invalid_message")
    assert second.status == Status.SENT


def test_one_that_is_too_large_is_refused(settings: Any) -> None:
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "MAIL": {"MAX_BYTES": 1000}}
    with pytest.raises(InvalidNotification, match="MAX_BYTES"):
        send_mail("Subject", "Body" * 1000, FROM, [TO])
    assert not Notification.objects.exists()
    both = [plain(body="Body" * 1000)(), plain()()]
    assert EmailBackend(fail_silently=True).send_messages(both) == 1


def test_the_count_is_that_of_what_was_accepted() -> None:
    backend = EmailBackend()
    nobody = EmailMessage("Subject", "Body", FROM, [])
    assert backend.send_messages([]) == 0
    assert nobody.send() == 0
    assert backend.send_messages([plain()(), nobody, plain()()]) == 2


def test_it_is_a_context_and_can_be_opened_and_closed() -> None:
    with EmailBackend() as backend:
        assert backend.send_messages([plain()()]) == 1
    backend.open()
    backend.close()


@pytest.mark.parametrize(
    "address", ["@", "to@", "@example.com", "a@b, c@d", "a@b\nBcc: c@d", "ädä@example.org", "a@b>"]
)
@pytest.mark.parametrize("silently", [True, False])
def test_what_is_no_address_is_a_mistake_even_silently(address: str, silently: bool) -> None:
    backend = EmailBackend(fail_silently=silently)
    for wrong in (plain(to=[address]), plain(bcc=[address]), plain(from_email=address)):
        with pytest.raises(ValueError):  # noqa: PT011 - Django's own, of any text
            backend.send_messages([plain()(), wrong()])
    assert not Notification.objects.exists()


@pytest.mark.parametrize(
    "values",
    [
        {"subject": "Subject\nBcc: eve@example.org"},
        {"subject": "Subject\r\nBcc: eve@example.org"},
        {"headers": {"X-Own": "a\nBcc: eve@example.org"}},
        {"headers": {"bcc": "eve@example.org"}},
    ],
)
def test_no_header_is_injected(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - Django's own, of any text
        plain(**values)().send()


def test_a_nul_is_stored_and_sent(script: Script) -> None:
    plain(body="a\0b")().send()
    plain(subject="a\0b")().send()
    assert [row.status for row in delivered()] == [Status.SENT] * 2
    assert b"a\0b" in script.arrived[0].data


def test_a_missing_tenant_is_told_or_silent() -> None:
    with pytest.raises(TenantUnavailable):
        EmailBackend(tenant="nobody").send_messages([plain()()])
    assert EmailBackend(fail_silently=True, tenant="nobody").send_messages([plain()()]) == 0


def test_a_database_error_is_told_or_silent_and_spares_the_transaction() -> None:
    def broken(execute: Any, sql: str, *rest: Any) -> Any:
        if "INSERT" in sql:
            raise OperationalError
        return execute(sql, *rest)

    Tenant.objects.get_or_create(name="default")
    with transaction.atomic(), connection.execute_wrapper(broken):
        with pytest.raises(OperationalError):
            send_mail("Subject", "Body", FROM, [TO])
        assert EmailBackend(fail_silently=True).send_messages([plain()(), plain()()]) == 0
        assert Notification.objects.count() == 0


def test_tenant_and_priority_come_from_the_settings_the_backend_or_the_message(
    settings: Any,
) -> None:
    for name in ("shop", "news", "own"):
        Tenant.objects.create(name=name)
    mail_settings = {"TENANT": "shop", "PRIORITY": "bulk"}
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "MAIL": mail_settings}
    own = plain()()
    own.notification = {"tenant": "own", "priority": "normal", "metadata": {"a": "b"}}
    send_mail("Subject", "Body", FROM, [TO])
    assert EmailBackend(tenant="news", priority="urgent").send_messages([plain()(), own]) == 2
    found = Notification.objects.order_by("pk").values_list("tenant__name", "priority", "metadata")
    assert list(found) == [
        ("shop", Priority.BULK, {}),
        ("news", Priority.URGENT, {}),
        ("own", Priority.NORMAL, {"a": "b"}),
    ]


def test_an_unusable_option_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="urgent, normal, bulk"):
        EmailBackend(priority="soon")
    message = plain()()
    message.notification = {"colour": "red", "send_at": "soon"}
    with pytest.raises(InvalidNotification) as error:
        message.send()
    assert [e.pointer for e in error.value.errors] == ["/colour", "/send_at"]


@pytest.mark.parametrize("name", ["html and a file", "a forwarded e-mail of Django's", "plain"])
def test_under_a_key_it_is_accepted_once(name: str) -> None:
    def send(sample: EmailMessage) -> int:
        sample.notification = {"idempotency_key": "welcome-7"}
        return sample.send()

    assert send(SAMPLES[name]()) == send(SAMPLES[name]()) == 1
    assert Notification.objects.count() == 1
    for other in (plain("Other"), plain(body="Other"), plain(bcc=["eve@example.org"])):
        with pytest.raises(IdempotencyConflict):
            send(other())


def test_a_conflict_in_a_list_is_told_or_passed_over() -> None:
    first, second = plain()(), plain("Other")()
    first.notification = second.notification = {"idempotency_key": "welcome-7"}
    first.send()
    with pytest.raises(IdempotencyConflict):
        EmailBackend().send_messages([plain()(), second])
    assert EmailBackend(fail_silently=True).send_messages([plain()(), second]) == 1
    assert Notification.objects.count() == 2


@pytest.mark.skipif(not HAS_MAILERS, reason="MAILERS came with Django 6.1")
def test_a_mailer_has_options(request: pytest.FixtureRequest) -> None:
    if "MAILERS" not in request.node.name:
        pytest.skip("only with MAILERS")
    Tenant.objects.create(name="shop")
    send_mail("Subject", "Body", FROM, [TO], using="bulk")
    row = Notification.objects.select_related("tenant").get()
    assert (row.tenant.name, row.priority) == ("shop", Priority.BULK)


def read_back(draft: Draft) -> CompleteEmail:
    """What the e-mail backend of a package is given."""
    values = {"mime": draft.mime, "recipients": recipients_of(draft.to, draft.content)}
    return CompleteEmail(Message("k", Channel.EMAIL, "shop", draft.to, draft.content, **values))


def parts_of(data: bytes) -> list[tuple[str, bytes]]:
    parts = email.message_from_bytes(data, policy=email.policy.default).walk()
    return [(p.get_content_type(), p.get_payload(decode=True) or b"") for p in parts]


@pytest.mark.parametrize("name", SAMPLES)
def test_other_backends_are_given_it_whole(name: str) -> None:
    sample, draft = SAMPLES[name](), draft_of(SAMPLES[name](), {})
    complete = read_back(draft)
    assert parts_of(complete.message().as_bytes()) == parts_of(draft.mime)
    assert len(complete.recipients()) == len(sample.recipients())
    assert len(complete.attachments) == len(sample.attachments)
    assert complete.body.split() == str(sample.body).split() or not sample.body


def test_the_fields_of_a_mail_for_other_backends() -> None:
    sample = SAMPLES["an image in the html"]()
    sample.bcc, sample.reply_to = ["eve@example.org"], ["help@example.com"]
    sample.attach("a.txt", "text", "text/plain")
    complete = read_back(draft_of(sample, {}))
    assert (complete.subject, complete.body.strip()) == ("Subject", "Body")
    assert (complete.to, complete.bcc, complete.reply_to) == (
        sample.to,
        sample.bcc,
        sample.reply_to,
    )
    assert complete.from_email == FROM
    assert complete.alternatives[0][0].strip() == '<img src="cid:logo">'
    image, text = complete.attachments
    assert (image["Content-ID"], image.get_payload(decode=True)) == ("<logo>", PIXEL)
    assert (text.get_filename(), text.get_payload(decode=True).strip()) == ("a.txt", b"text")


@pytest.mark.skipif(HAS_MAILERS, reason="an own BACKEND beside MAILERS is an alias")
def test_a_backend_of_a_package_sends_it(settings: Any) -> None:
    smtp = settings.NOTIFICATIONS["PROVIDERS"]["smtp"]
    locmem = "django.core.mail.backends.locmem.EmailBackend"
    providers = {"smtp": {**smtp, "OPTIONS": {"BACKEND": locmem}}}
    settings.NOTIFICATIONS = {**settings.NOTIFICATIONS, "PROVIDERS": providers}
    mail.outbox = []
    suppress("bob@example.org")
    plain(to=[TO, "bob@example.org"])().send()
    [row] = delivered()
    [sent] = mail.outbox
    assert (row.status, sent.to, sent.body.strip()) == (Status.SENT, [TO], "Body")


def test_a_file_is_read_by_no_row_that_has_none(script: Script) -> None:
    message = plain()()
    message.attach("a.bin", bytes(200_000), "application/octet-stream")
    message.send()
    send_mail("Subject", "Body", FROM, [TO])
    with CaptureQueriesContext(connection) as queries:
        delivered()
    assert sum("attachment" in q["sql"] for q in queries) == 1
    assert len(script.arrived) == 2
