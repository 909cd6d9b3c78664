"""Amazon SES, by real HTTP: a server that is told how to answer, and moto for the whole way."""

import email
import json
import logging
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.loaders import create_loader
from django.core.exceptions import ImproperlyConfigured

from notifications.enums import Channel
from notifications.messages import Attachment, Message
from notifications.providers.ses import SESProvider
from tests.servers.moto import MotoServer

from .conformance import WAIT_SECONDS, ProviderConformance, message, send
from .http_server import HANG, RESET, Answer, Request, Server
from .over_http import OverHTTP, brief

FROM = "Shop <shop@example.com>"
ACCESS = {"REGION": "eu-west-1", "ACCESS_KEY_ID": "AKIDEXAMPLE", "SECRET_ACCESS_KEY": "secret"}


def make(url: str, timeout: float = 5.0, **options: Any) -> SESProvider:
    return SESProvider("ses", {"FROM": FROM, **ACCESS, "ENDPOINT_URL": url, **options}, timeout)


def to(local: str, **content: Any) -> Message:
    values = {"content": content} if content else {}
    return message(Channel.EMAIL, f"{local}@example.org", **values)


def refusal(status: int, code: str, text: str, **headers: str) -> Answer:
    body = json.dumps({"message": text}).encode()
    known = {"x-amzn-ErrorType": code, "Content-Type": "application/json"}
    return Answer(status, body, known | headers)


def answer(request: Request) -> Answer | str:
    """What a recipient's name says; its id is made of our tag, so that order can be judged."""
    sent = json.loads(request.body)
    recipient = sent["Destination"]["ToAddresses"][0]
    word = recipient.partition("@")[0]
    odd = {"reset": RESET, "hang": HANG, "odd": Answer(200, b"<html>")}
    if word in odd:
        return odd[word]
    if word == "later":
        wait = {"Retry-After": f"{WAIT_SECONDS:.0f}"}
        return refusal(429, "TooManyRequestsException", "Slow down", **wait)
    if word == "UnrecognizedClientException":
        return refusal(403, word, "Who?")
    if "Exception" in word or word == "MessageRejected":
        return refusal(400, word, f"Not {recipient}")
    [tag] = sent["EmailTags"]
    return Answer(200, json.dumps({"MessageId": f"0102-{tag['Value']}"}).encode())


@pytest.fixture(scope="module", autouse=True)
def _descriptions_are_read_once() -> Iterator[None]:
    """Each session of botocore reads megabytes; a process has one, the tests many."""
    loader = create_loader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(botocore.session, "create_loader", lambda _: loader)
        yield


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(answer) as server:
        yield server


@pytest.fixture
def provider(server: Server) -> Iterator[SESProvider]:
    provider = make(server.url)
    yield provider
    provider.close()


@pytest.fixture
def impatient(server: Server) -> Iterator[SESProvider]:
    provider = make(server.url, timeout=0.6)
    yield provider
    provider.close()


class TestSES(ProviderConformance):
    judged = SESProvider

    def accepted(self) -> Message:
        return to("ada")

    def transient(self) -> Message:
        return to("SendingPausedException")

    def permanent(self) -> Message:
        return to("MessageRejected")

    def throttled(self) -> Message:
        return to("TooManyRequestsException")

    def throttled_for_long(self) -> Message:
        return to("later")

    def credentials(self) -> Message:
        return to("UnrecognizedClientException")

    def silent(self) -> Message:
        return to("hang")

    def cut(self) -> Message:
        return to("reset")

    def malformed(self) -> Message:
        return to("odd")


class TestTheWayToSES(OverHTTP):
    def make(self, url: str, timeout: float = 5.0) -> SESProvider:
        return make(url, timeout)

    def success(self) -> Answer:
        return Answer(200, b'{"MessageId": "0102"}')

    def accepted(self) -> Message:
        return to("ada")


