"""Providers that Anymail knows, by real HTTP: servers that answer as two of them document it."""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qs

import pytest
from anymail.exceptions import AnymailCancelSend
from anymail.signals import pre_send
from django.core.exceptions import ImproperlyConfigured

from notifications.enums import Channel
from notifications.messages import Attachment, Message, Outcome
from notifications.providers.anymail import AnymailProvider

from .conformance import WAIT_SECONDS, Case, Lacks, ProviderConformance, message, send
from .http_server import HANG, RESET, Answer, Request, Server
from .over_http import OverHTTP, brief

FROM = "Shop <shop@example.com>"
SETTINGS: dict[str, dict[str, str]] = {
    "mailgun": {"api_key": "hush", "sender_domain": "example.com"},
    "postmark": {"server_token": "hush"},
}
LATER = {"Retry-After": f"{WAIT_SECONDS:.0f}"}


def make(esp: str, url: str, timeout: float = 5.0, **options: Any) -> AnymailProvider:
    settings = {**SETTINGS.get(esp, {}), "api_url": url}
    known = {"ESP": esp, "FROM": FROM, "SETTINGS": settings}
    return AnymailProvider(esp, {**known, **options}, timeout)


def to(local: str, **content: str) -> Message:
    values = {"content": content} if content else {}
    return message(Channel.EMAIL, f"{local}@example.org", **values)


def says(status: int, said: Any, **headers: str) -> Answer:
    return Answer(status, json.dumps(said).encode(), {"Content-Type": "application/json"} | headers)


COMMON: dict[str, Answer | str] = {
    "hang": HANG,
    "reset": RESET,
    "odd": Answer(200, b"<html>"),
    "fast": Answer(429),
    "later": Answer(429, headers=LATER),
    "busy": Answer(503, headers=LATER),
}


def mailgun_form(request: Request) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(request.body.decode()).items()}


def mailgun(request: Request) -> Answer | str:
    """https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages"""
    form = mailgun_form(request)
    word = form["to"].partition("@")[0]
    if word == "stranger":
        return Answer(401, b"Forbidden")
    if word == "nobody":
        return says(400, {"message": f"to parameter is not a valid address: {form['to']}"})
    id = f"<{form['v:notification-id']}@example.com>"
    return COMMON.get(word) or says(200, {"id": id, "message": "Queued. Thank you."})


def postmark(request: Request) -> Answer | str:
    """https://postmarkapp.com/developer/api/email-api#send-a-single-email"""
    sent = json.loads(request.body)
    word = sent["To"].partition("@")[0]
    if word == "stranger":
        return says(401, {"ErrorCode": 10, "Message": "No Account or Server API tokens"})
    if word == "nobody":
        text = f"Found inactive addresses: {sent['To']}. Inactive recipients are ones that bounced."
        return says(422, {"ErrorCode": 406, "Message": text})
    id = f"0a129aee-{sent['Metadata']['notification-id']}"
    said = {"To": sent["To"], "MessageID": id, "ErrorCode": 0, "Message": "OK"}
    return COMMON.get(word) or says(200, said)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def serve(behave: Callable[[Request], Answer | str]) -> Server:
        started.append(Server(behave).__enter__())
        return started[-1]

    yield serve
    for server in started:
        server.__exit__()


class OfAnymail(ProviderConformance):
    judged = AnymailProvider
    esp = ""

    @pytest.fixture
    def url(self, serve: Callable[..., Server]) -> str:
        return serve(globals()[self.esp]).url

    @pytest.fixture
    def provider(self, url: str) -> Iterator[AnymailProvider]:
        provider = make(self.esp, url)
        yield provider
        provider.close()

    @pytest.fixture
    def impatient(self, url: str) -> Iterator[AnymailProvider]:
        provider = make(self.esp, url, timeout=0.6)
        yield provider
        provider.close()

    def accepted(self) -> Message:
        return to("ada")

    def transient(self) -> Message:
        return to("busy")

    def permanent(self) -> Message:
        return to("nobody")

    def throttled(self) -> Case:
        return to("fast")

    def throttled_for_long(self) -> Case:
        return to("later")

    def credentials(self) -> Case:
        return to("stranger")

    def silent(self) -> Case:
        return to("hang")

    def cut(self) -> Message:
        return to("reset")

    def malformed(self) -> Case | Lacks:
        return to("odd")


