"""Twilio, by real HTTP: a server that answers as its documentation shows."""

import json
import logging
from base64 import b64encode
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from django.core.exceptions import ImproperlyConfigured

from notifications.enums import Channel
from notifications.messages import Message
from notifications.providers.twilio import TwilioProvider
from notifications.providers.twilio_errors import ERRORS, LINK

from .conformance import WAIT_SECONDS, ProviderConformance, message, send
from .http_server import HANG, RESET, Answer, Request, Server
from .over_http import OverHTTP, brief

ACCOUNT = "AC" + "0" * 32
SERVICE = "MG" + "0" * 32
API_KEY = "SK" + "0" * 32
FROM = "+15005550006"
OPTIONS = {"ACCOUNT_SID": ACCOUNT, "AUTH_TOKEN": "hush", "FROM": FROM}
CALLBACK = "https://notifications.example.com/receipts/twilio"

TAKEN, BUSY, INVALID, LOST, SLOW, SLOWER, REFUSED, SILENT, ODD = (
    f"+1415555010{digit}" for digit in range(9)
)
"""Numbers, each with an answer of its own."""


def make(url: str, timeout: float = 5.0, **options: Any) -> TwilioProvider:
    return TwilioProvider("twilio", {**OPTIONS, "BASE_URL": url, **options}, timeout)


def to(number: str, **content: str) -> Message:
    values = {"content": content} if content else {}
    return message(Channel.SMS, number, **values)


def form(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode(), strict_parsing=True))


def created(sid: str, **values: Any) -> Answer:
    """https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource"""
    said = {"account_sid": ACCOUNT, "error_code": None, "sid": sid, "status": "queued", **values}
    return Answer(201, json.dumps(said).encode(), {"Content-Type": "application/json"})


def error(status: int, code: int, text: str = "No", **headers: str) -> Answer:
    said = {"code": code, "message": text, "more_info": LINK.format(code), "status": status}
    return Answer(status, json.dumps(said).encode(), headers)


def answer(request: Request) -> Answer | str:
    """Twilio repeats the number in its errors; the id here shows which notification it was."""
    sent = form(request)
    match sent["To"]:
        case number if number == BUSY:
            return error(503, 20503, **{"Retry-After": "1"})
        case number if number == INVALID:
            return error(400, 21211, f"The 'To' number {number} is not a valid phone number.")
        case number if number == LOST:
            return RESET
        case number if number == SLOW:
            return error(429, 20429, "Too Many Requests")
        case number if number == SLOWER:
            return error(429, 20429, "Too Many", **{"Retry-After": f"{WAIT_SECONDS:.0f}"})
        case number if number == REFUSED:
            return error(401, 20003, "Authenticate")
        case number if number == SILENT:
            return HANG
        case number if number == ODD:
            return Answer(201, b"<html>")
    [key] = parse_qs(urlsplit(sent["StatusCallback"]).query)["notification-id"]
    return created(f"SM{key}")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(answer) as server:
        yield server


@pytest.fixture
def provider(server: Server) -> Iterator[TwilioProvider]:
    provider = make(server.url, STATUS_CALLBACK=CALLBACK)
    yield provider
    provider.close()


@pytest.fixture
def impatient(server: Server) -> Iterator[TwilioProvider]:
    provider = make(server.url, timeout=0.6, STATUS_CALLBACK=CALLBACK)
    yield provider
    provider.close()


class TestTwilio(ProviderConformance):
    judged = TwilioProvider

    def accepted(self) -> Message:
        return to(TAKEN)

    def transient(self) -> Message:
        return to(BUSY)

    def permanent(self) -> Message:
        return to(INVALID)

    def throttled(self) -> Message:
        return to(SLOW)

    def throttled_for_long(self) -> Message:
        return to(SLOWER)

    def credentials(self) -> Message:
        return to(REFUSED)

    def silent(self) -> Message:
        return to(SILENT)

    def cut(self) -> Message:
        return to(LOST)

    def malformed(self) -> Message:
        return to(ODD)


class TestTheWayToTwilio(OverHTTP):
    def make(self, url: str, timeout: float = 5.0) -> TwilioProvider:
        return make(url, timeout)

    def success(self) -> Answer:
        return created("SM0")

    def accepted(self) -> Message:
        return to(TAKEN)


