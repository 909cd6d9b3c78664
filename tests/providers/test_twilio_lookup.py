"""Twilio, asked what became of a message: a server that lists as its documentation shows."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from notifications.enums import Channel, ReceiptState
from notifications.messages import Message, Outcome
from notifications.providers.twilio import TwilioProvider

from .conformance import CANARY, message
from .http_server import HANG, RESET, Answer, Server
from .test_twilio import ACCOUNT, FROM, OPTIONS, SERVICE, TAKEN, make

BEGAN = datetime(2030, 1, 31, 8, tzinfo=UTC)
SID = "SM" + "1" * 32

Listed = dict[str, Any]


def listed(**changes: Any) -> Listed:
    """https://www.twilio.com/docs/messaging/api/message-resource#message-properties"""
    known = {
        "account_sid": ACCOUNT,
        "body": f"{CANARY} body",
        "date_created": format_datetime(BEGAN + timedelta(seconds=1)),
        "date_sent": None,
        "direction": "outbound-api",
        "error_code": None,
        "from": FROM,
        "messaging_service_sid": None,
        "sid": SID,
        "status": "sent",
        "to": TAKEN,
    }
    return known | changes


class Books:
    """What Twilio has written down; `answer` instead, where that is set."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.answer: Answer | str | None = None

    def show(self, _: Any) -> Answer | str:
        page = {"messages": self.messages, "page": 0, "next_page_uri": None}
        return self.answer or Answer(200, json.dumps(page).encode())


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture
def server(books: Books) -> Iterator[Server]:
    with Server(books.show) as server:
        yield server


@pytest.fixture
def ask(server: Server) -> Iterator[Callable[..., Outcome | None]]:
    provider = make(server.url, timeout=1.0)
    yield lambda sent=None, began=BEGAN: provider.look_up(sent or sms(), began)
    provider.close()


def sms() -> Message:
    return message(Channel.SMS, TAKEN)


Ask = Callable[..., Outcome | None]


def test_it_can_be_asked_though_it_has_no_id_of_ours() -> None:
    assert (TwilioProvider.can_look_up, TwilioProvider.looks_up_by_content) == (True, True)


def test_what_twilio_has_is_accepted_under_its_id(ask: Ask, books: Books, server: Server) -> None:
    books.messages = [listed()]
    found = ask()
    assert found is not None
    assert (found.kind, found.provider_message_id) == ("accepted", SID)
    [asked] = server.arrived
    url = urlsplit(asked.path)
    assert url.path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    assert parse_qs(url.query) == {"To": [TAKEN], "PageSize": ["100"]}
    assert asked.headers["Authorization"].startswith("Basic ")


@pytest.mark.parametrize(
    ("status", "error", "kind", "code"),
    [
        ("queued", None, ReceiptState.ACCEPTED, ""),
        ("sending", None, ReceiptState.IN_TRANSIT, ""),
        ("delivered", None, ReceiptState.DELIVERED, ""),
        ("undelivered", 30003, ReceiptState.UNDELIVERED, "twilio_30003"),
        ("failed", 21610, ReceiptState.UNDELIVERED, "unsubscribed"),
    ],
)
def test_it_tells_what_became_of_it_as_a_callback_would(
    ask: Ask, books: Books, status: str, error: int | None, kind: ReceiptState, code: str
) -> None:
    books.messages = [listed(status=status, error_code=error)]
    found = ask()
    assert found is not None
    [receipt] = found.receipts
    assert (receipt.kind, receipt.code, receipt.event_id) == (kind, code, f"{SID}:{status}")


def test_a_word_that_is_not_known_says_no_more_than_that_it_has_it(ask: Ask, books: Books) -> None:
    books.messages = [listed(status="teleported")]
    found = ask()
    assert found is not None
    assert found.receipts == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"to": "+14155550199"},
        {"body": "another"},
        {"body": None},
        {"from": "+15005550007"},
        {"direction": "inbound"},
        {"sid": None},
        {"date_created": format_datetime(BEGAN - timedelta(seconds=6))},
        {"date_created": format_datetime(BEGAN + timedelta(seconds=7))},
        {"date_created": "Thu, 31 Jan 2030 08:00:00 -0000"},
        {"date_created": "soon"},
        {"date_created": None},
    ],
)
def test_what_differs_in_anything_is_another(
    ask: Ask, books: Books, changes: dict[str, Any]
) -> None:
    books.messages = [listed(**changes)]
    assert ask() is None
    books.messages.append(listed())
    assert ask() is not None


def test_of_two_that_fit_nobody_can_tell(ask: Ask, books: Books) -> None:
    books.messages = [listed(), listed(sid="SM2")]
    assert ask() is None


def test_its_absence_proves_nothing(ask: Ask) -> None:
    assert ask() is None


def test_a_messaging_service_is_known_by_its_id(server: Server, books: Books) -> None:
    options = {name: value for name, value in OPTIONS.items() if name != "FROM"}
    known = {**options, "MESSAGING_SERVICE_SID": SERVICE, "BASE_URL": server.url}
    provider = TwilioProvider("twilio", known, 1.0)
    books.messages = [listed(), listed(messaging_service_sid=SERVICE, sid="SM2", **{"from": None})]
    found = provider.look_up(sms(), BEGAN)
    assert found is not None
    assert found.provider_message_id == "SM2"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(401),
        Answer(429),
        Answer(500),
        Answer(200, b"<html>"),
        Answer(200, b"[]"),
        Answer(200, b'{"messages": 7}'),
        Answer(200, b'{"messages": [7, null, {}]}'),
        Answer(200, b'{"messages": [', missing=20),
        RESET,
        HANG,
    ],
)
def test_an_answer_that_says_nothing_is_no_answer(
    ask: Ask, books: Books, server: Server, answer: Answer | str
) -> None:
    books.answer = answer
    assert ask() is None
    assert len(server.arrived) == 1
