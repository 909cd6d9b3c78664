"""SES's events over SNS, signed by a certificate made here and served by a double of the web."""

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from notifications.enums import ReceiptState
from notifications.exceptions import NotAuthentic, NotJudged, NotReceipts
from notifications.messages import ReceiptRequest, ReportedReceipt
from notifications.providers.ses_receipts import SIGNED, SESReceipts
from notifications.providers.sns import FetchFailed, NotThere

TOPIC = "arn:aws:sns:eu-west-1:123456789012:ses-events"
HOST = "https://sns.eu-west-1.amazonaws.com"
CERTIFICATE = f"{HOST}/SimpleNotificationService-0123456789abcdef.pem"
ID = uuid4()


@cache
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(key: Any) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Web:
    """Serves what it is given, and remembers what it was asked for."""

    def __init__(self, pages: dict[str, bytes | Exception] | None = None) -> None:
        self.pages = pages or {CERTIFICATE: certificate(key())}
        self.asked: list[str] = []

    def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        page = self.pages.get(url, NotThere("it answered 404"))
        if isinstance(page, Exception):
            raise page
        return page


def envelope(message: Any = "", version: str = "2", **changes: Any) -> dict[str, Any]:
    """What SNS posts, signed."""
    said = {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Message": message if isinstance(message, str) else json.dumps(message),
        "Timestamp": "2026-11-22T12:00:00.000Z",
        "SignatureVersion": version,
        "SigningCertURL": CERTIFICATE,
        **changes,
    }
    return {**said, "Signature": signature(said)}


def signature(said: dict[str, Any]) -> str:
    text = "".join(f"{n}\n{said[n]}\n" for n in SIGNED[said["Type"]] if n in said)
    algorithm = hashes.SHA1() if said["SignatureVersion"] == "1" else hashes.SHA256()
    return b64encode(key().sign(text.encode(), padding.PKCS1v15(), algorithm)).decode()


def event(name: str, key: str = "eventType", **more: Any) -> dict[str, Any]:
    mail = {"messageId": "0102-ses", "tags": {"notification-id": [str(ID)]}}
    return {key: name, "mail": mail, **more}


def bounce(type: str, key: str = "eventType") -> dict[str, Any]:
    return event("Bounce", key, bounce={"bounceType": type})


def read(said: Any, web: Web | None = None) -> list[ReportedReceipt]:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return SESReceipts([TOPIC], web or Web()).read(ReceiptRequest("POST", "", {}, body))


@pytest.mark.parametrize("version", ["1", "2"])
def test_what_sns_signs_is_read(version: str) -> None:
    delivery = event("Delivery", delivery={"timestamp": "2026-11-22T11:59:58.123Z"})
    assert read(envelope(delivery, version)) == [
        ReportedReceipt(
            ReceiptState.DELIVERED,
            "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            datetime(2026, 11, 22, 11, 59, 58, 123000, UTC),
            notification_id=ID,
            provider_message_id="0102-ses",
        )
    ]


@pytest.mark.parametrize(
    ("said", "kind", "code"),
    [
        (event("Send", send={}), ReceiptState.ACCEPTED, ""),
        (event("DeliveryDelay"), ReceiptState.IN_TRANSIT, "delayed"),
        (bounce("Permanent"), ReceiptState.BOUNCED, "bounce"),
        (bounce("Permanent", "notificationType"), ReceiptState.BOUNCED, "bounce"),
        (bounce("Transient"), ReceiptState.UNDELIVERED, "soft_bounce"),
        (bounce("Undetermined"), ReceiptState.UNDELIVERED, "soft_bounce"),
        (event("Complaint"), ReceiptState.DELIVERED, "complaint"),
        (
            event("Complaint", complaint={"complaintSubType": "OnAccountSuppressionList"}),
            ReceiptState.UNDELIVERED,
            "complaint",
        ),
        (event("Reject"), ReceiptState.UNDELIVERED, "rejected"),
        (event("Open"), ReceiptState.NONE, ""),
        (event("Click"), ReceiptState.NONE, ""),
        ("Successfully validated SNS topic", ReceiptState.NONE, ""),
        ([7], ReceiptState.NONE, ""),
        (event("Delivery", delivery=7), ReceiptState.DELIVERED, ""),
        ({"eventType": {}, "mail": []}, ReceiptState.NONE, ""),
    ],
)
def test_an_event_is_a_kind_with_a_reason(said: Any, kind: ReceiptState, code: str) -> None:
    [receipt] = read(envelope(said))
    assert (receipt.kind, receipt.code) == (kind, code)