@pytest.mark.parametrize(
    ("status", "code", "kind", "word"),
    [
        (429, 20429, "throttled", "throttled"),
        (429, 21211, "throttled", "throttled"),
        (400, 21611, "throttled", "queue_full"),
        (400, 30001, "throttled", "queue_full"),
        (400, 21211, "permanent", "invalid_number"),
        (400, 21214, "permanent", "invalid_number"),
        (400, 21217, "permanent", "invalid_number"),
        (400, 21614, "permanent", "invalid_number"),
        (400, 30005, "permanent", "invalid_number"),
        (400, 30006, "permanent", "invalid_number"),
        (403, 21408, "permanent", "region"),
        (400, 21612, "permanent", "no_route"),
        (400, 21610, "permanent", "unsubscribed"),
        (400, 21617, "permanent", "too_long"),
        (400, 29999, "permanent", "refused"),
        (401, 20003, "transient", "credentials"),
        (403, 20006, "transient", "credentials"),
        (404, 20404, "transient", "credentials"),
        (401, 20005, "transient", "account_paused"),
        (403, 10001, "transient", "account_paused"),
        (400, 21603, "transient", "sender"),
        (400, 21606, "transient", "sender"),
        (400, 21703, "transient", "sender"),
        (400, 21608, "transient", "not_verified"),
        (500, 20500, "ambiguous", "http_500"),
        (503, 20503, "ambiguous", "http_503"),
    ],
)
def test_errors_are_sorted(
    server: Server, provider: TwilioProvider, status: int, code: int, kind: str, word: str
):
    server.behave = lambda _: error(status, code, f"Not {TAKEN}")
    [outcome] = send(provider, to(TAKEN))
    assert (outcome.kind, outcome.code) == (kind, word)
    assert TAKEN not in outcome.detail
    assert status >= 500 or f"error {code} ({LINK.format(code)}): " in outcome.detail
    assert len(server.arrived) == 1


@pytest.mark.parametrize("code", ERRORS)
def test_every_error_of_the_table_fits_into_an_attempt(
    server: Server, provider: TwilioProvider, code: int
):
    server.behave = lambda _: error(400, code)
    [outcome] = send(provider, to(TAKEN))
    assert outcome.code.replace("_", "").isalpha()
    assert outcome.detail.endswith(".")
    assert len(outcome.code) <= 50
    assert len(outcome.detail) <= 200


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "refused"),
        (b"<html>", "refused"),
        (b"[21610]", "refused"),
        (b'{"code": "21610"}', "refused"),
        (b'{"code": 21610, "message": null}', "unsubscribed"),
    ],
)
def test_an_error_that_cannot_be_read_goes_by_its_status(
    server: Server, provider: TwilioProvider, body: bytes, word: str
):
    server.behave = lambda _: Answer(400, body)
    assert brief(send(provider, to(TAKEN))) == [("permanent", word)]


def test_a_full_queue_is_left_alone_for_a_minute(server: Server, provider: TwilioProvider):
    server.behave = lambda _: error(400, 21611)
    [outcome] = send(provider, to(TAKEN))
    assert outcome.retry_after == 60


@pytest.mark.parametrize("body", [b"[]", b'"SM0"', b'{"sid": 7}', b"\xff\xfe"])
def test_success_that_names_no_message_may_be_anybody_s(
    server: Server, provider: TwilioProvider, body: bytes
):
    server.behave = lambda _: Answer(201, body)
    assert brief(send(provider, to(TAKEN))) == [("ambiguous", "malformed_answer")]
    assert len(server.arrived) == 1


def test_success_whose_body_is_cut_off_is_ambiguous(server: Server, provider: TwilioProvider):
    server.behave = lambda _: Answer(201, b'{"sid": "SM', missing=20)
    assert brief(send(provider, to(TAKEN))) == [("ambiguous", "malformed_answer")]


def test_a_message_goes_as_it_was_written(server: Server):
    server.behave = lambda _: created("SM7")
    body = "Zwölf & mehr = 12 📦\nFrom here"
    [outcome] = send(make(server.url), to(TAKEN, body=body))
    [arrived] = server.arrived
    assert outcome.provider_message_id == "SM7"
    assert arrived.path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    assert form(arrived) == {"To": TAKEN, "Body": body, "From": FROM}


def test_a_messaging_service_takes_the_place_of_the_number(server: Server):
    server.behave = lambda _: created("SM7")
    options = {"ACCOUNT_SID": ACCOUNT, "AUTH_TOKEN": "hush", "MESSAGING_SERVICE_SID": SERVICE}
    provider = TwilioProvider("twilio", {**options, "BASE_URL": server.url}, 5.0)
    send(provider, to(TAKEN, body="b"))
    assert form(server.arrived[0]) == {"To": TAKEN, "Body": "b", "MessagingServiceSid": SERVICE}