@pytest.mark.parametrize(
    ("status", "said", "text", "kind", "code"),
    [
        (429, "TooManyRequestsException", "Slow down", "throttled", "throttled"),
        (400, "ThrottlingException", "Maximum sending rate exceeded.", "throttled", "throttled"),
        (400, "Throttling", "Maximum sending rate exceeded.", "throttled", "throttled"),
        (400, "ThrottlingException", "Daily message quota exceeded.", "throttled", "daily_quota"),
        (400, "LimitExceededException", "Too many", "throttled", "daily_quota"),
        (400, "AccountSuspendedException", "No", "transient", "account_paused"),
        (400, "SendingPausedException", "No", "transient", "account_paused"),
        (400, "MessageRejected", "Sending suspended for it", "transient", "account_paused"),
        (400, "MailFromDomainNotVerifiedException", "No", "transient", "mail_from_domain"),
        (
            400,
            "MessageRejected",
            "Email address is not verified. The following identities failed the check in region "
            "EU-WEST-1: ada@example.org",
            "transient",
            "not_verified",
        ),
        (400, "MessageRejected", "Contains a virus", "permanent", "message_rejected"),
        (404, "NotFoundException", "Configuration set", "transient", "configuration_set"),
        (400, "BadRequestException", "Missing final '@domain'", "permanent", "ses_400"),
        (413, "RequestEntityTooLarge", "Too large", "permanent", "ses_413"),
        (403, "SignatureDoesNotMatch", "Check your key", "transient", "credentials"),
        (403, "ExpiredTokenException", "Expired", "transient", "credentials"),
        (403, "UnrecognizedClientException", "Who?", "transient", "credentials"),
        (400, "RequestExpired", "Clock skew", "transient", "credentials"),
        (500, "InternalFailure", "Oh", "ambiguous", "ses_500"),
        (503, "ServiceUnavailable", "Oh", "ambiguous", "ses_503"),
    ],
)
def test_refusals_are_sorted(
    server: Server,
    provider: SESProvider,
    status: int,
    said: str,
    text: str,
    kind: str,
    code: str,
):
    server.behave = lambda _: refusal(status, said, text)
    [outcome] = send(provider, to("ada"))
    assert (outcome.kind, outcome.code) == (kind, code)
    assert "example.org" not in outcome.detail
    assert len(server.arrived) == 1


def test_a_spent_quota_is_left_alone_for_long(server: Server, provider: SESProvider):
    server.behave = lambda _: refusal(400, "ThrottlingException", "Daily message quota exceeded")
    [outcome] = send(provider, to("ada"))
    assert outcome.retry_after == 600


def test_a_message_goes_as_it_was_written_and_with_our_id(server: Server, provider: SESProvider):
    sent = to("ada", subject="№ 7 ist da 📦", body="Zwölf", html="<p>Zwölf</p>")
    [outcome] = send(provider, sent)
    [arrived] = server.arrived
    assert outcome.provider_message_id == f"0102-{sent.key}"
    assert arrived.path == "/v2/email/outbound-emails"
    assert json.loads(arrived.body) == {
        "FromEmailAddress": FROM,
        "Destination": {"ToAddresses": ["ada@example.org"]},
        "Content": {
            "Simple": {
                "Subject": {"Data": "№ 7 ist da 📦", "Charset": "UTF-8"},
                "Body": {
                    "Text": {"Data": "Zwölf", "Charset": "UTF-8"},
                    "Html": {"Data": "<p>Zwölf</p>", "Charset": "UTF-8"},
                },
                "Headers": [{"Name": "X-Notification-ID", "Value": sent.key}],
            }
        },
        "EmailTags": [{"Name": "notification-id", "Value": sent.key}],
    }


def test_the_link_to_unsubscribe_goes_as_headers(server: Server, provider: SESProvider):
    link = "https://notify.example.com/unsubscribe/x:y:z"
    send(provider, replace(to("ada", subject="s", body="b"), unsubscribe_url=link))
    headers = json.loads(server.arrived[0].body)["Content"]["Simple"]["Headers"]
    assert headers[1:] == [
        {"Name": "List-Unsubscribe", "Value": f"<{link}>"},
        {"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"},
    ]


def test_a_message_has_only_the_parts_that_were_written(server: Server, provider: SESProvider):
    send(provider, to("ada", subject="s", body="b"), to("ada", subject="s", html="h"))
    contents = [json.loads(arrived.body)["Content"]["Simple"] for arrived in server.arrived]
    assert sorted([*content["Body"]] for content in contents) == [["Html"], ["Text"]]