ADA, BOB = "ada@example.com", "bob@example.org"


@pytest.mark.parametrize(
    "said",
    [
        event("Delivery", delivery={"recipients": [ADA]}),
        event("Bounce", bounce={"bouncedRecipients": [{"emailAddress": ADA, "status": "5.1.1"}]}),
        event("Complaint", complaint={"complainedRecipients": [{"emailAddress": ADA}]}),
        event("DeliveryDelay", deliveryDelay={"delayedRecipients": [{"emailAddress": ADA}]}),
    ],
)
def test_whom_an_event_names_is_told(said: Any) -> None:
    [receipt] = read(envelope(said))
    assert (receipt.recipient, receipt.event_id) == (ADA, envelope()["MessageId"])
    assert ADA not in repr(receipt)


def test_an_event_that_names_several_is_told_of_each() -> None:
    both = [{"emailAddress": ADA}, {"emailAddress": BOB}, {"emailAddress": ADA}]
    hard = {"bounceType": "Permanent", "bouncedRecipients": both}
    told = read(envelope(event("Bounce", bounce=hard)))
    id = envelope()["MessageId"]
    assert [(r.recipient, r.event_id, r.code) for r in told] == [
        (ADA, f"{id}:1", "bounce"),
        (BOB, f"{id}:2", "bounce"),
    ]


def test_of_several_who_may_have_complained_none_is_said_to_have() -> None:
    """Whoever complains is hidden by most: all whom the message went to there are named."""
    both = [{"emailAddress": ADA}, {"emailAddress": BOB}]
    [receipt] = read(envelope(event("Complaint", complaint={"complainedRecipients": both})))
    assert (receipt.recipient, receipt.code) == ("", "complaint")
    assert receipt.kind is ReceiptState.IN_TRANSIT


@pytest.mark.parametrize("listed", [7, {}, [], [7, None, {}, {"emailAddress": 7}, [ADA], ""]])
def test_names_that_are_none_are_passed_over(listed: Any) -> None:
    [receipt] = read(envelope(event("Bounce", bounce={"bouncedRecipients": listed})))
    assert (receipt.recipient, receipt.code) == ("", "soft_bounce")


@pytest.mark.parametrize("tags", [None, [], {}, {"notification-id": []}, {"notification-id": [7]}])
def test_without_our_tag_there_is_ses_s_own_id(tags: Any) -> None:
    said = event("Delivery")
    said["mail"]["tags"] = tags
    [receipt] = read(envelope(said))
    assert (receipt.notification_id, receipt.provider_message_id) == (None, "0102-ses")


def test_a_certificate_is_fetched_once() -> None:
    web = Web()
    receipts = SESReceipts([TOPIC], web)
    for _ in range(3):
        receipts.read(ReceiptRequest("POST", "", {}, json.dumps(envelope()).encode()))
    assert web.asked == [CERTIFICATE]


FORGED: dict[str, Callable[[], Any]] = {
    "another message": lambda: {**envelope(), "Message": "other"},
    "another topic": lambda: envelope(TopicArn=TOPIC + "-of-somebody-else"),
    "no topic": lambda: {k: v for k, v in envelope().items() if k != "TopicArn"},
    "a subject more": lambda: {**envelope(), "Subject": "x"},
    "no signature": lambda: {**envelope(), "Signature": ""},
    "a signature that is no base64": lambda: {
        **envelope(),
        "Signature": envelope()["Signature"][:8] + "!!" + envelope()["Signature"][8:],
    },
    "another version": lambda: {**envelope(version="1"), "SignatureVersion": "2"},
    "an unknown version": lambda: {**envelope(), "SignatureVersion": "3"},
    "an unknown type": lambda: {**envelope(), "Type": "Nonsense"},
    "no JSON": lambda: b"\xff",
    "an event without an envelope": lambda: event("Delivery"),
    "a list": lambda: [envelope()],
}


@pytest.mark.parametrize("forged", FORGED)
def test_what_sns_has_not_signed_is_refused(forged: str) -> None:
    with pytest.raises(NotAuthentic):
        read(FORGED[forged]())


