"""Events as providers post them to their webhooks: signed as documented they are read, or not."""

import hmac
import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from notifications.enums import ReceiptState
from notifications.exceptions import NotAuthentic, NotReceipts
from notifications.messages import ReceiptRequest, ReportedReceipt
from notifications.providers.anymail import AnymailProvider
from notifications.providers.anymail_receipts import AnymailReceipts

KEY = "key-that-mailgun-signs-with"
BASIC = "postmark:between-us"
ID = uuid4()
URL = "https://notify.example.com/receipts/mailgun"
MESSAGE_ID = "20130503182626.18666.16540@example.com"
AT = 1521243339.873676
JSON = {"content-type": "application/json"}


def mailgun_event(event: str = "delivered", **more: Any) -> dict[str, Any]:
    """https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-payloads"""
    return {
        "id": "Ase7i2zsRYeDXztHGENqRA",
        "timestamp": AT,
        "log-level": "info",
        "event": event,
        "message": {"headers": {"to": "Ada <ada@example.org>", "message-id": MESSAGE_ID}},
        "recipient": "ada@example.org",
        "user-variables": {"notification-id": str(ID)},
        "tags": [],
        **more,
    }


def mailgun(said: dict[str, Any], key: str = KEY, token: str = "a8ce0edb2dd8") -> ReceiptRequest:
    """https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks"""
    time = "1529006854"
    digest = hmac.digest(key.encode(), f"{time}{token}".encode(), "sha256").hex()
    signature = {"timestamp": time, "token": token, "signature": digest}
    body = json.dumps({"signature": signature, "event-data": said}).encode()
    return ReceiptRequest("POST", URL, JSON, body)


def from_mailgun(request: ReceiptRequest) -> list[ReportedReceipt]:
    return AnymailReceipts("mailgun", {"webhook_signing_key": KEY}).read(request)


def postmark(kind: str, **more: Any) -> ReceiptRequest:
    """https://postmarkapp.com/developer/webhooks/webhooks-overview"""
    said = {
        "RecordType": kind,
        "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
        "Recipient": "ada@example.org",
        "Metadata": {"notification-id": str(ID)},
        **more,
    }
    headers = {**JSON, "authorization": f"Basic {b64encode(BASIC.encode()).decode()}"}
    return ReceiptRequest("POST", URL, headers, json.dumps(said).encode())


def from_postmark(request: ReceiptRequest) -> list[ReportedReceipt]:
    return AnymailReceipts("postmark", {"webhook_secret": BASIC}).read(request)


def test_what_mailgun_signs_is_read() -> None:
    mark = blake2b(f"<{MESSAGE_ID}>:ada@example.org".encode(), digest_size=6).hexdigest()
    assert from_mailgun(mailgun(mailgun_event())) == [
        ReportedReceipt(
            ReceiptState.DELIVERED,
            f"<{MESSAGE_ID}>:delivered::{mark}",
            notification_id=ID,
            recipient="ada@example.org",
            provider_message_id=f"<{MESSAGE_ID}>",
            occurred_at=datetime.fromtimestamp(AT, UTC),
        )
    ]


def test_a_call_that_is_repeated_tells_of_the_same_event() -> None:
    told = [from_mailgun(mailgun(mailgun_event(), token=token)) for token in ("one", "two")]
    assert told[0] == told[1]


def test_recipients_of_one_message_are_events_of_their_own() -> None:
    """They have one id at many a provider, and what is told of one must not hide the other."""
    told = [
        from_mailgun(mailgun(mailgun_event(recipient=recipient)))[0]
        for recipient in ("ada@example.org", "bob@example.org", "Ada@Example.org")
    ]
    assert [each.recipient for each in told] == [
        "ada@example.org",
        "bob@example.org",
        "Ada@Example.org",
    ]
    ada, bob, again = (each.event_id for each in told)
    assert ada == again != bob
    assert "bob" not in bob


PERMANENT = {"severity": "permanent", "reason": "bounce"}
K = ReceiptState