def test_a_sender_is_written_in_ascii(server: Server):
    provider = make(server.url, FROM="Müller & Söhne <shop@müller.example>")
    send(provider, to("ada"))
    sender = json.loads(server.arrived[0].body)["FromEmailAddress"]
    assert sender.isascii()
    assert sender.endswith("<shop@xn--mller-kva.example>")


def test_what_is_no_e_mail_never_leaves(server: Server, provider: SESProvider):
    for wrong in (
        message(Channel.EMAIL, "a@b.example, c@d.example"),
        to("ada", subject="s", body="half \ud83d"),
        to("ada", body="without a subject"),
    ):
        assert brief(send(provider, wrong)) == [("permanent", "invalid_message")]
    assert not server.arrived


def test_events_come_through_the_configuration_set(server: Server):
    assert not make(server.url).reports_delivery
    provider = make(server.url, CONFIGURATION_SET="events")
    assert provider.reports_delivery
    send(provider, to("ada"))
    assert json.loads(server.arrived[0].body)["ConfigurationSetName"] == "events"


def test_requests_are_signed_with_the_keys_of_the_options(server: Server, provider: SESProvider):
    send(provider, to("ada"))
    assert "Credential=AKIDEXAMPLE/" in server.arrived[0].headers["Authorization"]
    assert "/eu-west-1/ses/" in server.arrived[0].headers["Authorization"]


