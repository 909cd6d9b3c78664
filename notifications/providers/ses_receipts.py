"""SES's events as Amazon SNS posts them: who signed them, and what they say.

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
"""

import json
import logging
from base64 import b64decode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from ..enums import ReceiptState
from ..exceptions import NotAuthentic, NotJudged, NotReceipts
from ..messages import ReceiptRequest, ReportedReceipt
from .reports import mapping_of, text_of, time_of, uuid_of
from .sns import CERTIFICATE_PATH, CONFIRMATION_PATH, Certificates, Fetch, FetchFailed, is_of_sns

logger = logging.getLogger(__name__)

TAG = "notification-id"
"""The tag of every message that holds our id: SES repeats it in its events."""

SIGNED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
        **dict.fromkeys(
            ("SubscriptionConfirmation", "UnsubscribeConfirmation"),
            ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
        ),
    }
)
"""The fields that are signed, in that order, by the type of the message."""

HASHES: Mapping[str, type[hashes.HashAlgorithm]] = MappingProxyType(
    {"1": hashes.SHA1, "2": hashes.SHA256}
)

COMPLAINT = "complaint"

ON_LIST = "OnAccountSuppressionList"
"""A complaint of earlier days: SES took the message, and sent nothing."""

R = ReceiptState
EVENTS: Mapping[str, tuple[str, ReceiptState, str]] = MappingProxyType(
    {
        "Send": ("send", R.ACCEPTED, ""),
        "DeliveryDelay": ("deliveryDelay", R.IN_TRANSIT, "delayed"),
        "Delivery": ("delivery", R.DELIVERED, ""),
        # Whoever complains has it.
        "Complaint": ("complaint", R.DELIVERED, COMPLAINT),
        "Reject": ("reject", R.UNDELIVERED, "rejected"),
        "Rendering Failure": ("failure", R.UNDELIVERED, "render_error"),
        # The answer of an absent recipient is such a bounce too, so it does not outrank a delivery.
        "Bounce": ("bounce", R.UNDELIVERED, "soft_bounce"),
    }
)
"""Each event with where its own part is, what it says, and why."""

HARD = "Permanent"

RECIPIENTS = ("recipients", "bouncedRecipients", "complainedRecipients", "delayedRecipients")
"""Where the parts of events name whom they are about."""


class SESReceipts:
    """Reads what SNS posts for `topics`, the ARNs that are trusted; one instance for a process."""

    def __init__(self, topics: Collection[str], fetch: Fetch) -> None:
        self._topics, self._fetch = frozenset(topics), fetch
        self._certificates = Certificates(fetch)

    def read(self, request: ReceiptRequest) -> list[ReportedReceipt]:
        """What an authentic call says; one that asks to confirm a subscription is obeyed."""
        if not self._topics:
            raise NotReceipts("RECEIPT_TOPICS names no topic")
        envelope = _object(request.body)
        if envelope is None or text_of(envelope, "TopicArn") not in self._topics:
            raise NotAuthentic
        self._judge(envelope)
        kind = envelope["Type"]
        if kind == "SubscriptionConfirmation":
            self._confirm(text_of(envelope, "SubscribeURL"))
        return _receipts(envelope) if kind == "Notification" else []

    def _judge(self, envelope: Mapping[str, Any]) -> None:
        names = SIGNED.get(text_of(envelope, "Type"))
        algorithm = HASHES.get(text_of(envelope, "SignatureVersion"))
        url = text_of(envelope, "SigningCertURL")
        if names is None or algorithm is None or not is_of_sns(url, CERTIFICATE_PATH):
            raise NotAuthentic
        signature = _signature(text_of(envelope, "Signature"))
        signed = "".join(f"{n}\n{text_of(envelope, n)}\n" for n in names if n in envelope)
        key = self._certificates.key(url)
        _verify(key, signature, signed.encode(errors="replace"), algorithm())

    def _confirm(self, url: str) -> None:
        if not is_of_sns(url, CONFIRMATION_PATH):
            raise NotAuthentic
        try:
            self._fetch(url)
        except FetchFailed as error:
            logger.warning("a subscription of SNS could not be confirmed: %s", error)
            raise NotJudged from error
        logger.info("a subscription of SNS is confirmed")


def _verify(
    key: RSAPublicKey, signature: bytes, signed: bytes, algorithm: hashes.HashAlgorithm
) -> None:
    try:
        key.verify(signature, signed, PKCS1v15(), algorithm)
    except InvalidSignature as error:
        raise NotAuthentic from error


def _signature(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise NotAuthentic from error


def _object(body: bytes | str) -> Mapping[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _receipts(envelope: Mapping[str, Any]) -> list[ReportedReceipt]:
    event = _object(text_of(envelope, "Message")) or {}
    # The one is what a configuration set publishes, the other the feedback of an identity.
    name = text_of(event, "eventType") or text_of(event, "notificationType")
    part, kind, code = EVENTS.get(name, ("", ReceiptState.NONE, ""))
    own, mail = mapping_of(event, part), mapping_of(event, "mail")
    if name == "Bounce" and text_of(own, "bounceType") == HARD:
        kind, code = ReceiptState.BOUNCED, "bounce"
    if text_of(own, "complaintSubType") == ON_LIST:
        kind = ReceiptState.UNDELIVERED
    receipt = ReportedReceipt(
        kind=kind,
        event_id=text_of(envelope, "MessageId"),
        notification_id=_tagged(mail),
        provider_message_id=text_of(mail, "messageId"),
        occurred_at=time_of(text_of(own, "timestamp") or text_of(envelope, "Timestamp")),
        code=code,
    )
    return _of_each(receipt, _named(own))


def _of_each(receipt: ReportedReceipt, named: Sequence[str]) -> list[ReportedReceipt]:
    """The receipt, once for each recipient whom the event names."""
    if len(named) < 2:
        return [replace(receipt, recipient="".join(named))]
    if receipt.code == COMPLAINT:
        # Everybody at the provider that complains for one of them, and does not say for which.
        return [replace(receipt, kind=ReceiptState.IN_TRANSIT)]
    return [
        replace(receipt, event_id=f"{receipt.event_id}:{number}", recipient=recipient)
        for number, recipient in enumerate(named, 1)
    ]


def _named(own: Mapping[str, Any]) -> list[str]:
    """The recipients in the event's own part: addresses, or objects that hold one."""
    lists = (own.get(name) for name in RECIPIENTS)
    listed = next((each for each in lists if isinstance(each, list)), [])
    held = (each.get("emailAddress") if isinstance(each, dict) else each for each in listed)
    return list(dict.fromkeys(each for each in held if isinstance(each, str) and each))


def _tagged(mail: Mapping[str, Any]) -> Any:
    values = mapping_of(mail, "tags").get(TAG)
    first = values[0] if isinstance(values, list) and values else ""
    return uuid_of(first) if isinstance(first, str) else None