class TestMailgun(OfAnymail):
    esp = "mailgun"


class TestPostmark(OfAnymail):
    esp = "postmark"


class TestTheWay(OverHTTP):
    def make(self, url: str, timeout: float = 5.0) -> AnymailProvider:
        return make("mailgun", url, timeout)

    def success(self) -> Answer:
        return says(200, {"id": "<1@example.com>", "message": "Queued. Thank you."})

    def accepted(self) -> Message:
        return to("ada")


def answered(serve: Callable[..., Server], esp: str, answer: Answer) -> tuple[Server, Outcome]:
    server = serve(lambda _: answer)
    [outcome] = send(make(esp, server.url), to("ada"))
    return server, outcome


@pytest.mark.parametrize(
    ("esp", "answer", "kind", "code"),
    [
        ("mailgun", Answer(401), "transient", "credentials"),
        ("mailgun", Answer(402), "transient", "account_paused"),
        ("mailgun", Answer(403), "transient", "credentials"),
        ("mailgun", Answer(404, b"Domain not found"), "transient", "not_found"),
        ("mailgun", Answer(408), "transient", "http_408"),
        ("mailgun", Answer(413), "permanent", "http_413"),
        ("mailgun", Answer(420), "throttled", "throttled"),
        ("mailgun", Answer(500), "ambiguous", "http_500"),
        ("mailgun", Answer(200, b"Mailgun Magnificent API"), "ambiguous", "malformed_answer"),
        ("mailgun", says(200, {"id": 7, "message": "Queued."}), "ambiguous", "malformed_answer"),
        ("mailgun", says(200, ["Queued."]), "ambiguous", "malformed_answer"),
        ("postmark", says(422, {"ErrorCode": 10, "Message": "x"}), "transient", "credentials"),
        ("postmark", says(422, {"ErrorCode": 400, "Message": "x"}), "transient", "sender"),
        ("postmark", says(422, {"ErrorCode": 401, "Message": "x"}), "transient", "sender"),
        ("postmark", says(422, {"ErrorCode": 405, "Message": "x"}), "transient", "account_paused"),
        ("postmark", says(422, {"ErrorCode": 412, "Message": "x"}), "transient", "account_paused"),
        (
            "postmark",
            says(422, {"ErrorCode": 406, "Message": "x"}),
            "permanent",
            "recipient_refused",
        ),
        (
            "postmark",
            says(422, {"ErrorCode": 300, "Message": "Invalid 'To' address: 'ada@example.org'."}),
            "permanent",
            "recipient_refused",
        ),
        ("postmark", says(422, {"ErrorCode": 300, "Message": "x"}), "permanent", "http_422"),
        ("postmark", says(422, {"ErrorCode": 99999, "Message": "x"}), "permanent", "http_422"),
        ("postmark", Answer(422, b"<html>"), "permanent", "http_422"),
        ("postmark", says(422, []), "permanent", "recipient_refused"),
    ],
)
def test_answers_are_sorted(
    serve: Callable[..., Server], esp: str, answer: Answer, kind: str, code: str
) -> None:
    server, outcome = answered(serve, esp, answer)
    assert (outcome.kind, outcome.code) == (kind, code)
    assert len(server.arrived) == 1


@pytest.mark.parametrize("esp", SETTINGS)
def test_a_message_goes_as_it_was_written_and_with_our_id(
    serve: Callable[..., Server], esp: str
) -> None:
    server = serve(globals()[esp])
    link = "https://notify.example.com/unsubscribe/x:y:z"
    sent = replace(to("ada", subject="№ 7", body="Zwölf", html="<p>12</p>"), unsubscribe_url=link)
    [outcome] = send(make(esp, server.url), sent)
    assert sent.key in outcome.provider_message_id
    assert seen_by(esp, server.arrived[0]) == {
        "from": FROM,
        "to": "ada@example.org",
        "subject": "№ 7",
        "body": "Zwölf",
        "html": "<p>12</p>",
        "notification-id": sent.key,
        "headers": {
            "x-notification-id": sent.key,
            "list-unsubscribe": f"<{link}>",
            "list-unsubscribe-post": "List-Unsubscribe=One-Click",
        },
    }