@pytest.mark.parametrize(("callback", "query"), [(CALLBACK, ""), (f"{CALLBACK}?shop=7", "shop=7&")])
def test_a_callback_carries_our_id(server: Server, callback: str, query: str):
    server.behave = lambda _: created("SM7")
    assert not make(server.url).reports_delivery
    provider = make(server.url, STATUS_CALLBACK=callback)
    assert provider.reports_delivery
    sent = to(TAKEN)
    send(provider, sent)
    wanted = f"{CALLBACK}?{query}notification-id={sent.key}"
    assert form(server.arrived[0])["StatusCallback"] == wanted


@pytest.mark.parametrize(
    ("options", "user"),
    [
        ({"AUTH_TOKEN": "hush"}, ACCOUNT),
        ({"API_KEY_SID": API_KEY, "API_KEY_SECRET": "hush"}, API_KEY),
    ],
)
def test_it_signs_in_with_the_token_or_a_key(server: Server, options: dict[str, str], user: str):
    server.behave = lambda _: created("SM7")
    options = {"ACCOUNT_SID": ACCOUNT, "FROM": FROM, "BASE_URL": server.url, **options}
    send(TwilioProvider("twilio", options, 5.0), to(TAKEN))
    [arrived] = server.arrived
    assert arrived.headers["Authorization"] == basic(user, "hush")
    assert f"/Accounts/{ACCOUNT}/" in arrived.path


def basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("options", "host"),
    [
        ({}, "api.twilio.com"),
        ({"EDGE": "dublin", "REGION": "ie1"}, "api.dublin.ie1.twilio.com"),
    ],
)
def test_an_edge_and_a_region_say_where_it_goes(
    server: Server, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], host: str
):
    """Seen by a proxy, which the request would have gone through."""
    monkeypatch.setenv("HTTPS_PROXY", server.url)
    monkeypatch.setenv("TWILIO_EDGE", "of-the-environment")
    outcomes = send(TwilioProvider("twilio", {**OPTIONS, **options}, 5.0), to(TAKEN))
    assert brief(outcomes) == [("transient", "connection_failed")]
    assert server.wanted == [f"{host}:443"]


def test_what_is_no_sms_never_leaves(server: Server, provider: TwilioProvider):
    half = to(TAKEN, body="half \ud83d")
    for wrong in (half, to("0664 123"), to(TAKEN, body=""), to(f"{TAKEN},{BUSY}")):
        assert brief(send(provider, wrong)) == [("permanent", "invalid_message")]
    assert not server.arrived


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"ACCOUNT_SID": "AC7"}, "ACCOUNT_SID"),
        ({"ACCOUNT_SID": None}, "ACCOUNT_SID"),
        ({"AUTH_TOKEN": None}, "AUTH_TOKEN"),
        ({"AUTH_TOKEN": ""}, "AUTH_TOKEN"),
        ({"API_KEY_SID": API_KEY}, "API_KEY_SECRET"),
        ({"FROM": None}, "MESSAGING_SERVICE_SID"),
        ({"MESSAGING_SERVICE_SID": SERVICE}, "FROM"),
        ({"FROM": "0664 123 45 67 89"}, "FROM"),
        ({"STATUS_CALLBACK": "/receipts"}, "STATUS_CALLBACK"),
        ({"EDGE": "x.evil.example/"}, "EDGE"),
        ({"BASE_URL": "https://proxy.example", "EDGE": "dublin"}, "EDGE"),
    ],
)
def test_unusable_options_are_reported(changes: dict[str, Any], word: str):
    options = {k: v for k, v in {**OPTIONS, **changes}.items() if v is not None}
    [problem] = TwilioProvider.problems(options)
    assert word in problem
    with pytest.raises(ImproperlyConfigured, match=word):
        TwilioProvider("twilio", options, 5.0)


@pytest.mark.parametrize("sender", [FROM, "12345", "Shop", "Shop & Co"])
def test_a_sender_is_a_number_a_short_code_or_a_name(sender: str):
    assert TwilioProvider.problems({**OPTIONS, "FROM": sender}) == []


def test_the_token_may_stand_beside_a_key():
    """Messages are sent with the key; callbacks are signed with the token."""
    key = {"API_KEY_SID": API_KEY, "API_KEY_SECRET": "x"}
    assert TwilioProvider.problems({**OPTIONS, **key}) == []


def test_a_secret_stays_out_of_problems():
    [problem] = TwilioProvider.problems({**OPTIONS, "AUTH_TOKEN": "hush hush"})
    assert "hush" not in problem


def test_nothing_is_said_of_the_message_even_when_everything_is_logged(
    provider: TwilioProvider, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO):
        send(provider, to(TAKEN), to(INVALID), to(LOST))
    assert "555" not in caplog.text
    assert ACCOUNT not in caplog.text
