"""What becomes of notifications, told to the endpoints that asked for it: as notifications.

They are accepted in the transaction that makes it true, so a crash loses none and repeats none,
and delivered like any other. For a tenant without such endpoints it costs nothing: who has some
is looked up once a second.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from ..enums import Channel, Event, Priority, Status
from ..messages import Draft
from ..models import Endpoint, Notification, Tenant
from ..times import rfc3339
from .accept import accept_many

FRESH_SECONDS = 1.0

EVENT_OF: Mapping[Status, Event] = {
    Status.DELIVERED: Event.DELIVERED,
    Status.UNDELIVERED: Event.UNDELIVERED,
    Status.FAILED: Event.FAILED,
    Status.UNKNOWN: Event.UNKNOWN,
}


def record(ids: Collection[UUID]) -> None:
    """Owe the endpoints what the notifications have come to; inside the transaction that did it.

    Once for each event, notification and endpoint, however often it is called.
    """
    tenants = _subscribers.tenants()
    if not tenants or not ids:
        return
    by_tenant: dict[Tenant, list[Notification]] = defaultdict(list)
    rows = Notification.objects.filter(pk__in=ids, tenant__in=tenants)
    for row in rows.select_related("tenant"):
        if row.status in EVENT_OF and not _is_event(row):
            by_tenant[row.tenant].append(row)
    for tenant, found in by_tenant.items():
        _accept(tenant, list(_drafts(found, _endpoints(tenant))))


def record_disabled(endpoint: Endpoint, reason: str) -> None:
    """Tell the other endpoints of its tenant; inside the transaction that disables it."""
    payload = {"id": str(endpoint.pk), "url": endpoint.url, "disabled_reason": reason}
    drafts = [
        _draft(other, Event.ENDPOINT_DISABLED, payload)
        for other in _endpoints(endpoint.tenant)
        if other.pk != endpoint.pk and other.wants(Event.ENDPOINT_DISABLED)
    ]
    _accept(endpoint.tenant, drafts)


def forget() -> None:
    """Look anew who has such endpoints; called where this process has changed one."""
    _subscribers.forget()


def _is_event(row: Notification) -> bool:
    """Of what became of these nothing is told: it would never end."""
    return row.channel == Channel.WEBHOOK and row.content.get("event") in Event.values


def _endpoints(tenant: Tenant) -> list[Endpoint]:
    return list(Endpoint.objects.registered(tenant).filter(is_active=True))


def _drafts(rows: Iterable[Notification], endpoints: Collection[Endpoint]) -> Iterable[Draft]:
    for row in rows:
        event = EVENT_OF[row.status]
        for endpoint in endpoints:
            if endpoint.wants(event):
                draft = _draft(endpoint, event, _payload(row))
                key = f"{event}:{row.pk}:{endpoint.pk}"
                # A campaign in bulk must not be followed by as many events ahead of others' mail.
                yield replace(draft, priority=Priority(row.priority), idempotency_key=key)


def _draft(endpoint: Endpoint, event: Event, payload: dict[str, Any]) -> Draft:
    content = {"event": event.value, "payload": payload}
    return Draft(channel=Channel.WEBHOOK, to=endpoint.url, content=content)


def _accept(tenant: Tenant, drafts: list[Draft]) -> None:
    if drafts:
        accept_many(tenant, drafts)


def _payload(row: Notification) -> dict[str, Any]:
    """The notification, in the words of the API."""
    error = {"code": row.error_code, "detail": row.error_detail} if row.error_code else None
    return {
        "id": str(row.pk),
        "channel": row.channel,
        "to": row.to,
        "status": row.status.value,
        "created_at": rfc3339(row.created_at),
        "settled_at": rfc3339(row.settled_at),
        "idempotency_key": row.idempotency_key,
        "batch": row.batch_id and str(row.batch_id),
        "provider": row.provider or None,
        "provider_message_id": row.provider_message_id or None,
        "attempt_count": row.attempt_count,
        "error": error,
        "duplicate_risk": row.duplicate_risk,
        "metadata": row.metadata,
    }


class _Subscribers:
    """The tenants with an endpoint that asks for events, at most a second old."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tenants: frozenset[int] = frozenset()
        self._until = 0.0

    def tenants(self) -> frozenset[int]:
        with self._lock:
            if time.monotonic() > self._until:
                asking = Endpoint.objects.filter(is_active=True).exclude(events=[])
                self._tenants = frozenset(asking.values_list("tenant", flat=True))
                self._until = time.monotonic() + FRESH_SECONDS
            return self._tenants

    def forget(self) -> None:
        with self._lock:
            self._until = 0.0


_subscribers = _Subscribers()
