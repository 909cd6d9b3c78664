"""What becomes of notifications, as log lines: ids and words, no recipient and no content.

One record for each commit, whatever it holds, because a record costs more than a line. While the
logger `notifications.events` is not enabled for INFO, nothing is made at all.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..enums import Priority, ReceiptState
from ..messages import Outcome, Pace
from ..models import Notification, Tenant
from .formats import EVENTS, Event, Events

logger = logging.getLogger(EVENTS)


def log_accepted(stored: Sequence[Any], **_: Any) -> None:
    if logger.isEnabledFor(logging.INFO):
        _info(
            {
                "event": "accepted",
                "notification": str(row.notification_id),
                "tenant": row.tenant,
                "channel": _word(row.channel),
                "priority": Priority(row.priority).label,
            }
            for row in stored
        )


def log_attempts(
    provider: str, notifications: Sequence[Notification], outcomes: Sequence[Outcome], **_: Any
) -> None:
    if logger.isEnabledFor(logging.INFO):
        tenants = _tenants(notifications)
        _info(
            {
                "event": "attempt",
                "notification": str(row.pk),
                "tenant": tenants.get(row.tenant_id, ""),
                "channel": _word(row.channel),
                "provider": provider,
                "attempt": row.attempt_count,
                "outcome": _word(outcome.kind),
                "code": outcome.code,
                "duration": round(outcome.seconds, 4),
            }
            for row, outcome in zip(notifications, outcomes, strict=True)
        )


def log_settled(settled: Sequence[Any], **_: Any) -> None:
    if logger.isEnabledFor(logging.INFO):
        _info(
            {
                "event": "settled",
                "notification": str(each.notification_id),
                "channel": _word(each.channel),
                "status": _word(each.status),
            }
            for each in settled
        )


def log_receipts(received: Sequence[Any], **_: Any) -> None:
    if logger.isEnabledFor(logging.INFO):
        _info(
            {
                "event": "receipt",
                "notification": str(each.notification_id),
                "provider": each.provider,
                "kind": ReceiptState(each.kind).label,
                "code": each.code,
                "applied": each.applied,
            }
            for each in received
        )


def log_dismissed(provider: str, kind: ReceiptState, result: str, **_: Any) -> None:
    label = ReceiptState(kind).label
    _info([{"event": "receipt", "provider": provider, "kind": label, "result": result}])


def log_snoozed(channel: str, reason: str, scope: str, count: int, **_: Any) -> None:
    told = {"channel": _word(channel), "reason": _word(reason), "scope": scope, "count": count}
    _info([{"event": "put_off", **told}])


def log_rescued(reason: str, count: int, **_: Any) -> None:
    """A worker was lost: what it held is in hand again."""
    _warn({"event": "rescued", "reason": reason, "count": count})


def log_fenced(count: int, provider: str = "", **_: Any) -> None:
    """A worker woke up after its lease: what it reports is no longer believed."""
    _warn({"event": "fenced", "provider": provider, "count": count})


def log_circuit(provider: str, state: str, reason: str, **_: Any) -> None:
    _warn({"event": "circuit", "provider": provider, "state": _word(state), "reason": reason})


def log_slowed(provider: str, pace: Pace, **_: Any) -> None:
    told = {"held": round(pace.held, 3), "rate": pace.rate}
    _info([{"event": "slowed", "provider": provider, **told}])


def _info(events: Iterable[Event]) -> None:
    if logger.isEnabledFor(logging.INFO):
        logger.info(Events(events))


def _warn(event: Event) -> None:
    logger.warning(Events([event]))


def _tenants(rows: Iterable[Notification]) -> Mapping[int, str]:
    """Their names by id; a claim has read them already, the rescuer has not."""
    field = Notification._meta.get_field("tenant")
    known: dict[int, str] = {}
    unknown: set[int] = set()
    for row in rows:
        if field.is_cached(row):
            known[row.tenant_id] = row.tenant.name
        else:
            unknown.add(row.tenant_id)
    missing = unknown - set(known)
    if missing:
        known |= dict(Tenant.objects.filter(pk__in=missing).values_list("pk", "name"))
    return known


def _word(word: str) -> str:
    """The bare string of an enum's member or of a column that held one."""
    return str.__str__(word)
