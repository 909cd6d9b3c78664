"""Webhooks, at a real server over TLS: what is sent, how it is signed, what answers come to."""

import json
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils.http import http_date
from standardwebhooks import Webhook, WebhookVerificationError
from uuid_utils.compat import uuid7

from notifications.enums import Channel, ReceiptState
from notifications.messages import Message, Outcome
from notifications.providers.webhook import WebhookProvider
from tests.providers.conformance import (
    WAIT_SECONDS,
    Lacks,
    ProviderConformance,
    message,
    send,
)
from tests.providers.receiver import Receiver, serving, trusted
from tests.providers.test_egress import INWARD

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    with trusted(tmp_path_factory.mktemp("ca")) as tls, serving(tls) as server:
        yield server


@pytest.fixture(autouse=True)
def _nothing_has_arrived(receiver: Receiver) -> None:
    receiver.arrived.clear()


@pytest.fixture
def provider(receiver: Receiver, settings: Any) -> WebhookProvider:
    settings.NOTIFICATIONS = {"WEBHOOK_LOOPBACK": True}
    return WebhookProvider("webhook", {}, timeout=1)


@pytest.fixture
def impatient(provider: WebhookProvider) -> WebhookProvider:
    return WebhookProvider("webhook", {}, timeout=0.5)


def webhook(url: str, **values: Any) -> Message:
    return replace(
        message(Channel.WEBHOOK, url), **{"key": str(uuid7()), "secrets": (SECRET,), **values}
    )


class TestConformance(ProviderConformance):
    judged = WebhookProvider

    @pytest.fixture(autouse=True)
    def _receiver(self, receiver: Receiver) -> None:
        self.url = receiver.url

    def accepted(self) -> Message:
        return webhook(self.url())

    def transient(self) -> Message:
        return webhook(self.url("/status/500"))

    def permanent(self) -> Message:
        return webhook(self.url("/status/410"))

    def throttled(self) -> Message:
        return webhook(self.url("/status/429"))

    def throttled_for_long(self) -> Message:
        return webhook(self.url(f"/status/429?Retry-After={WAIT_SECONDS:.0f}"))

    def credentials(self) -> Lacks:
        return Lacks("a receiver is shown a signature, and whatever it answers is about that alone")

    def silent(self) -> Message:
        return webhook(self.url("/hang"))

    def cut(self) -> Message:
        return webhook(self.url("/drop"))

    def malformed(self) -> Message:
        return webhook(self.url("/garble"))


# What is sent


def test_the_body_says_what_happened_when_and_with_what(
    provider: WebhookProvider, receiver: Receiver
) -> None:
    content = {"event": "order.shipped", "payload": {"order": 7, "to": "Zoë"}}
    sent = webhook(receiver.url(), content=content)
    began = datetime.now(UTC)
    send(provider, sent)
    [arrived] = receiver.arrived
    body = json.loads(arrived.body)
    assert (body["type"], body["data"]) == ("order.shipped", {"order": 7, "to": "Zoë"})
    assert abs(datetime.fromisoformat(body["timestamp"]) - began) < timedelta(seconds=10)
    assert arrived.headers["content-type"] == "application/json"
    assert arrived.headers["user-agent"]
    assert arrived.headers["webhook-id"] == sent.key


def test_without_an_event_there_is_no_type(provider: WebhookProvider, receiver: Receiver) -> None:
    send(provider, webhook(receiver.url(), content={"payload": None}))
    assert set(json.loads(receiver.arrived[0].body)) == {"timestamp", "data"}


def test_every_attempt_has_the_same_id_and_body_and_its_own_time(
    provider: WebhookProvider, receiver: Receiver
) -> None:
    sent = webhook(receiver.url())
    send(provider, sent)
    time.sleep(1.1)
    send(provider, replace(sent, attempt=2))
    first, second = receiver.arrived
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-timestamp"] < second.headers["webhook-timestamp"]


# Signatures


@pytest.mark.parametrize("secret", [SECRET, OTHER_SECRET])
def test_receivers_verify_it_with_any_live_secret(
    provider: WebhookProvider, receiver: Receiver, secret: str
) -> None:
    send(provider, webhook(receiver.url(), secrets=(SECRET, OTHER_SECRET)))
    [arrived] = receiver.arrived
    assert Webhook(secret).verify(arrived.body, arrived.headers) == json.loads(arrived.body)


