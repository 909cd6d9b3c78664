"""Twilio's callbacks: what its own library signs is taken, and nothing else is."""

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from twilio.request_validator import RequestValidator

from notifications.enums import ReceiptState
from notifications.exceptions import NotAuthentic, NotReceipts
from notifications.messages import ReceiptRequest, ReportedReceipt
from notifications.providers import twilio_receipts

ACCOUNT = "AC" + "0" * 32
TOKEN = "auth-token-of-the-account"
SID = "SM" + "1" * 32
ID = uuid4()
URL = f"https://notify.example.com/receipts/twilio?notification-id={ID}"

FORM = {
    "AccountSid": ACCOUNT,
    "ApiVersion": "2010-04-01",
    "From": "+14155550123",
    "MessageSid": SID,
    "MessageStatus": "delivered",
    "SmsSid": SID,
    "SmsStatus": "delivered",
    "To": "+14155550124",
}


def call(
    form: dict[str, str], url: str = URL, token: str = TOKEN, body: str = ""
) -> ReceiptRequest:
    signature = RequestValidator(token).compute_signature(url, form)
    headers = {"x-twilio-signature": signature}
    return ReceiptRequest("POST", url, headers, urlencode(form).encode())


def read(request: ReceiptRequest) -> list[ReportedReceipt]:
    return twilio_receipts.read(request, ACCOUNT, TOKEN)


def status(word: str, **more: str) -> ReportedReceipt:
    [receipt] = read(call({**FORM, "MessageStatus": word, **more}))
    return receipt


def test_what_twilio_signs_is_read() -> None:
    assert read(call(FORM)) == [
        ReportedReceipt(
            ReceiptState.DELIVERED,
            f"{SID}:delivered",
            notification_id=ID,
            provider_message_id=SID,
        )
    ]


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("queued", ReceiptState.ACCEPTED),
        ("sending", ReceiptState.IN_TRANSIT),
        ("sent", ReceiptState.IN_TRANSIT),
        ("read", ReceiptState.DELIVERED),
        ("undelivered", ReceiptState.UNDELIVERED),
        ("failed", ReceiptState.UNDELIVERED),
        ("teleported", ReceiptState.NONE),
        ("", ReceiptState.NONE),
    ],
)
def test_a_status_is_a_kind(word: str, kind: ReceiptState) -> None:
    assert status(word).kind is kind


@pytest.mark.parametrize(
    ("number", "code"),
    [("30003", "twilio_30003"), ("21610", "unsubscribed"), ("", ""), ("٣", ""), ("x", "")],
)
def test_the_error_says_why(number: str, code: str) -> None:
    assert status("undelivered", ErrorCode=number).code == code


def test_what_is_delivered_has_no_error() -> None:
    assert status("delivered", ErrorCode="30003").code == ""


def test_more_fields_than_are_known_do_no_harm() -> None:
    assert read(call({**FORM, "RawDlrDoneDate": "2611221200", "Ünknown": "ä\n☃"}))


@pytest.mark.parametrize("query", ["", "?notification-id=7", "?notification-id="])
def test_without_our_id_there_is_twilio_s_own(query: str) -> None:
    [receipt] = read(call(FORM, f"https://notify.example.com/receipts/twilio{query}"))
    assert (receipt.notification_id, receipt.provider_message_id) == (None, SID)


def test_the_port_may_be_named_or_not() -> None:
    named = call(FORM, URL.replace(".com/", ".com:443/"))
    assert read(replace(named, url=URL))


def body(**changes: str) -> Callable[[ReceiptRequest], ReceiptRequest]:
    return lambda request: replace(request, body=urlencode({**FORM, **changes}).encode())


def signature(value: str) -> Callable[[ReceiptRequest], ReceiptRequest]:
    return lambda request: replace(request, headers={"x-twilio-signature": value})


TAMPERED: dict[str, Callable[[ReceiptRequest], ReceiptRequest]] = {
    "another status": body(MessageStatus="failed"),
    "another message": body(MessageSid="SM" + "2" * 32),
    "a field more": body(ErrorCode="30003"),
    "a field twice": lambda r: replace(r, body=r.body + b"&MessageStatus=failed"),
    "a field less": lambda r: replace(r, body=r.body.partition(b"&")[2]),
    "nothing": lambda r: replace(r, body=b""),
    "JSON": lambda r: replace(r, body=b'{"MessageStatus": "delivered"}'),
    "bytes that are no form": lambda r: replace(r, body=b"\xff\xfe\x00"),
    "thousands of fields": lambda r: replace(r, body=b"a=1&" * 5000 + r.body),
    "another notification": lambda r: replace(r, url=URL.replace(str(ID), str(uuid4()))),
    "another host": lambda r: replace(r, url=URL.replace("notify.", "evil.")),
    "plain HTTP": lambda r: replace(r, url=URL.replace("https:", "http:")),
    "no signature": lambda r: replace(r, headers={}),
    "an empty signature": signature(""),
    "a signature that is no text of ours": signature("é☃"),
    "an endless signature": signature("A" * 10_000),
    "a signature cut short": lambda r: signature(r.headers["x-twilio-signature"][:-1])(r),
    "another token": lambda _: call(FORM, token="another-token"),
    "another account": lambda _: call({**FORM, "AccountSid": "AC" + "9" * 32}),
}


@pytest.mark.parametrize("tampered", TAMPERED)
def test_what_is_tampered_with_is_refused(tampered: str) -> None:
    with pytest.raises(NotAuthentic):
        read(TAMPERED[tampered](call(FORM)))


def test_without_a_token_or_an_address_nothing_can_be_judged() -> None:
    with pytest.raises(NotReceipts):
        twilio_receipts.read(call(FORM), ACCOUNT, "")
    with pytest.raises(NotReceipts):
        read(replace(call(FORM), url=""))