@pytest.mark.parametrize(
    "url",
    [
        CERTIFICATE.replace("https:", "http:"),
        CERTIFICATE.replace("sns.", "s3."),
        CERTIFICATE.replace(".com/", ".com.evil.example/"),
        CERTIFICATE.replace(".com/", ".com:8443/"),
        CERTIFICATE.replace(".com/", ".com:443/"),
        CERTIFICATE.replace("https://", "https://evil.example@"),
        CERTIFICATE.replace("https://", "https://evil.example\\@"),
        CERTIFICATE.replace("https://", "https://evil.example#"),
        CERTIFICATE.replace("eu-west-1.", "evil.example/"),
        CERTIFICATE.replace("eu-west-1", "eu-west-1\n"),
        CERTIFICATE + "\n",
        f"{HOST}/evil.pem",
        f"{HOST}/SimpleNotificationService-1/../evil.pem",
        "https://[::1",
        "https://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "",
    ],
)
def test_nobody_else_s_certificate_is_asked_for(url: str) -> None:
    web = Web({url: certificate(key())})
    with pytest.raises(NotAuthentic):
        read(envelope(SigningCertURL=url), web)
    assert web.asked == []


@pytest.mark.parametrize(
    "host", ["sns.us-gov-west-1.amazonaws.com", "sns.cn-north-1.amazonaws.com.cn"]
)
def test_sns_is_in_many_places(host: str) -> None:
    url = CERTIFICATE.replace("sns.eu-west-1.amazonaws.com", host)
    assert read(envelope(SigningCertURL=url), Web({url: certificate(key())}))


def test_a_certificate_that_is_none_or_another_s_is_refused() -> None:
    others = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    curve = ec.generate_private_key(ec.SECP256R1())
    for page in (b"nonsense", certificate(others), certificate(curve), NotThere()):
        with pytest.raises(NotAuthentic):
            read(envelope(), Web({CERTIFICATE: page}))


def test_while_certificates_are_away_it_is_to_be_sent_again() -> None:
    web = Web({CERTIFICATE: FetchFailed("TimeoutError")})
    with pytest.raises(NotJudged):
        read(envelope(), web)


def test_a_flood_of_made_up_certificates_asks_for_few() -> None:
    web = Web()
    receipts = SESReceipts([TOPIC], web)

    def post(url: str) -> None:
        body = json.dumps(envelope(SigningCertURL=url)).encode()
        receipts.read(ReceiptRequest("POST", "", {}, body))

    post(CERTIFICATE)
    for number in range(50):
        with pytest.raises((NotAuthentic, NotJudged)):
            post(f"{HOST}/SimpleNotificationService-{number}.pem")
    assert len(web.asked) <= 5
    post(CERTIFICATE)


# Subscriptions

CONFIRM = f"{HOST}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=abc"


def confirmation(url: str = CONFIRM, **changes: Any) -> dict[str, Any]:
    given = {"Type": "SubscriptionConfirmation", "Token": "abc", "SubscribeURL": url}
    return envelope("You have chosen to subscribe", **given | changes)


def test_a_subscription_to_our_topic_is_confirmed() -> None:
    web = Web({CERTIFICATE: certificate(key()), CONFIRM: b"<ok/>"})
    assert read(confirmation(), web) == []
    assert web.asked == [CERTIFICATE, CONFIRM]


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/?Action=ConfirmSubscription",
        "http://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription",
        f"{HOST}/elsewhere?Action=ConfirmSubscription",
        "http://169.254.169.254/latest/meta-data/",
    ],
)
def test_only_sns_itself_is_asked_to_confirm(url: str) -> None:
    web = Web()
    with pytest.raises(NotAuthentic):
        read(confirmation(url), web)
    assert web.asked == [CERTIFICATE]


def test_a_subscription_to_another_s_topic_is_refused_before_anything_is_asked_for() -> None:
    web = Web()
    with pytest.raises(NotAuthentic):
        read(confirmation(TopicArn="arn:aws:sns:eu-west-1:666:evil"), web)
    assert web.asked == []


def test_a_forged_subscription_asks_for_no_confirmation() -> None:
    web = Web()
    with pytest.raises(NotAuthentic):
        read({**confirmation(), "Token": "other"}, web)
    assert web.asked == [CERTIFICATE]


def test_a_confirmation_that_fails_is_to_be_sent_again() -> None:
    web = Web({CERTIFICATE: certificate(key()), CONFIRM: FetchFailed("it answered 500")})
    with pytest.raises(NotJudged):
        read(confirmation(), web)


def test_the_end_of_a_subscription_says_nothing() -> None:
    assert read(confirmation(Type="UnsubscribeConfirmation")) == []


def test_without_topics_nothing_is_read() -> None:
    with pytest.raises(NotReceipts):
        SESReceipts([], Web()).read(ReceiptRequest("POST", "", {}, b"{}"))