def test_what_was_changed_or_signed_by_another_is_not_verified(
    provider: WebhookProvider, receiver: Receiver
) -> None:
    send(provider, webhook(receiver.url()))
    [arrived] = receiver.arrived
    for secret, body in ((SECRET, arrived.body + b" "), (OTHER_SECRET, arrived.body)):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, arrived.headers)


# Answers


@pytest.mark.parametrize(
    ("path", "kind", "code"),
    [
        ("/status/200", "accepted", ""),
        ("/status/204", "accepted", ""),
        ("/status/299", "accepted", ""),
        ("/status/301?Location=https://localhost/elsewhere", "transient", "http_301"),
        ("/status/304", "transient", "http_304"),
        ("/status/400", "transient", "http_400"),
        ("/status/401", "transient", "http_401"),
        ("/status/404", "transient", "http_404"),
        ("/status/410", "permanent", "gone"),
        ("/status/429", "throttled", "http_429"),
        ("/status/500", "transient", "http_500"),
        ("/status/503", "transient", "http_503"),
        ("/drop", "ambiguous", "connection_lost"),
        ("/hang", "ambiguous", "timeout"),
    ],
)
def test_each_answer_is_sorted(
    provider: WebhookProvider, receiver: Receiver, path: str, kind: str, code: str
) -> None:
    [outcome] = send(provider, webhook(receiver.url(path)))
    if path == "/drop":
        code = outcome.code if outcome.code == "malformed_answer" else code
    assert (outcome.kind, outcome.code) == (kind, code)
    assert receiver.paths() == [path]


def test_a_2xx_says_delivered(provider: WebhookProvider, receiver: Receiver) -> None:
    sent = webhook(receiver.url(), attempt=3)
    [outcome] = send(provider, sent)
    [receipt] = outcome.receipts
    assert outcome.provider_message_id == sent.key
    assert receipt.kind is ReceiptState.DELIVERED
    assert receipt.event_id.startswith(f"{sent.key}:3")


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("said", "wish"),
    [
        ("17", 17),
        ("0", 0),
        ("1000000000", 3600),
        ("99999999999999999999999", None),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("soon", None),
        ("", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
    ],
)
def test_a_wish_to_wait_is_heard_where_it_is_one(
    provider: WebhookProvider, receiver: Receiver, status: int, said: str, wish: float | None
) -> None:
    [outcome] = send(provider, webhook(receiver.url(f"/status/{status}?{_query(said)}")))
    assert outcome.retry_after == wish


def test_a_date_to_wait_for_is_heard(provider: WebhookProvider, receiver: Receiver) -> None:
    said = http_date(time.time() + 120)
    [outcome] = send(provider, webhook(receiver.url(f"/status/429?{_query(said)}")))
    assert outcome.retry_after is not None
    assert 100 < outcome.retry_after <= 121


def test_others_are_not_asked_when_to_come_back(
    provider: WebhookProvider, receiver: Receiver
) -> None:
    [outcome] = send(provider, webhook(receiver.url("/status/500?Retry-After=9")))
    assert outcome.retry_after is None


def _query(said: str) -> str:
    return "Retry-After=" + said.replace(" ", "%20").replace("٣", "%C2%B3")


# What is never reached


def test_without_a_secret_nothing_is_sent(provider: WebhookProvider, receiver: Receiver) -> None:
    [outcome] = send(provider, webhook(receiver.url(), secrets=()))
    assert (outcome.kind, outcome.code) == ("permanent", "endpoint_disabled")
    assert receiver.arrived == []


