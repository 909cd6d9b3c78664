"""Tracking events of whatever provider Anymail knows: judged and read by Anymail's own views."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import blake2b
from io import BytesIO
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

from anymail.exceptions import AnymailConfigurationError
from anymail.signals import AnymailTrackingEvent, EventType, RejectReason
from anymail.urls import urlpatterns
from anymail.webhooks.base import AnymailCoreWebhookView
from django.core.handlers.wsgi import WSGIRequest

from ..enums import ReceiptState
from ..exceptions import NotAuthentic, NotReceipts
from ..messages import ReceiptRequest, ReportedReceipt
from .reports import text_of, uuid_of

logger = logging.getLogger(__name__)

TAG = "notification-id"
"""The metadata that holds our id: providers repeat it in their events."""

VIEWS: Mapping[str, type[AnymailCoreWebhookView]] = MappingProxyType(
    {str(pattern.name): pattern.callback.view_class for pattern in urlpatterns}
)

R = ReceiptState
EVENTS: Mapping[str, tuple[ReceiptState, str]] = MappingProxyType(
    {
        EventType.QUEUED: (R.ACCEPTED, ""),
        EventType.SENT: (R.IN_TRANSIT, ""),
        EventType.DEFERRED: (R.IN_TRANSIT, "delayed"),
        EventType.DELIVERED: (R.DELIVERED, ""),
        # Whoever complains has it.
        EventType.COMPLAINED: (R.DELIVERED, "complaint"),
        # Some providers say so of whoever is on their list, too, and has got nothing.
        EventType.UNSUBSCRIBED: (R.IN_TRANSIT, "unsubscribed"),
        EventType.FAILED: (R.UNDELIVERED, "failed"),
        EventType.REJECTED: (R.UNDELIVERED, "rejected"),
        EventType.BOUNCED: (R.UNDELIVERED, "undelivered"),
    }
)
"""Each event with what it says, and why; opens, clicks and the like say nothing that counts."""

BY_REASON: Mapping[str, tuple[ReceiptState, str]] = MappingProxyType(
    {
        RejectReason.BOUNCED: (R.BOUNCED, "bounce"),
        RejectReason.INVALID: (R.BOUNCED, "bounce"),
        RejectReason.SPAM: (R.UNDELIVERED, "complaint"),
        RejectReason.UNSUBSCRIBED: (R.UNDELIVERED, "unsubscribed"),
    }
)
"""What is told of the recipient where a message was rejected or bounced."""

SOFT = (R.UNDELIVERED, "soft_bounce")
SPARKPOST_SOFT = "20"


class AnymailReceipts:
    """Reads what a provider posts to its webhook; `settings` are Anymail's for that."""

    def __init__(self, esp: str, settings: Mapping[str, Any]) -> None:
        """Raises NotReceipts where it has no webhook, or nothing to tell it from a stranger by."""
        view = VIEWS.get(f"{esp}_tracking_webhook")
        if view is None:
            raise NotReceipts(f"Anymail reads no events of {esp}: leave RECEIPTS out.")
        try:
            self._view = view(**settings)
        except AnymailConfigurationError as error:
            raise NotReceipts(f"RECEIPTS: {error}") from error
        except (ValueError, TypeError, AttributeError) as error:  # a key that is none
            raise NotReceipts("RECEIPTS: Anymail cannot use these settings.") from error
        if self._view.warn_if_no_basic_auth and not self._view.basic_auth:
            raise NotReceipts(
                'RECEIPTS needs what its events are told from a stranger\'s by: "webhook_secret", '
                '"user:password" in the URL that it calls, or the key that it signs with.'
            )

    def read(self, request: ReceiptRequest) -> list[ReportedReceipt]:
        call = _as_django_has_it(request)
        try:
            self._view.run_validators(call)
        except Exception as error:  # whatever it could not even begin to verify
            raise NotAuthentic from error
        return [_receipt(event) for event in self._events(call)]

    def _events(self, call: WSGIRequest) -> list[AnymailTrackingEvent]:
        try:
            events = self._view.parse_events(call)
        except Exception as error:
            # Without its text and traceback, which may show the recipient.
            logger.error("an authentic call was not understood: %s", type(error).__name__)
            return []
        return [event for event in events if isinstance(event, AnymailTrackingEvent)]


def _as_django_has_it(request: ReceiptRequest) -> WSGIRequest:
    """The request as a view takes it: some sign the URL, so that is the one we are known by."""
    url = urlsplit(request.url)
    environ: dict[str, Any] = {
        f"HTTP_{_cgi(name)}": value for name, value in request.headers.items()
    }
    environ |= {
        "REQUEST_METHOD": request.method,
        "PATH_INFO": unquote(url.path, "latin-1"),
        "QUERY_STRING": url.query,
        "CONTENT_TYPE": request.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(request.body)),
        "SERVER_NAME": url.hostname or "localhost",
        "SERVER_PORT": str(url.port or (443 if url.scheme == "https" else 80)),
        "HTTP_HOST": url.netloc or "localhost",
        "wsgi.url_scheme": url.scheme or "http",
        "wsgi.input": BytesIO(request.body),
    }
    return WSGIRequest(environ)


def _cgi(name: str) -> str:
    return name.upper().replace("-", "_")


def _receipt(event: AnymailTrackingEvent) -> ReportedReceipt:
    kind, code = _meaning(event)
    id, theirs, recipient = _our_id(event), _text(event.message_id), _text(event.recipient)
    named = theirs or str(id or "")
    return ReportedReceipt(
        kind=kind if named else R.NONE,
        # Not the event's own id: not all have one, and some a new one each time they call.
        event_id=f"{named}:{event.event_type}:{code}:{_mark(named, recipient)}",
        notification_id=id,
        provider_message_id=theirs,
        occurred_at=_in_utc(event.timestamp),
        code=code,
        recipient=recipient,
    )


def _mark(message: str, recipient: str) -> str:
    """Tells the recipients of one message apart, without their addresses."""
    said = f"{message}:{recipient.lower()}".encode(errors="replace")
    return blake2b(said, digest_size=6).hexdigest()


def _our_id(event: AnymailTrackingEvent) -> UUID | None:
    """What came along as metadata, or where a provider has none, as a tag."""
    metadata = event.metadata if isinstance(event.metadata, Mapping) else {}
    tags = event.tags if isinstance(event.tags, list) else []
    found = (uuid_of(_text(value)) for value in (metadata.get(TAG), *tags))
    return next(filter(None, found), None)


def _meaning(event: AnymailTrackingEvent) -> tuple[ReceiptState, str]:
    if event.event_type == EventType.BOUNCED and _is_soft(event.esp_event):
        return SOFT
    if event.event_type in (EventType.BOUNCED, EventType.REJECTED):
        by_reason = BY_REASON.get(event.reject_reason or "")
        if by_reason:
            return by_reason
    return EVENTS.get(event.event_type, (R.NONE, ""))


def _is_soft(said: Any) -> bool:
    """Anymail calls all bounces alike; who bounces softly is not to be suppressed."""
    if not isinstance(said, Mapping):
        return False
    words = " ".join(text_of(said, name) for name in ("event", "Type", "type")).lower()
    return (
        "soft" in words
        or said.get("hard_bounce") is False
        or said.get("bounce_class") == SPARKPOST_SOFT
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _in_utc(time: Any) -> datetime | None:
    return time.astimezone(UTC) if isinstance(time, datetime) and time.tzinfo else None