def test_without_credentials_anywhere_it_says_so(server: Server, monkeypatch: pytest.MonkeyPatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    options = {"FROM": FROM, "REGION": "eu-west-1", "ENDPOINT_URL": server.url}
    provider = SESProvider("ses", options, 5.0)
    assert brief(send(provider, to("ada"))) == [("transient", "credentials")]
    assert not server.arrived


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"FROM": "shop"}, "FROM"),
        ({"REGION": "eu west"}, "REGION"),
        ({"ENDPOINT_URL": "localhost:9000"}, "ENDPOINT_URL"),
        ({"CONFIGURATION_SET": "a b"}, "CONFIGURATION_SET"),
        ({"RECEIPT_TOPICS": ["ses-events"]}, "RECEIPT_TOPICS"),
        ({"RECEIPT_TOPICS": [7]}, "RECEIPT_TOPICS"),
        ({"RECEIPT_TOPICS": 7}, "RECEIPT_TOPICS"),
        ({"ACCESS_KEY_ID": "AKID", "REGION": "eu-west-1"}, "SECRET_ACCESS_KEY"),
        ({}, "REGION"),
    ],
)
def test_unusable_options_are_reported(
    options: dict[str, Any], word: str, monkeypatch: pytest.MonkeyPatch
):
    for name in ("AWS_DEFAULT_REGION", "AWS_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    [problem] = SESProvider.problems({"FROM": FROM, **options})
    assert word in problem
    with pytest.raises(ImproperlyConfigured, match=word):
        SESProvider("ses", {"FROM": FROM, **options}, 5.0)


def test_topics_are_a_list_or_a_text_as_in_an_environment():
    one, two = (f"arn:aws:sns:eu-west-1:123456789012:{name}" for name in ("a", "b"))
    for value in ([one, two], f"{one}, {two}"):
        provider = SESProvider("ses", {"FROM": FROM, **ACCESS, "RECEIPT_TOPICS": value}, 5.0)
        assert provider.options["RECEIPT_TOPICS"] == (one, two)


def test_djangos_own_address_must_be_usable_when_no_other_is_set(settings):
    settings.DEFAULT_FROM_EMAIL = "webmaster@localhost"
    [problem] = SESProvider.problems(ACCESS)
    assert "FROM" in problem
    settings.DEFAULT_FROM_EMAIL = FROM
    assert SESProvider.problems(ACCESS) == []
    assert SESProvider("ses", ACCESS, 5.0).sender == FROM


def test_a_secret_stays_out_of_problems():
    [problem] = SESProvider.problems({"SECRET_ACCESS_KEY": "hush hush"})
    assert "hush" not in problem


@pytest.fixture(scope="module")
def moto() -> Iterator[MotoServer]:
    server = MotoServer()
    server.start()
    yield server
    server.close()


def test_the_whole_way_to_an_account_at_aws(moto: MotoServer):
    client = boto3.session.Session().client(
        "sesv2",
        region_name="eu-west-1",
        endpoint_url=moto.url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
    )
    client.create_email_identity(EmailIdentity="example.com")
    [outcome] = send(make(moto.url), to("ada", subject="Hello", body="You there"))
    assert outcome.kind == "accepted"
    [kept] = moto.data()["ses"]["Message"]
    assert kept["id"] == outcome.provider_message_id
    assert kept["destinations"] == {"ToAddresses": ["ada@example.org"]}
    assert (kept["subject"], kept["body"]) == ("Hello", "You there")


def test_a_sender_that_the_account_has_not_verified_is_our_fault(moto: MotoServer):
    outcomes = send(make(moto.url, FROM="shop@elsewhere.example"), to("ada"))
    assert brief(outcomes) == [("transient", "not_verified")]


def test_nothing_is_said_of_the_message_even_when_everything_is_logged(
    server: Server, provider: SESProvider, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO):
        send(provider, to("ada"), to("MessageRejected"), to("reset"))
    assert "example.org" not in caplog.text
    assert "secret" not in caplog.text


def test_senders_copies_and_answers_go_as_fields(server: Server, provider: SESProvider):
    content = {"from": "Müller <a@example.net>", "reply_to": ["b@example.net"], "cc": ["c@x.org"]}
    sent = to("ada", subject="s", body="b", **content)
    send(provider, replace(sent, recipients=("ada@example.org", "c@x.org")))
    arrived = json.loads(server.arrived[0].body)
    assert arrived["FromEmailAddress"].endswith("<a@example.net>")
    assert arrived["FromEmailAddress"].isascii()
    assert arrived["ReplyToAddresses"] == ["b@example.net"]
    copies = {"ToAddresses": ["ada@example.org"], "CcAddresses": ["c@x.org"]}
    assert arrived["Destination"] == copies


def test_files_and_headers_go_in_a_whole_message(server: Server, provider: SESProvider):
    file = Attachment("a.pdf", "application/pdf", b"%PDF")
    content = {"headers": {"X-Campaign": "spring"}, "attachments": [file.described()]}
    sent = to("ada", subject="s", body="b", **content)
    link = "https://notify.example.com/unsubscribe/x:y:z"
    send(provider, replace(sent, attachments=(file,), unsubscribe_url=link))
    arrived = json.loads(server.arrived[0].body)
    raw = email.message_from_bytes(b64decode(arrived["Content"]["Raw"]["Data"]))
    assert arrived["Destination"] == {"ToAddresses": ["ada@example.org"]}
    assert arrived["EmailTags"] == [{"Name": "notification-id", "Value": sent.key}]
    assert (raw["From"], raw["X-Campaign"], raw["X-Notification-ID"]) == (FROM, "spring", sent.key)
    assert raw["List-Unsubscribe"] == f"<{link}>"
    assert b"%PDF" in [part.get_payload(decode=True) for part in raw.walk()]


def test_an_image_in_the_html_goes_with_it(server: Server, provider: SESProvider):
    file = Attachment("logo.png", "image/png", b"PNG", "logo")
    content = {"html": '<img src="cid:logo">', "attachments": [file.described()]}
    send(provider, replace(to("ada", subject="s", body="b", **content), attachments=(file,)))
    arrived = json.loads(server.arrived[0].body)
    raw = email.message_from_bytes(b64decode(arrived["Content"]["Raw"]["Data"]))
    kinds = [part.get_content_type() for part in raw.walk()]
    both = ["multipart/alternative", "text/plain", "text/html"]
    assert kinds == ["multipart/related", *both, "image/png"]


def test_a_complete_message_goes_as_it_is(server: Server, provider: SESProvider):
    mime = b"Subject: s\r\nFrom: a@example.net\r\n\r\nbody\r\n"
    sent = replace(to("ada", mime=""), mime=mime, recipients=("ada@example.org", "c@x.org"))
    send(provider, sent)
    arrived = json.loads(server.arrived[0].body)
    assert b64decode(arrived["Content"]["Raw"]["Data"]) == mime
    assert arrived["Destination"] == {"ToAddresses": ["ada@example.org", "c@x.org"]}