@pytest.mark.parametrize("path", ["https://localhost:{}/", "http://127.0.0.1:{}/"])
def test_a_url_that_would_not_be_accepted_is_not_sent_to(
    receiver: Receiver, settings: Any, path: str
) -> None:
    settings.NOTIFICATIONS = {}
    provider = WebhookProvider("webhook", {}, timeout=1)
    [outcome] = send(provider, webhook(path.format(receiver.server_port)))
    assert (outcome.kind, outcome.code) == ("permanent", "invalid_url")
    assert receiver.arrived == []


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["93.184.216.34", "127.0.0.1"], ["::1"]])
def test_a_public_name_that_leads_inward_gets_no_connection(
    receiver: Receiver, settings: Any, monkeypatch: pytest.MonkeyPatch, addresses: list[str]
) -> None:
    settings.NOTIFICATIONS = {}
    monkeypatch.setattr("notifications.addresses.URL_PORTS", {receiver.server_port})
    provider = WebhookProvider("webhook", {}, timeout=1)
    provider._egress._resolve = lambda host, port: addresses
    before = receiver.connections
    [outcome] = send(provider, webhook(f"https://hooks.example.com:{receiver.server_port}/"))
    assert (outcome.kind, outcome.code) == ("permanent", "connect_blocked")
    assert receiver.connections == before


def test_a_redirect_inward_is_not_followed(provider: WebhookProvider, receiver: Receiver) -> None:
    path = f"/status/302?Location=https://127.0.0.1:{receiver.server_port}/status/200"
    [outcome] = send(provider, webhook(receiver.url(path)))
    assert outcome.code == "http_302"
    assert len(receiver.arrived) == 1


def test_a_certificate_of_another_name_is_refused(tmp_path: Path, settings: Any) -> None:
    settings.NOTIFICATIONS = {"WEBHOOK_LOOPBACK": True}
    with trusted(tmp_path, "elsewhere.example.com") as tls, serving(tls) as server:
        provider = WebhookProvider("webhook", {}, timeout=1)
        [outcome] = send(provider, webhook(server.url()))
        assert (outcome.kind, outcome.code) == ("transient", "tls_error")
        assert server.arrived == []


def test_nobody_there_is_tried_again(provider: WebhookProvider) -> None:
    [outcome] = send(provider, webhook("http://localhost:1/"))
    assert (outcome.kind, outcome.code) == ("transient", "connect_error")


INWARD_URLS = [
    *(f"https://[{a}]" if ":" in a else f"https://{a}" for a in INWARD),
    *(
        f"https://{host}"
        for host in (
            "0",
            "0x7f000001",
            "0X7F.0.0.1",
            "0177.0.0.1",
            "127.0.0.1.",
            "127.0.1",
            "LOCALHOST",
            "localhost.",
            "localhost.localdomain",
            "a.localhost",
            "127.0.0.1.nip.example.com",
            "hooks.example.com",
            "xn--localhost.example.com",
            "user@localhost",
            "hooks.example.com@127.0.0.1",
            "127.0.0.1%2f.example.com",
            "%31%32%37.0.0.1",
            "[::ffff:127.0.0.1]",
            "[0:0:0:0:0:ffff:7f00:1]",
            "[::1%25lo]",
        )
    ),
    "http://127.0.0.1",
    "http://hooks.example.com",
    "gopher://127.0.0.1",
    "https:127.0.0.1",
    "//127.0.0.1",
]


def numeric_or_loopback(host: str, port: int) -> list[str]:
    """What is an address in any spelling that the system knows; every name leads to loopback."""
    try:
        found = socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST)
    except OSError:
        return ["127.0.0.1"]
    return [str(entry[4][0]) for entry in found]


def test_no_form_of_an_address_reaches_what_listens_on_loopback(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixty at least, sent as if each had been accepted."""
    settings.NOTIFICATIONS = {}
    assert len(set(INWARD_URLS)) >= 60
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        monkeypatch.setattr("notifications.addresses.URL_PORTS", {port})
        provider = WebhookProvider("webhook", {}, timeout=1)
        monkeypatch.setattr(provider._egress, "_resolve", numeric_or_loopback)
        outcomes = send(provider, *(webhook(f"{url}:{port}/") for url in INWARD_URLS))
        listener.settimeout(0.1)
        with pytest.raises(TimeoutError):  # nobody has come
            listener.accept()
    assert {outcome.kind for outcome in outcomes} == {"permanent"}
    assert {outcome.code for outcome in outcomes} == {"invalid_url", "connect_blocked"}


def test_a_window_is_sent_at_the_same_time(provider: WebhookProvider, receiver: Receiver) -> None:
    began = time.monotonic()
    outcomes: list[Outcome] = send(provider, *(webhook(receiver.url("/hang")) for _ in range(8)))
    assert {outcome.code for outcome in outcomes} == {"timeout"}
    assert time.monotonic() - began < 4