def seen_by(esp: str, request: Request) -> dict[str, Any]:
    if esp == "mailgun":
        form = mailgun_form(request)
        headers = {name[2:].lower(): value for name, value in form.items() if name.startswith("h:")}
        names = ("from", "to", "subject", "text", "html", "v:notification-id")
        values = [form[name] for name in names]
    else:
        sent = json.loads(request.body)
        headers = {each["Name"].lower(): each["Value"] for each in sent["Headers"]}
        values = [sent[name] for name in ("From", "To", "Subject", "TextBody", "HtmlBody")]
        values.append(sent["Metadata"]["notification-id"])
    keys = ("from", "to", "subject", "body", "html", "notification-id")
    return {**dict(zip(keys, values, strict=True)), "headers": headers}


def test_all_that_an_e_mail_has_goes_along(serve: Callable[..., Server]) -> None:
    server = serve(postmark)
    content = {
        "from": "Sales <sales@example.com>",
        "subject": "s",
        "body": "b",
        "cc": ["bob@example.org"],
        "reply_to": ["help@example.com"],
        "headers": {"X-Order": "7"},
        "attachments": [{}],
    }
    sent = replace(
        to("ada"),
        content=content,
        recipients=("ada@example.org", "bob@example.org"),
        attachments=(Attachment("a.txt", "text/plain", b"12"),),
    )
    [outcome] = send(make("postmark", server.url), sent)
    assert sent.key in outcome.provider_message_id
    arrived = json.loads(server.arrived[0].body)
    names = ("From", "To", "Cc", "ReplyTo", "Metadata")
    assert [arrived[name] for name in names] == [
        "Sales <sales@example.com>",
        "ada@example.org",
        "bob@example.org",
        "help@example.com",
        {"notification-id": sent.key},
    ]
    assert {"Name": "X-Order", "Value": "7"} in arrived["Headers"]
    assert arrived["Attachments"][0]["Content"] == "MTI="


def test_an_image_in_the_html_goes_with_it(serve: Callable[..., Server]) -> None:
    server = serve(postmark)
    file = Attachment("logo.png", "image/png", b"12", "logo")
    content = {"subject": "s", "html": '<img src="cid:logo">', "attachments": [file.described()]}
    send(make("postmark", server.url), replace(to("ada"), content=content, attachments=(file,)))
    arrived = json.loads(server.arrived[0].body)
    assert (arrived["HtmlBody"], arrived.get("TextBody")) == ('<img src="cid:logo">', None)
    [logo] = arrived["Attachments"]
    assert (logo["Content"], logo["ContentID"]) == ("MTI=", "cid:logo")


def test_a_complete_e_mail_is_taken_apart(serve: Callable[..., Server]) -> None:
    """No API takes one as it is."""
    server = serve(postmark)
    mime = b"From: a@example.com\r\nTo: ada@example.org\r\nSubject: s\r\n\r\nhello\r\n"
    content = {"mime": "0" * 64, "sender": "a@example.com"}
    sent = replace(to("ada"), content=content, mime=mime)
    [outcome] = send(make("postmark", server.url), sent)
    assert sent.key in outcome.provider_message_id
    arrived = json.loads(server.arrived[0].body)
    assert (arrived["From"], arrived["Subject"]) == ("a@example.com", "s")
    assert arrived["TextBody"].strip() == "hello"


def test_django_s_own_e_mails_may_go_through_the_pipeline(settings: Any) -> None:
    settings.EMAIL_BACKEND = "notifications.mail.EmailBackend"
    options = {"ESP": "postmark", "FROM": FROM, "SETTINGS": SETTINGS["postmark"]}
    assert AnymailProvider.problems(options) == []


def test_where_there_is_no_metadata_our_id_goes_as_a_tag(serve: Callable[..., Server]) -> None:
    headers = {"X-Message-Id": "62fb66bef54a112e920b5493", "Content-Type": "text/html"}
    server = serve(lambda _: Answer(202, b"", headers))
    provider = make("mailersend", server.url, SETTINGS={"api_token": "x", "api_url": server.url})
    sent = to("ada")
    [outcome] = send(provider, sent)
    assert outcome.provider_message_id == "62fb66bef54a112e920b5493"
    assert json.loads(server.arrived[0].body)["tags"] == [sent.key]


