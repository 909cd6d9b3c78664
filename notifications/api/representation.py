"""How notifications and batches are shown: the one shape of contract and documentation."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Count, Max
from django.db.models.functions import Coalesce
from rest_framework.request import Request
from rest_framework.reverse import reverse

from ..enums import Priority, ReceiptState, State, Status, WaitReason
from ..lifecycle import TERMINAL, status_of
from ..models import Attempt, Batch, Digest, Notification, Receipt
from ..pipeline.accept import BatchAnswer
from ..pipeline.explain import Waiting, waiting
from ..pipeline.forecast import forecast_of_batch
from ..times import rfc3339


def represent(notification: Notification, request: Request) -> dict[str, Any]:
    """The notification as every endpoint shows it."""
    return {
        "id": str(notification.pk),
        "url": reverse("notifications:notification", (notification.pk,), request=request),
        "channel": notification.channel,
        "to": notification.to,
        "template": notification.template,
        "subject": notification.content.get("subject"),
        "category": notification.category or None,
        "priority": Priority(notification.priority).label,
        "status": notification.status.value,
        "created_at": rfc3339(notification.created_at),
        "send_at": rfc3339(notification.send_at),
        "expires_at": rfc3339(notification.expires_at),
        "sent_at": rfc3339(notification.sent_at),
        "settled_at": rfc3339(notification.settled_at),
        "idempotency_key": notification.idempotency_key,
        "batch": notification.batch_id and str(notification.batch_id),
        "provider": notification.provider or None,
        "provider_message_id": notification.provider_message_id or None,
        "attempt_count": notification.attempt_count,
        "next_attempt_at": rfc3339(_next_attempt_at(notification)),
        "error": _error(notification),
        "duplicate_risk": notification.duplicate_risk,
        "metadata": notification.metadata,
    }


def represent_detail(notification: Notification, request: Request) -> dict[str, Any]:
    """The notification with who else it names, attempts, receipts, digest, what it waits for."""
    return {
        **represent(notification, request),
        **_envelope(notification.content),
        "attempts": [_attempt(attempt) for attempt in notification.attempts.all()],
        "receipts": [_receipt(receipt) for receipt in notification.receipts.all()],
        "digest": notification.digest and _digest(notification.digest),
        "waiting": waiting_of(waiting(notification)),
    }


def represent_batch(batch: Batch, request: Request) -> dict[str, Any]:
    """The batch counted by status; finished when none can still be sent, else with a forecast."""
    rows = (
        Notification.objects.filter(batch=batch)
        .values("state", "receipt_state")
        .annotate(count=Count("pk"), last=Max(Coalesce("settled_at", "sent_at")))
        .order_by()
    )
    counts: Counter[Status] = Counter()
    for row in rows:
        status = status_of(State(row["state"]), ReceiptState(row["receipt_state"]))
        counts[status] += row["count"]
    finished = all(row["state"] in TERMINAL for row in rows)
    times = [row["last"] for row in rows if row["last"]]
    forecast = None if finished else forecast_of_batch(batch)
    return {
        "id": str(batch.pk),
        "url": batch_url(batch, request),
        "created_at": rfc3339(batch.created_at),
        "total": counts.total(),
        "counts": {status.value: counts[status] for status in Status},
        "finished_at": rfc3339(max(times)) if finished and times else None,
        "forecast": rfc3339(forecast.done_at) if forecast else None,
        "forecast_detail": forecast.detail if forecast else None,
    }


def represent_batch_answer(answer: BatchAnswer, request: Request) -> dict[str, Any]:
    """What became of each item of a call of `POST /notify/batch`."""
    outcomes = Counter(result.outcome for result in answer.results)
    return {
        "id": str(answer.batch.pk),
        "accepted": outcomes["accepted"],
        "replayed": outcomes["replayed"],
        "rejected": outcomes["rejected"],
        "results": [result.as_dict() for result in answer.results],
        "url": batch_url(answer.batch, request),
    }


def batch_url(batch: Batch, request: Request) -> str:
    return str(reverse("notifications:batch", (batch.pk,), request=request))


def _next_attempt_at(notification: Notification) -> datetime | None:
    put_off = notification.wait_reason not in ("", WaitReason.QUEUE)
    waits = notification.state in (State.SCHEDULED, State.RETRY_WAIT)
    if waits or (notification.state == State.QUEUED and put_off):
        return notification.due_at
    return None


def _error(notification: Notification) -> dict[str, str] | None:
    if not notification.error_code:
        return None
    return {"code": notification.error_code, "detail": notification.error_detail}


def _envelope(content: Mapping[str, Any]) -> dict[str, Any]:
    """What an e-mail has beside its texts, as it was given; of files all but their bytes."""
    return {
        "from": content.get("from") or content.get("sender"),
        **{name: content.get(name, []) for name in ("reply_to", "cc", "bcc")},
        "attachments": [_file(told) for told in content.get("attachments", ())],
    }


def _file(told: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: told[name] for name in ("filename", "content_type", "size")}
    return given | {"content_id": told.get("content_id")}


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "provider": attempt.provider,
        "outcome": attempt.outcome,
        "code": attempt.code or None,
        "detail": attempt.detail or None,
        "started_at": rfc3339(attempt.started_at),
        "finished_at": rfc3339(attempt.finished_at),
        "duration_ms": attempt.duration_ms,
    }


def _receipt(receipt: Receipt) -> dict[str, Any]:
    return {
        "kind": ReceiptState(receipt.kind).label,
        "provider": receipt.provider,
        "recipient": receipt.recipient or None,
        "occurred_at": rfc3339(receipt.occurred_at),
        "received_at": rfc3339(receipt.received_at),
    }


def _digest(digest: Digest) -> dict[str, Any]:
    """What it was gathered into, or what it sends."""
    return {
        "id": str(digest.pk),
        "key": digest.key,
        "count": digest.count,
        "closes_at": rfc3339(digest.closes_at),
        "notification": digest.notification_id and str(digest.notification_id),
    }


def waiting_of(found: Waiting | None) -> dict[str, Any] | None:
    """What is being waited for, as the API has it."""
    if found is None:
        return None
    return {
        "reason": str(found.reason),
        "scope": found.scope or None,
        "until": rfc3339(found.until),
        "detail": found.detail,
    }
