"""Receipts of the simulated provider, as JSON under an HMAC: for tests and demonstrations."""

import hmac
import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from ..enums import ReceiptState
from ..exceptions import NotAuthentic, NotReceipts
from ..messages import ReceiptRequest, ReportedReceipt
from .reports import text_of, time_of, uuid_of

HEADER = "x-signature"

KINDS: Mapping[str, ReceiptState] = MappingProxyType({kind.label: kind for kind in ReceiptState})


def sign(body: bytes, token: str) -> str:
    """The value of the `X-Signature` header that goes with `body`."""
    return f"sha256={hmac.new(token.encode(), body, sha256).hexdigest()}"


def read(request: ReceiptRequest, token: str) -> list[ReportedReceipt]:
    """The items of `{"receipts": [{"event_id", "kind", "notification_id", …}]}`."""
    if not token:
        raise NotReceipts("RECEIPT_TOKEN is not set")
    shown = request.headers.get(HEADER, "")
    if not shown.isascii() or not hmac.compare_digest(shown, sign(request.body, token)):
        raise NotAuthentic
    return list(_receipts(request.body))


def _receipts(body: bytes) -> Iterator[ReportedReceipt]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return
    items = said.get("receipts") if isinstance(said, dict) else None
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict) and item.get("event_id"):
            yield _receipt(item)


def _receipt(item: Mapping[str, Any]) -> ReportedReceipt:
    return ReportedReceipt(
        kind=KINDS.get(text_of(item, "kind"), ReceiptState.NONE),
        event_id=str(item["event_id"]),
        notification_id=uuid_of(text_of(item, "notification_id")),
        provider_message_id=text_of(item, "provider_message_id"),
        occurred_at=time_of(text_of(item, "occurred_at")),
        code=text_of(item, "code"),
        recipient=text_of(item, "recipient"),
    )