def test_a_receiver_of_anymail_s_signal_may_cancel(serve: Callable[..., Server]) -> None:
    def cancel(**_: Any) -> None:
        raise AnymailCancelSend

    server = serve(mailgun)
    pre_send.connect(cancel)
    try:
        assert brief(send(make("mailgun", server.url), to("ada"))) == [("permanent", "cancelled")]
    finally:
        pre_send.disconnect(cancel)
    assert not server.arrived


def test_what_the_api_does_not_carry_is_refused_before_it_leaves(
    serve: Callable[..., Server], settings: Any
) -> None:
    server = serve(mailgun)
    settings.ANYMAIL = {"MAILGUN_SEND_DEFAULTS": {"merge_global_data": {}, "template_id": 7}}
    settings.ANYMAIL["MAILGUN_SEND_DEFAULTS"]["envelope_sender"] = "no address"
    [outcome] = send(make("mailgun", server.url), to("ada"))
    assert outcome.kind == "permanent"
    assert not server.arrived


def test_what_is_no_e_mail_never_leaves(serve: Callable[..., Server]) -> None:
    server = serve(postmark)
    provider = make("postmark", server.url)
    for wrong in (message(Channel.EMAIL, "a@b.example, c@d.example"), to("a", subject="a\nb")):
        assert brief(send(provider, wrong)) == [("permanent", "invalid_message")]
    assert not server.arrived


def test_anymail_s_own_settings_of_django_are_used(
    serve: Callable[..., Server], settings: Any
) -> None:
    server = serve(postmark)
    settings.ANYMAIL = {"POSTMARK_SERVER_TOKEN": "theirs", "POSTMARK_API_URL": server.url}
    provider = AnymailProvider("postmark", {"ESP": "postmark", "FROM": FROM}, 5.0)
    assert [o.kind for o in send(provider, to("ada"))] == ["accepted"]
    assert server.arrived[0].headers["X-Postmark-Server-Token"] == "theirs"


@pytest.mark.filterwarnings("ignore:Your Anymail webhooks are insecure")
@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({}, "ESP"),
        ({"ESP": "pigeons"}, "ESP"),
        ({"ESP": "amazon_ses"}, "SESProvider"),
        ({"ESP": 7}, "ESP"),
        ({"ESP": "postmark"}, "POSTMARK_SERVER_TOKEN"),
        ({"ESP": "postmark", "SETTINGS": {"SERVER_TOKEN": "x"}}, "SETTINGS"),
        ({"ESP": "postmark", "SETTINGS": 7}, "SETTINGS"),
        ({"ESP": "postmark", "SETTINGS": {"api_url": "localhost:9000"}}, "SETTINGS"),
        ({"ESP": "postmark", "FROM": "shop"}, "FROM"),
        ({"ESP": "postmark", "BACKEND": "x"}, "BACKEND"),
        ({"ESP": "postmark", "SETTINGS": SETTINGS["postmark"], "RECEIPTS": {}}, "webhook_secret"),
        ({"ESP": "mailersend", "SETTINGS": {"api_token": "x"}, "RECEIPTS": {}}, "SIGNING_SECRET"),
        pytest.param(
            {"ESP": "scaleway", "SETTINGS": {"secret_key": "x", "project_id": "x"}, "RECEIPTS": {}},
            "no events",
            marks=pytest.mark.skipif(
                find_spec("anymail.backends.scaleway") is None,
                reason="this Anymail has no ESP without events",
            ),
        ),
    ],
)
def test_unusable_options_are_reported(options: dict[str, Any], word: str) -> None:
    [problem] = AnymailProvider.problems({"FROM": FROM, **options})
    assert word in problem
    with pytest.raises(ImproperlyConfigured, match=word):
        AnymailProvider("esp", {"FROM": FROM, **options}, 5.0)


def test_a_secret_stays_out_of_problems() -> None:
    for wrong in ({"api_key": "hush"}, "hush"):
        [problem] = AnymailProvider.problems({"ESP": "postmark", "FROM": FROM, "SETTINGS": wrong})
        assert "hush" not in problem


def test_nothing_is_said_of_the_message_even_when_everything_is_logged(
    serve: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    provider = make("postmark", serve(postmark).url)
    with caplog.at_level(logging.INFO):
        send(provider, to("ada"), to("nobody"), to("reset"), to("odd"))
    assert "example.org" not in caplog.text
    assert "hush" not in caplog.text