@pytest.mark.parametrize(
    ("event", "more", "kind", "code"),
    [
        ("accepted", {}, K.ACCEPTED, ""),
        ("delivered", {}, K.DELIVERED, ""),
        ("failed", PERMANENT, K.BOUNCED, "bounce"),
        ("failed", {"severity": "permanent", "reason": "suppress-bounce"}, K.BOUNCED, "bounce"),
        ("failed", {"severity": "permanent", "reason": "old"}, K.UNDELIVERED, "undelivered"),
        ("failed", {"severity": "temporary", "reason": "generic"}, K.IN_TRANSIT, "delayed"),
        ("rejected", {"reject": {"reason": "virus"}}, K.UNDELIVERED, "rejected"),
        ("complained", {}, K.DELIVERED, "complaint"),
        ("unsubscribed", {}, K.IN_TRANSIT, "unsubscribed"),
        ("opened", {}, K.NONE, ""),
        ("clicked", {"url": "https://example.com"}, K.NONE, ""),
        ("teleported", {}, K.NONE, ""),
    ],
)
def test_each_event_of_mailgun_says_what_it_does(
    event: str, more: dict[str, Any], kind: ReceiptState, code: str
) -> None:
    [receipt] = from_mailgun(mailgun(mailgun_event(event, **more)))
    assert (receipt.kind, receipt.code, receipt.notification_id) == (kind, code, ID)


@pytest.mark.parametrize(
    ("kind", "more", "state", "code"),
    [
        ("Delivery", {"DeliveredAt": "2030-01-31T08:00:00Z"}, K.DELIVERED, ""),
        ("Bounce", {"Type": "HardBounce", "ID": 7}, K.BOUNCED, "bounce"),
        ("Bounce", {"Type": "SoftBounce", "ID": 7}, K.UNDELIVERED, "soft_bounce"),
        ("Bounce", {"Type": "Transient", "ID": 7}, K.IN_TRANSIT, "delayed"),
        ("Bounce", {"Type": "BadEmailAddress"}, K.BOUNCED, "bounce"),
        ("Bounce", {"Type": "Blocked"}, K.UNDELIVERED, "rejected"),
        ("Bounce", {"Type": "AutoResponder"}, K.NONE, ""),
        ("SpamComplaint", {"Type": "SpamComplaint"}, K.DELIVERED, "complaint"),
        ("SubscriptionChange", {"SuppressSending": True}, K.IN_TRANSIT, "unsubscribed"),
        ("Open", {}, K.NONE, ""),
        ("Click", {}, K.NONE, ""),
    ],
)
def test_each_event_of_postmark_says_what_it_does(
    kind: str, more: dict[str, Any], state: ReceiptState, code: str
) -> None:
    [receipt] = from_postmark(postmark(kind, **more))
    assert (receipt.kind, receipt.code, receipt.notification_id) == (state, code, ID)
    assert receipt.provider_message_id == "883953f4-6105-42a2-a16a-77a8eac79483"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"event": "soft_bounce"}, "soft_bounce"),
        ({"event": "hard_bounce"}, "bounce"),
        ({"event": "unsubscribe"}, "unsubscribed"),
        ({"event": "spam"}, "complaint"),
    ],
)
def test_where_our_id_is_a_tag_it_is_found_among_others(said: dict[str, str], code: str) -> None:
    """https://developers.brevo.com/docs/transactional-webhooks"""
    body = {
        "email": "ada@example.org",
        "message-id": "<201798300811.5787683@example.com>",
        "ts_epoch": 1604933654000,
        "tags": ["newsletter", str(ID)],
        **said,
    }
    headers = {**JSON, "authorization": f"Basic {b64encode(BASIC.encode()).decode()}"}
    request = ReceiptRequest("POST", URL, headers, json.dumps(body).encode())
    [receipt] = AnymailReceipts("brevo", {"webhook_secret": BASIC}).read(request)
    assert (receipt.code, receipt.notification_id) == (code, ID)


def test_mandrill_signs_the_address_we_are_known_by() -> None:
    """https://mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks"""
    event = {"event": "send", "ts": 1461095250, "_id": "abcdef", "msg": {"_id": "abcdef"}}
    event["msg"] |= {"metadata": {"notification-id": str(ID)}, "email": "ada@example.org"}
    form = {"mandrill_events": json.dumps([event, event | {"event": "open"}])}
    signed = URL + "".join(name + value for name, value in form.items())
    signature = b64encode(hmac.digest(b"secret", signed.encode(), "sha1")).decode()
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "x-mandrill-signature": signature,
    }
    request = ReceiptRequest("POST", URL, headers, urlencode(form).encode())
    receipts = AnymailReceipts("mandrill", {"webhook_key": "secret", "webhook_url": URL})
    sent, opened = receipts.read(request)
    assert (sent.kind, sent.notification_id, opened.kind) == (K.IN_TRANSIT, ID, K.NONE)
    with pytest.raises(NotAuthentic):
        receipts.read(replace(request, body=request.body + b"&a=b"))


