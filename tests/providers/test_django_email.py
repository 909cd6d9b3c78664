"""E-mail through Django, mostly over a real SMTP server that is told how to behave."""

import email
import email.policy
import logging
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from email.encoders import encode_base64
from email.message import EmailMessage, MIMEPart
from email.mime.base import MIMEBase
from pathlib import Path
from typing import Any

import django
import pytest
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend as SMTPBackend

from notifications.enums import Channel
from notifications.messages import Attachment, Message, Outcome, recipients_of
from notifications.providers import smtp
from notifications.providers.django_email import DjangoEmailProvider
from notifications.providers.registry import forget_providers, get_provider
from notifications.providers.skeleton import to_wire

from .conformance import Lacks, ProviderConformance, message, send
from .smtp_server import Arrived, Script, Server, free_port, refuse_everybody

FROM = "Shop <shop@example.com>"
BACKENDS = "django.core.mail.backends"
STYLES = ["EMAIL_*", "MAILERS"] if django.VERSION >= (6, 1) else ["EMAIL_*"]
"""Both of Django's ways to set mail up."""


@pytest.fixture(params=STYLES)
def style(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def configure(settings, style: str):
    """Sets Django's mail up, in both of its ways: a backend's module with its options."""

    def configure(module: str, **options: Any) -> None:
        backend = module if "." in module else f"{BACKENDS}.{module}.EmailBackend"
        if style == "MAILERS":
            settings.MAILERS = {"default": {"BACKEND": backend, "OPTIONS": options}}
            return
        if hasattr(settings, "MAILERS"):
            del settings.MAILERS
        names = {"file_path": "FILE_PATH", "username": "HOST_USER", "password": "HOST_PASSWORD"}
        settings.EMAIL_BACKEND = backend
        for name, value in options.items():
            setattr(settings, f"EMAIL_{names.get(name, name.upper())}", value)

    return configure


@pytest.fixture(params=[False, True], ids=["one by one", "pipelining"])
def script(request: pytest.FixtureRequest) -> Script:
    return Script(pipelining=request.param)


@pytest.fixture
def serve(script: Script) -> Iterator[Any]:
    servers = []

    def serve(script: Script = script, **options: Any) -> Server:
        server = Server(script, **options)
        server.start()
        servers.append(server)
        return server

    yield serve
    for server in servers:
        server.stop(no_assert=True)


@pytest.fixture
def server(serve) -> Server:
    return serve()


@pytest.fixture
def provider(configure, server: Server) -> Iterator[DjangoEmailProvider]:
    configure("smtp", host="127.0.0.1", port=server.port)
    provider = make()
    yield provider
    provider.close()


def make(timeout: float = 5.0, **options: Any) -> DjangoEmailProvider:
    return DjangoEmailProvider("smtp", {"FROM": FROM, **options}, timeout)


def to(local: str, **content: str) -> Message:
    values = {"content": content} if content else {}
    return message(Channel.EMAIL, f"{local}@example.org", **values)


def brief(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    return [(outcome.kind.value, outcome.code) for outcome in outcomes]


def parsed(arrived: Arrived) -> EmailMessage:
    return email.message_from_bytes(arrived.data, policy=email.policy.default)


@pytest.fixture
def impatient(provider: DjangoEmailProvider, script: Script) -> Iterator[DjangoEmailProvider]:
    script.hang_seconds = 1.5
    provider = make(timeout=0.5)
    yield provider
    provider.close()


NOT_TOLD = Lacks("SMTP has no reply of its own for it: what begins with 4 is transient")


class TestOverSMTP(ProviderConformance):
    judged = DjangoEmailProvider

    def accepted(self) -> Message:
        return to("ada")

    def transient(self) -> Message:
        return to("rcpt-450")

    def permanent(self) -> Message:
        return to("rcpt-550")

    def throttled(self) -> Lacks:
        return NOT_TOLD

    def throttled_for_long(self) -> Lacks:
        return NOT_TOLD

    def credentials(self) -> Message:
        return to("rcpt-530")

    def silent(self) -> Message:
        return to("hang-dot")

    def cut(self) -> Message:
        return to("drop-dot")

    def malformed(self) -> Message:
        return to("dot-399")


NO_WORDS = Lacks("a backend of Django's has no words for it")


class TestThroughMemory(ProviderConformance):
    """Any other backend only says how many it sent; these raise as real ones would."""

    judged = DjangoEmailProvider

    @pytest.fixture
    def provider(self, configure) -> DjangoEmailProvider:
        configure(f"{FailingBackend.__module__}.FailingBackend")
        return make()

    @pytest.fixture
    def impatient(self, provider: DjangoEmailProvider) -> DjangoEmailProvider:
        return provider

    def accepted(self) -> Message:
        return to("ada")

    def transient(self) -> Message:
        return to("unreachable")

    def permanent(self) -> Message:
        return to("ada", subject="two\nlines", body="x")

    def throttled(self) -> Lacks:
        return NO_WORDS

    def throttled_for_long(self) -> Lacks:
        return NO_WORDS

    def credentials(self) -> Lacks:
        return NO_WORDS

    def silent(self) -> Message:
        return to("silent")

    def cut(self) -> Message:
        return to("lost")

    def malformed(self) -> Message:
        return to("odd")


class FailingBackend(BaseEmailBackend):
    def send_messages(self, email_messages: Any) -> int:
        [recipient] = email_messages[0].to
        if recipient.startswith("unreachable"):
            raise ConnectionRefusedError
        if recipient.startswith("lost"):
            raise ConnectionResetError(recipient)
        if recipient.startswith("silent"):
            raise TimeoutError(recipient)
        return 0 if recipient.startswith("odd") else 1


@pytest.mark.parametrize(
    ("local", "kind", "code"),
    [
        ("rcpt-550", "permanent", "smtp_550"),
        ("rcpt-450", "transient", "smtp_450"),
        ("rcpt-421", "transient", "smtp_421"),
        ("rcpt-530", "transient", "credentials"),
        ("data-452", "transient", "smtp_452"),
        ("data-554", "permanent", "smtp_554"),
        ("dot-451", "transient", "smtp_451"),
        ("dot-421", "transient", "smtp_421"),
        ("dot-554", "permanent", "smtp_554"),
        ("dot-399", "ambiguous", "smtp_reply"),
        ("drop-rcpt", "transient", "connection_failed"),
        ("drop-data", "transient", "connection_failed"),
        ("drop-content", "ambiguous", "connection_lost"),
        ("drop-dot", "ambiguous", "connection_lost"),
        ("hang-rcpt", "transient", "timeout"),
        ("hang-dot", "ambiguous", "timeout"),
    ],
)
def test_replies_and_losses_are_sorted(
    configure, server: Server, script: Script, local: str, kind: str, code: str
):
    configure("smtp", host="127.0.0.1", port=server.port)
    script.hang_seconds = 1.5
    provider = make(timeout=0.5 if local.startswith("hang") else 5.0)
    outcomes = send(provider, to("before"), to(local), to("after"))
    assert brief(outcomes) == [("accepted", ""), (kind, code), ("accepted", "")]
    assert "example.org" not in outcomes[1].detail
    provider.close()


def test_a_refused_recipient_costs_no_connection(provider: DjangoEmailProvider, script: Script):
    send(
        provider, to("a"), to("rcpt-550"), to("b"), to("data-452"), to("c"), to("dot-451"), to("d")
    )
    assert [a.recipients for a in script.arrived] == [[f"{name}@example.org"] for name in "abcd"]
    assert script.connections == 1


def test_a_server_that_waits_for_the_text_of_a_refused_message_gets_none(configure, serve):
    script = Script(pipelining=True, is_keen=True)
    server = serve(script)
    configure("smtp", host="127.0.0.1", port=server.port)
    provider = make()
    outcomes = send(provider, to("a"), to("rcpt-550"), to("b"))
    assert brief(outcomes) == [("accepted", ""), ("permanent", "smtp_550"), ("accepted", "")]
    assert [a.recipients for a in script.arrived] == [["a@example.org"], ["b@example.org"]]
    assert script.connections == 2
    provider.close()


def test_one_connection_is_kept_over_many_calls(provider: DjangoEmailProvider, script: Script):
    for _ in range(5):
        send(provider, to("ada"), to("bob"))
    assert (len(script.arrived), script.connections) == (10, 1)


def test_a_connection_that_the_server_closed_meanwhile_is_opened_anew_before_sending(
    provider: DjangoEmailProvider, script: Script
):
    assert brief(send(provider, to("leave"))) == [("accepted", "")]
    time.sleep(0.2)
    assert brief(send(provider, to("ada"))) == [("accepted", "")]
    assert (len(script.arrived), script.connections) == (2, 2)


def test_a_server_that_hangs_up_after_each_message_gets_them_all_once(
    provider: DjangoEmailProvider, script: Script
):
    for _ in range(4):
        assert brief(send(provider, to("leave"))) == [("accepted", "")]
        time.sleep(0.05)
    assert len({parsed(a)["Message-ID"] for a in script.arrived}) == 4


def test_a_child_process_leaves_its_parents_connection_alone(
    configure, settings, server: Server, script: Script
):
    configure("smtp", host="127.0.0.1", port=server.port)
    backend = f"{DjangoEmailProvider.__module__}.DjangoEmailProvider"
    settings.NOTIFICATIONS = {"PROVIDERS": {"smtp": {"BACKEND": backend}}}
    assert brief(send(get_provider("smtp"), to("ada"))) == [("accepted", "")]
    child = os.fork()
    if child == 0:
        [outcome] = send(get_provider("smtp"), to("bob"))
        forget_providers()
        os._exit(0 if outcome.kind == "accepted" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert brief(send(get_provider("smtp"), to("eve"))) == [("accepted", "")]
    forget_providers()
    assert [a.recipients[0][:3] for a in script.arrived] == ["ada", "bob", "eve"]
    assert script.connections == 2


def test_an_idle_connection_is_asked_for_a_sign_of_life(
    provider: DjangoEmailProvider, script: Script, monkeypatch: pytest.MonkeyPatch
):
    send(provider, to("ada"))
    assert script.noops == 0
    monkeypatch.setattr(smtp, "IDLE_SECONDS", 0.05)
    time.sleep(0.1)
    assert brief(send(provider, to("ada"))) == [("accepted", "")]
    assert (script.noops, script.connections) == (1, 1)


def test_a_server_that_is_down_is_transient_and_used_again_when_it_is_back(configure, serve):
    port = free_port()
    configure("smtp", host="127.0.0.1", port=port)
    provider = make()
    assert brief(send(provider, to("ada"))) == [("transient", "connection_refused")]
    server = Server(Script())
    server.port = port
    server.start()
    try:
        assert brief(send(provider, to("ada"))) == [("accepted", "")]
    finally:
        provider.close()
        server.stop(no_assert=True)


def test_a_server_that_never_greets_is_transient_within_the_timeout(configure):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        configure("smtp", host="127.0.0.1", port=silent.getsockname()[1])
        began = time.monotonic()
        assert brief(send(make(timeout=0.5), to("ada"))) == [("transient", "timeout")]
        assert time.monotonic() - began < 5


def test_a_host_that_has_no_address_is_transient(configure):
    configure("smtp", host="nowhere.invalid", port=25)
    assert brief(send(make(), to("ada"))) == [("transient", "dns")]


def test_a_server_that_does_not_speak_tls_is_transient(configure, server: Server):
    configure("smtp", host="127.0.0.1", port=server.port, use_ssl=True)
    assert brief(send(make(), to("ada"))) == [("transient", "tls")]


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("login", [{}, {"username": "shop", "password": "wrong"}])
def test_refused_credentials_are_our_fault_and_transient(configure, serve, login: dict[str, str]):
    auth = {"auth_required": True, "auth_require_tls": False, "authenticator": refuse_everybody}
    server = serve(**auth)
    configure("smtp", host="127.0.0.1", port=server.port, **login)
    provider = make()
    assert brief(send(provider, to("ada"))) == [("transient", "credentials")]
    provider.close()


def test_headers_and_text_arrive_as_they_were_written(
    provider: DjangoEmailProvider, script: Script
):
    body = "Grüße, Ada\n.a line with a dot\n..two\nFrom here\n" + "long " * 400
    sent = to("ada", subject="Ihre Bestellung № 7 ist da 📦", body=body)
    [outcome] = send(provider, sent)
    [arrived] = script.arrived
    got = parsed(arrived)
    assert (arrived.sender, arrived.recipients) == ("shop@example.com", ["ada@example.org"])
    assert got["Subject"] == "Ihre Bestellung № 7 ist da 📦"
    assert (got["From"], got["To"]) == (FROM, "ada@example.org")
    assert got["Message-ID"] == f"<{sent.key}@example.com>" == outcome.provider_message_id
    assert got["X-Notification-ID"] == sent.key
    assert got["Date"]
    assert got.get_content_type() == "text/plain"
    assert got.get_content().splitlines() == body.splitlines()
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", arrived.data)
    assert max(len(line) for line in arrived.data.split(b"\r\n")) <= 998


def test_html_arrives_beside_the_text(provider: DjangoEmailProvider, script: Script):
    send(provider, to("ada", subject="s", body="Zwölf", html="<p>Zwölf</p>"))
    got = parsed(script.arrived[0])
    assert got.get_content_type() == "multipart/alternative"
    plain, html = got.iter_parts()
    assert (plain.get_content_type(), plain.get_content().strip()) == ("text/plain", "Zwölf")
    assert (html.get_content_type(), html.get_content().strip()) == ("text/html", "<p>Zwölf</p>")


def test_html_alone_is_the_message(provider: DjangoEmailProvider, script: Script):
    send(provider, to("ada", subject="s", html="<p>Hi</p>"))
    got = parsed(script.arrived[0])
    assert (got.get_content_type(), got.get_content().strip()) == ("text/html", "<p>Hi</p>")


def test_the_link_to_unsubscribe_stands_in_one_piece_where_there_is_one(
    provider: DjangoEmailProvider, script: Script
):
    link = f"https://notify.example.com/unsubscribe/{'x' * 300}:1xVEFY:{'y' * 43}"
    news = replace(to("ada", subject="s", body="b"), unsubscribe_url=link)
    send(provider, news, to("ada", subject="s", body="b"))
    with_link, without = (arrived.data for arrived in script.arrived)
    assert b"\r\nList-Unsubscribe: <%s>\r\n" % link.encode() in b"\r\n" + with_link
    assert b"\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n" in with_link
    got = parsed(script.arrived[0])
    assert (got["Subject"], got.get_content().strip()) == ("s", "b")
    assert b"Unsubscribe" not in without


def test_a_repeated_send_is_recognised_by_its_message_id(
    provider: DjangoEmailProvider, script: Script
):
    again = to("ada")
    send(provider, again, again)
    first, second = (parsed(a)["Message-ID"] for a in script.arrived)
    assert first == second


def test_size_and_eight_bits_are_announced_where_the_server_knows_them(
    provider: DjangoEmailProvider, script: Script
):
    send(provider, to("ada", subject="s", body="ü"))
    options = {option.split("=")[0].upper() for option in script.arrived[0].mail_options}
    assert "SIZE" in options
    assert ("BODY" in options) == (not script.arrived[0].data.isascii())


def test_a_message_over_the_servers_size_is_permanent(configure, serve):
    server = serve(data_size_limit=1000)
    configure("smtp", host="127.0.0.1", port=server.port)
    provider = make()
    outcomes = send(provider, to("ada", subject="s", body="x\n" * 2000), to("ada"))
    assert brief(outcomes) == [("permanent", "smtp_552"), ("accepted", "")]
    provider.close()


def test_a_domain_beyond_ascii_is_written_in_its_ascii_form(
    provider: DjangoEmailProvider, script: Script
):
    send(provider, message(Channel.EMAIL, "ada@bücher.example"))
    assert script.arrived[0].recipients == ["ada@xn--bcher-kva.example"]
    assert parsed(script.arrived[0])["To"] == "ada@xn--bcher-kva.example"


def test_a_name_beyond_ascii_needs_a_server_that_takes_it(provider: DjangoEmailProvider):
    outcomes = send(provider, to("ädä"), to("ada"))
    assert brief(outcomes) == [("permanent", "smtputf8_unsupported"), ("accepted", "")]


def test_a_name_beyond_ascii_is_sent_in_utf8(configure, serve, script: Script):
    server = serve(enable_SMTPUTF8=True)
    configure("smtp", host="127.0.0.1", port=server.port)
    provider = make()
    outcomes = send(provider, to("ädä", subject="s", body="b"), to("ada"))
    assert brief(outcomes) == [("accepted", "")] * 2
    assert script.arrived[0].recipients == ["ädä@example.org"]
    assert "To: ädä@example.org\r\n".encode() in script.arrived[0].data
    assert "SMTPUTF8" in [option.upper() for option in script.arrived[0].mail_options]
    provider.close()


@pytest.mark.parametrize(
    ("recipient", "content"),
    [
        ("ada@example.org", {"subject": "a\r\nBcc: eve@example.com", "body": "b"}),
        ("ada@example.org", {"subject": "s", "body": "\ud800"}),
        ("ada@example.org\nBcc: eve@example.com", {"subject": "s", "body": "b"}),
        ("ada@example.org, eve@example.com", {"subject": "s", "body": "b"}),
        ("ada@example.org>\r\nRCPT TO:<eve@example.com", {"subject": "s", "body": "b"}),
        ("ada", {"subject": "s", "body": "b"}),
        ("ada@" + "ü" * 80 + ".example", {"subject": "s", "body": "b"}),
    ],
)
def test_what_no_email_can_be_made_of_is_permanent_and_never_sent(
    provider: DjangoEmailProvider, script: Script, recipient: str, content: dict[str, str]
):
    outcomes = send(provider, message(Channel.EMAIL, recipient, content=content), to("bob"))
    assert brief(outcomes) == [("permanent", "invalid_message"), ("accepted", "")]
    assert [a.recipients for a in script.arrived] == [["bob@example.org"]]


def test_the_deadline_leaves_the_rest_of_a_batch_unsent(
    provider: DjangoEmailProvider, script: Script
):
    script.hang_seconds = 1.2
    outcomes = send(provider, to("ada"), to("hang-dot"), to("bob"), seconds=1)
    assert [o.kind for o in outcomes] == ["accepted", "accepted", "abandoned"]
    assert [a.recipients[0] for a in script.arrived] == ["ada@example.org", "hang-dot@example.org"]


def test_a_message_never_takes_much_longer_than_the_timeout(configure, server: Server):
    configure("smtp", host="127.0.0.1", port=server.port)
    provider = make(timeout=0.5)
    began = time.monotonic()
    send(provider, to("hang-rcpt"))
    assert time.monotonic() - began < 5
    provider.close()


def test_an_unforeseen_error_of_a_backend_is_logged_without_the_recipient(
    configure, caplog: pytest.LogCaptureFixture
):
    configure(f"{FailingBackend.__module__}.FailingBackend")
    with caplog.at_level(logging.DEBUG):
        [outcome] = send(make(), to("lost"))
    assert (outcome.kind, outcome.code) == ("ambiguous", "unexpected_error")
    assert "ConnectionResetError" in caplog.text
    assert "lost@" not in caplog.text


def test_a_backend_that_does_not_confirm_is_ambiguous(configure):
    configure(f"{SilentBackend.__module__}.SilentBackend")
    assert brief(send(make(), to("ada"))) == [("ambiguous", "not_confirmed")]


class SilentBackend(BaseEmailBackend):
    def send_messages(self, email_messages: Any) -> int:
        return 0


def test_a_backend_that_sends_smtp_in_its_own_way_is_left_to_it(
    configure, server: Server, script: Script
):
    configure(f"{OwnWayBackend.__module__}.OwnWayBackend", host="127.0.0.1", port=server.port)
    assert brief(send(make(), to("ada"))) == [("accepted", "")]
    assert script.arrived == []


class OwnWayBackend(SMTPBackend):
    def _send(self, email_message: Any) -> bool:
        return True


def test_files(configure, tmp_path: Path):
    configure("filebased", file_path=str(tmp_path))
    provider = make()
    assert brief(send(provider, to("ada"), to("bob"))) == [("accepted", "")] * 2
    provider.close()
    [file] = tmp_path.iterdir()
    assert file.read_bytes().count(b"X-Notification-ID: ") == 2


def test_a_directory_that_went_away_is_transient(configure, tmp_path: Path):
    directory = tmp_path / "mails"
    configure("filebased", file_path=str(directory))
    provider = make()
    directory.rmdir()
    assert brief(send(provider, to("ada"))) == [("transient", "connection_failed")]


def test_the_console(configure, capsys: pytest.CaptureFixture[str]):
    configure("console")
    assert brief(send(make(), to("ada"))) == [("accepted", "")]
    assert "To: ada@example.org" in capsys.readouterr().out


def test_django_own_outbox(configure):
    configure("locmem")
    mail.outbox = []
    sent = to("ada")
    assert brief(send(make(), sent)) == [("accepted", "")]
    [arrived] = mail.outbox
    assert arrived.extra_headers["X-Notification-ID"] == sent.key


def test_without_an_option_the_sender_is_djangos(configure, settings):
    configure("locmem")
    settings.DEFAULT_FROM_EMAIL = "default@example.net"
    mail.outbox = []
    send(DjangoEmailProvider("smtp", {}, 5), to("ada"))
    assert mail.outbox[0].from_email == "default@example.net"


@pytest.mark.parametrize("style", ["EMAIL_*"], indirect=True)
def test_the_backend_may_be_another_than_the_projects(configure):
    configure("console")
    mail.outbox = []
    send(make(BACKEND=f"{BACKENDS}.locmem.EmailBackend"), to("ada"))
    assert len(mail.outbox) == 1


@pytest.mark.skipif(django.VERSION < (6, 1), reason="MAILERS came with Django 6.1")
def test_the_mailer_may_be_another_than_the_default(settings):
    settings.MAILERS = {
        "default": {"BACKEND": f"{BACKENDS}.console.EmailBackend"},
        "shop": {"BACKEND": f"{BACKENDS}.locmem.EmailBackend"},
    }
    mail.outbox = []
    send(make(MAILER="shop"), to("ada"))
    assert len(mail.outbox) == 1
    assert (
        "MAILERS" in DjangoEmailProvider.problems({"BACKEND": f"{BACKENDS}.smtp.EmailBackend"})[0]
    )


def test_an_unusable_sender_of_django_is_reported(settings):
    settings.DEFAULT_FROM_EMAIL = "nobody"
    [problem] = DjangoEmailProvider.problems({})
    assert "FROM" in problem
    assert DjangoEmailProvider.problems({"FROM": FROM}) == []


def test_what_interrupts_a_send_leaves_no_half_sent_message_to_the_next(
    provider: DjangoEmailProvider, script: Script
):
    """As a time limit of Celery's does, which strikes between any two lines."""
    script.hang_seconds = 1.0
    script.on_hang = lambda: os.kill(os.getpid(), signal.SIGALRM)
    previous = signal.signal(signal.SIGALRM, raise_interrupted)
    try:
        [outcome] = send(provider, to("hang-rcpt"))
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert (outcome.kind, outcome.code) == ("ambiguous", "unexpected_error")
    assert brief(send(provider, to("ada"))) == [("accepted", "")]
    assert script.connections == 2


class Interrupted(Exception):
    pass


def raise_interrupted(*_: Any) -> None:
    raise Interrupted


@pytest.mark.parametrize(
    "options",
    [
        {"FROM": "nobody"},
        {"FROM": "ädä@example.com"},
        {"FROM": 7},
        {"BACKEND": "no.such.Backend"},
        {"MAILER": "nowhere"},
    ],
)
def test_unusable_options_are_reported(options: dict[str, Any]):
    [problem] = DjangoEmailProvider.problems(options)
    assert next(iter(options)) in problem
    with pytest.raises(ImproperlyConfigured):
        DjangoEmailProvider("smtp", options, 5)


def test_it_sends_email_and_promises_nothing_more():
    assert DjangoEmailProvider.channels == {Channel.EMAIL}
    assert not DjangoEmailProvider.honours_key
    assert not DjangoEmailProvider.reports_delivery


PIXEL = bytes(range(256))
FULL = {
    "from": "Orders <orders@example.net>",
    "reply_to": ["Help <help@example.net>", "office@example.net"],
    "cc": ["bob@example.org"],
    "bcc": ["eve@example.org"],
    "headers": {"X-Campaign": "spring", "In-Reply-To": "<first@example.com>"},
}


def full(*files: Attachment, **content: Any) -> Message:
    told = {"attachments": [file.described() for file in files]} if files else {}
    content = {"subject": "s", "body": "Hi", "html": "<p>Hi</p>", **content, **told}
    sent = message(Channel.EMAIL, "ada@example.org", content=content, attachments=files)
    return replace(sent, recipients=recipients_of(sent.to, content))


def test_all_that_an_email_may_have_arrives(provider: DjangoEmailProvider, script: Script):
    files = (
        Attachment("Übersicht.csv", "text/csv", b"a,b\r\n1,2\n"),
        Attachment("logo.png", "image/png", PIXEL, "logo"),
    )
    sent = full(*files, **FULL)
    assert brief(send(provider, sent, to("bob"))) == [("accepted", "")] * 2
    arrived = next(a for a in script.arrived if len(a.recipients) > 1)
    got = parsed(arrived)
    assert arrived.sender == "orders@example.net"
    assert arrived.recipients == ["ada@example.org", "bob@example.org", "eve@example.org"]
    assert (got["From"], got["To"], got["Cc"]) == (FULL["from"], sent.to, "bob@example.org")
    assert got["Reply-To"] == "Help <help@example.net>, office@example.net"
    assert (got["X-Campaign"], got["In-Reply-To"]) == ("spring", "<first@example.com>")
    assert got["Message-ID"] == f"<{sent.key}@example.net>"
    assert b"eve@" not in arrived.data
    csv, logo = got.iter_attachments()
    assert (csv.get_filename(), csv.get_content_type()) == ("Übersicht.csv", "text/csv")
    assert csv.get_payload(decode=True) == files[0].data
    assert (logo["Content-ID"], logo.get_content_disposition()) == ("<logo>", "inline")
    assert logo.get_payload(decode=True) == PIXEL
    assert got.get_body(("html",)).get_content().strip() == "<p>Hi</p>"


LOGO = Attachment("logo.png", "image/png", PIXEL, "logo")
PAPER = Attachment("a.pdf", "application/pdf", b"%PDF")
SHOWS_LOGO = '<p>Hi</p><img src="cid:logo">'


def by_django(sent: Message) -> bytes:
    """What Django itself sends of the same texts and files: side by side, in `mixed`."""
    content = sent.content
    built = EmailMultiAlternatives(content["subject"], content["body"], FROM, [sent.to])
    built.attach_alternative(content["html"], "text/html")
    for file in sent.attachments:
        part: Any = MIMEBase("image", "png")
        if django.VERSION >= (6, 0):
            part = MIMEPart(policy=email.policy.SMTP)
            part.set_content(PIXEL, "image", "png", "base64", "inline", "logo.png", "<logo>")
        else:
            part.set_payload(PIXEL)
            encode_base64(part)
            part.add_header("Content-Disposition", "inline", filename="logo.png")
            part["Content-ID"] = f"<{file.content_id}>"
        built.attach(part)
    built.extra_headers = {
        "Message-ID": f"<{sent.key}@example.com>",
        "X-Notification-ID": sent.key,
    }
    return to_wire(built.message().as_bytes())


def comparable(data: bytes) -> bytes:
    """Without its date, with lines unfolded, and with boundaries that are the same each time."""
    data = re.sub(rb"(?m)^Date: .*\r\n", b"", re.sub(rb"\r\n[ \t]+", b" ", data))
    for number, boundary in enumerate(re.findall(rb'boundary="(.*?)"', data)):
        data = data.replace(boundary, b"boundary-%d" % number)
    return data.rstrip()


def test_an_image_in_the_html_goes_with_it_and_all_else_is_as_django_writes_it(
    provider: DjangoEmailProvider, script: Script
):
    sent = full(LOGO, html=SHOWS_LOGO)
    send(provider, sent)
    related = b'multipart/related; type="multipart/alternative"'
    expected = comparable(by_django(sent)).replace(b"multipart/mixed", related)
    assert comparable(script.arrived[0].data) == expected


@pytest.mark.parametrize(
    ("files", "content", "shape"),
    [
        ((LOGO,), {"html": SHOWS_LOGO}, "related(alternative(plain html) png)"),
        ((LOGO,), {"html": SHOWS_LOGO, "body": ""}, "related(html png)"),
        (
            (PAPER, LOGO),
            {"html": SHOWS_LOGO},
            "mixed(related(alternative(plain html) png) pdf)",
        ),
        ((LOGO,), {"html": "<img src='CID:logo'>"}, "related(alternative(plain html) png)"),
        ((LOGO,), {"html": "<img src='cid:logo2'>"}, "mixed(alternative(plain html) png)"),
        ((PAPER,), {"html": SHOWS_LOGO}, "mixed(alternative(plain html) pdf)"),
        ((LOGO,), {"html": ""}, "mixed(plain png)"),
    ],
)
def test_what_the_html_shows_goes_with_it_and_other_files_beside(
    provider: DjangoEmailProvider,
    script: Script,
    files: tuple[Attachment, ...],
    content: dict[str, Any],
    shape: str,
):
    assert brief(send(provider, full(*files, **content))) == [("accepted", "")]
    got = parsed(script.arrived[0])
    assert shape_of(got) == shape
    found = {part.get_filename(): part.get_payload(decode=True) for part in got.walk()}
    assert {file.filename: file.data for file in files}.items() <= found.items()


def shape_of(part: Any) -> str:
    parts = " ".join(map(shape_of, part.iter_parts())) if part.is_multipart() else ""
    return f"{part.get_content_subtype()}({parts})" if parts else part.get_content_subtype()


def test_who_is_left_out_of_the_envelope_is_left_out_of_the_headers(
    provider: DjangoEmailProvider, script: Script
):
    send(provider, replace(full(**FULL), recipients=("ada@example.org", "eve@example.org")))
    assert script.arrived[0].recipients == ["ada@example.org", "eve@example.org"]
    assert parsed(script.arrived[0])["Cc"] is None


def test_without_the_bytes_of_its_files_it_is_not_sent(
    provider: DjangoEmailProvider, script: Script
):
    lost = replace(full(Attachment("a.pdf", "application/pdf", b"%PDF")), attachments=())
    assert brief(send(provider, lost)) == [("permanent", "invalid_message")]
    assert script.arrived == []


def test_a_backend_that_leads_back_to_us_is_refused(settings):
    ours = "notifications.mail.EmailBackend"
    if hasattr(settings, "MAILERS"):
        settings.MAILERS = {"default": {"BACKEND": ours}}
    else:
        settings.EMAIL_BACKEND = ours
    [problem] = DjangoEmailProvider.problems({"FROM": FROM})
    assert "to itself" in problem
    with pytest.raises(ImproperlyConfigured):
        make()
