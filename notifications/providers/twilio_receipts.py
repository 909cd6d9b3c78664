"""Twilio's status callbacks: https://www.twilio.com/docs/messaging/api/message-resource"""

from collections.abc import Mapping
from types import MappingProxyType

from django.core.exceptions import SuspiciousOperation
from django.http import QueryDict
from twilio.request_validator import RequestValidator

from ..enums import ReceiptState
from ..exceptions import NotAuthentic, NotReceipts
from ..messages import ReceiptRequest, ReportedReceipt
from .reports import uuid_of

HEADER = "x-twilio-signature"
SIGNATURE_MAX = 100

CALLBACK_KEY = "notification-id"
"""The parameter of the callback's query that holds our id: a callback may overtake the answer."""

KINDS: Mapping[str, ReceiptState] = MappingProxyType(
    {
        "accepted": ReceiptState.ACCEPTED,
        "scheduled": ReceiptState.ACCEPTED,
        "queued": ReceiptState.ACCEPTED,
        "sending": ReceiptState.IN_TRANSIT,
        "sent": ReceiptState.IN_TRANSIT,
        "delivered": ReceiptState.DELIVERED,
        "read": ReceiptState.DELIVERED,
        "undelivered": ReceiptState.UNDELIVERED,
        "failed": ReceiptState.UNDELIVERED,
    }
)

UNSUBSCRIBED = "21610"


def read(request: ReceiptRequest, account_sid: str, auth_token: str) -> list[ReportedReceipt]:
    """What a callback says that is signed with `auth_token` for the URL that Twilio was given.

    There is no time in what Twilio signs: a call may be repeated, which the event's id, of message
    and status, makes harmless.
    """
    if not auth_token or not request.url:
        raise NotReceipts("AUTH_TOKEN and PUBLIC_URL are needed to judge Twilio's signature")
    signature = request.headers.get(HEADER, "")
    if not signature or len(signature) > SIGNATURE_MAX or not signature.isascii():
        raise NotAuthentic
    form = _form(request.body)
    if not RequestValidator(auth_token).validate(request.url, form, signature):
        raise NotAuthentic
    if form.get("AccountSid") != account_sid:
        raise NotAuthentic
    return [_receipt(form, request.url)]


def event_id(sid: str, status: str) -> str:
    """The same for a status wherever it is told."""
    return f"{sid}:{status}"


def _form(body: bytes) -> QueryDict:
    try:
        return QueryDict(body.decode("ascii"), encoding="utf-8")
    except (ValueError, SuspiciousOperation) as error:  # too many fields, or no form at all
        raise NotAuthentic from error


def _receipt(form: QueryDict, url: str) -> ReportedReceipt:
    sid, status = form.get("MessageSid", ""), form.get("MessageStatus", "")
    kind = KINDS.get(status, ReceiptState.NONE)
    return ReportedReceipt(
        kind=kind if sid else ReceiptState.NONE,
        event_id=event_id(sid, status),
        notification_id=uuid_of(QueryDict(url.partition("?")[2]).get(CALLBACK_KEY, "")),
        provider_message_id=sid,
        code=code_of(form.get("ErrorCode", "")) if kind is ReceiptState.UNDELIVERED else "",
    )


def code_of(number: str) -> str:
    """The word for one of Twilio's errors; empty for what is none."""
    if number == UNSUBSCRIBED:
        return "unsubscribed"
    return f"twilio_{number}" if number.isascii() and number.isdigit() else ""
