"""Webhooks: a signed POST to a URL that a tenant chose, as Standard Webhooks describes it.

https://github.com/standard-webhooks/standard-webhooks (read 2026-11). Every attempt carries the
same `webhook-id`, by which receivers drop what they have seen: so whatever is not a clear yes
may be sent again.
"""

import hmac
import json
import time
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

from django.utils.http import parse_http_date

from ..addresses import AddressError, loopback_is_allowed, parse_url
from ..enums import Channel, ReceiptState
from ..messages import Message, Outcome, ProviderReceipt
from ..retry import RETRY_AFTER_MAX_SECONDS
from ..secrets import PREFIX
from .base import OneByOne
from .egress import Egress, MaybeSent, NotSent, Reply, is_public, is_public_or_loopback

USER_AGENT = "django-notifications-engine (Standard Webhooks)"

DISABLED = Outcome.permanent("endpoint_disabled", "The endpoint is disabled.")
INVALID_URL = Outcome.permanent("invalid_url", "It is not a URL that may be sent to.")

REASONS = {
    "dns_error": "The name of the host leads to no address.",
    "connect_blocked": "The host leads to an address that is not public.",
    "connect_error": "No connection to the host could be made.",
    "tls_error": "TLS could not be agreed on, or the certificate is not valid for the host.",
    "timeout": "The receiver did not answer in time.",
    "connection_lost": "The connection was lost before an answer.",
    "malformed_answer": "The answer was no HTTP.",
    "malformed_request": "The URL cannot be put into a request.",
}


@dataclass(frozen=True, slots=True)
class Signable:
    """A request but for its signature, which is made anew for each attempt."""

    id: str
    attempt: int
    url: str
    body: bytes
    secrets: tuple[str, ...]


class WebhookProvider(OneByOne[Signable]):
    """Posts JSON to whom it may concern; what a 2xx answers has been delivered.

    The receiver's answer is all it goes by: of its body nothing is read into anything. A message
    without a secret to sign with is to an endpoint that is disabled.
    """

    channels = frozenset({Channel.WEBHOOK})
    honours_key = True
    one_account: ClassVar[bool] = False
    concurrency = 32
    window = 32

    def __init__(self, name: str, options: Mapping[str, Any], timeout: float) -> None:
        super().__init__(name, options, timeout)
        self._egress = Egress(is_public_or_loopback if loopback_is_allowed() else is_public)

    def render(self, message: Message) -> Signable | Outcome:
        if not message.secrets:
            return DISABLED
        try:
            url = parse_url(message.to)
        except AddressError:
            return INVALID_URL
        return Signable(message.key, message.attempt, url, _body(message), message.secrets)

    def hand_over(self, rendered: Signable) -> Outcome:
        headers = _headers(rendered, int(time.time()))
        deadline = time.monotonic() + self.timeout
        try:
            reply = self._egress.post(rendered.url, headers, rendered.body, deadline)
        except MaybeSent as error:
            return Outcome.ambiguous(error.code, REASONS[error.code])
        except NotSent as error:
            blocked = error.code in ("connect_blocked", "malformed_request")
            sort = Outcome.permanent if blocked else Outcome.transient
            return sort(error.code, REASONS[error.code])
        return _outcome(rendered, reply)

    def close(self) -> None:
        super().close()
        self._egress.drop()


def sign(secrets: Iterable[str], id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`: one signature for each of `secrets`."""
    signed = b".".join((id.encode(), str(timestamp).encode(), body))
    digests = (hmac.digest(_key(secret), signed, "sha256") for secret in secrets)
    return " ".join(f"v1,{b64encode(digest).decode()}" for digest in digests)


def _key(secret: str) -> bytes:
    return b64decode(secret.removeprefix(PREFIX), validate=True)


def _body(message: Message) -> bytes:
    """Byte for byte the same on every attempt."""
    event = message.content.get("event")
    envelope = {
        **({"type": event} if event else {}),
        "timestamp": _accepted_at(message.key),
        "data": message.content["payload"],
    }
    return json.dumps(envelope, ensure_ascii=False, separators=(",", ":")).encode()


def _accepted_at(key: str) -> str:
    """The time of a UUIDv7, such as 2030-01-31T08:00:00.123Z."""
    milliseconds = UUID(key).int >> 80
    time = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _headers(request: Signable, timestamp: int) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        "webhook-id": request.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(request.secrets, request.id, timestamp, request.body),
    }


def _outcome(request: Signable, reply: Reply) -> Outcome:
    status = reply.status
    if 200 <= status < 300:
        event = f"{request.id}:{request.attempt}:delivered"
        return Outcome.accepted(request.id, (ProviderReceipt(ReceiptState.DELIVERED, event),))
    said = f"The receiver answered {status}."
    match status:
        case 410:
            return Outcome.permanent("gone", said)
        case 429:
            return Outcome.throttled("http_429", said, _retry_after(reply.headers))
        case 503:
            return Outcome.transient("http_503", said, _retry_after(reply.headers))
        case _:
            return Outcome.transient(f"http_{status}", said)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, at most as many as are ever waited for; None where nothing usable is said."""
    said = headers.get("retry-after", "").strip()
    try:
        wish = int(said) if _is_number(said) else parse_http_date(said) - time.time()
    except ValueError:
        return None
    return min(max(0.0, wish), RETRY_AFTER_MAX_SECONDS)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20