def signature(**changes: str) -> Callable[[ReceiptRequest], ReceiptRequest]:
    def change(request: ReceiptRequest) -> ReceiptRequest:
        said = json.loads(request.body)
        said["signature"] |= changes
        return replace(request, body=json.dumps(said).encode())

    return change


def body(text: bytes) -> Callable[[ReceiptRequest], ReceiptRequest]:
    return lambda request: replace(request, body=text)


FORM = {"content-type": "application/x-www-form-urlencoded"}

TAMPERED: dict[str, Callable[[ReceiptRequest], ReceiptRequest]] = {
    "another token": signature(token="another"),
    "another time": signature(timestamp="1529006855"),
    "another signature": signature(signature="0" * 64),
    "an empty signature": signature(signature=""),
    "a signature that is no text of ours": signature(signature="é☃"),
    "a token that is no text of ours": signature(token="é☃"),
    "another key": lambda _: mailgun(mailgun_event(), key="another"),
    "no signature": body(json.dumps({"event-data": mailgun_event()}).encode()),
    "nothing": body(b""),
    "a list": body(b"[]"),
    "a number": body(b"7"),
    "no JSON": body(b"\xff\xfe"),
    "nested beyond sense": body(b"[" * 100_000),
    "a form": lambda r: replace(r, headers=FORM),
    "thousands of fields": lambda r: replace(r, headers=FORM, body=b"a=1&" * 5000),
    "no type": lambda r: replace(r, headers={}),
}


@pytest.mark.parametrize("tampered", TAMPERED)
def test_what_is_tampered_with_is_refused(tampered: str) -> None:
    with pytest.raises(NotAuthentic):
        from_mailgun(TAMPERED[tampered](mailgun(mailgun_event())))


@pytest.mark.parametrize("shown", ["", "Basic", "Basic eDp5", "Bearer x", "Basic é☃"])
def test_who_does_not_know_the_password_is_refused(shown: str) -> None:
    asked = postmark("Delivery")
    with pytest.raises(NotAuthentic):
        from_postmark(replace(asked, headers={**JSON, "authorization": shown}))
    with pytest.raises(NotAuthentic):
        from_postmark(replace(asked, headers=JSON))


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"event": None},
        {"event": "delivered", "timestamp": "soon"},
        {"event": "delivered", "user-variables": [], "tags": 7, "message": {"headers": {}}},
        {"event": "delivered", "user-variables": {"notification-id": 7}, "timestamp": 1e30},
        {"event": "failed", "delivery-status": 7, "severity": []},
    ],
)
def test_whatever_is_signed_is_read_without_an_error(said: dict[str, Any]) -> None:
    assert [r for r in from_mailgun(mailgun(said)) if r.kind] == []


def test_what_cannot_be_told_from_a_stranger_s_is_not_read() -> None:
    """Without a password Anymail itself would take whatever comes."""
    with pytest.raises(NotReceipts, match="webhook_secret"), pytest.warns(match="insecure"):
        AnymailReceipts("postmark", {})
    with pytest.raises(NotReceipts, match="webhook_secret"), pytest.warns():
        AnymailReceipts("sendgrid", {})


def test_only_a_provider_that_is_set_up_for_them_reads_receipts() -> None:
    options = {"ESP": "mailgun", "FROM": "shop@example.com", "SETTINGS": {"api_key": KEY}}
    silent = AnymailProvider("mailgun", options, 5.0)
    assert not silent.reports_delivery
    with pytest.raises(NotReceipts):
        silent.read_receipts(mailgun(mailgun_event()))
    with_them = AnymailProvider(
        "mailgun", {**options, "RECEIPTS": {"webhook_signing_key": KEY}}, 5.0
    )
    assert with_them.reports_delivery
    assert len(with_them.read_receipts(mailgun(mailgun_event()))) == 1
