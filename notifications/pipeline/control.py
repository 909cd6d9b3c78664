"""What people ask for: cancel and retry, by the same functions from the API and the admin."""

from uuid import UUID

from ..enums import Channel, Priority, State, Status
from ..exceptions import NotPossible
from ..labels import Phrase, a_word, phrase
from ..models import Batch, Notification
from ..querysets import NotificationQuerySet
from . import database, relay
from .told import Settled, tell_settled

RETRYABLE = (Status.FAILED, Status.UNDELIVERED, Status.EXPIRED, Status.CANCELLED)


def cancel(notification: Notification) -> Notification:
    """Cancel, or ask that nothing more is tried; the row as it is afterwards.

    Its status is `cancelled` when nothing will be sent after this; with an attempt in flight
    `cancel_requested` is set instead. Raises NotPossible when it is sent or settled.
    """
    cancelled = Notification.objects.cancel([notification.pk])
    asked = 0 if cancelled else Notification.objects.request_cancel([notification.pk])
    current = _fresh(notification)
    if cancelled:
        database.on_commit(lambda: _tell_cancelled([(current.pk, current.channel)]))
    elif not asked:
        raise NotPossible(current.status, _why_no_cancel(current.status))
    return current


def cancel_batch(batch: Batch) -> int:
    """Cancel all of a batch that has not been sent; how many that was."""
    cancelled, _ = cancel_many(batch.notification_set.all())
    return len(cancelled)


def cancel_many(rows: NotificationQuerySet) -> tuple[list[UUID], list[UUID]]:
    """Cancel what of `rows` has not been sent, and ask that the rest of it is not tried again.

    Returns the ids of either; what others hold at this moment is passed over.
    """
    with database.atomic():
        found = list(rows.cancellable().lock().values_list("pk", "channel"))
        Notification.objects.cancel([id for id, _ in found])
        database.on_commit(lambda: _tell_cancelled(found))
    maybe_sent = rows.filter(state__in=(State.DISPATCHING, State.UNKNOWN), cancel_requested=False)
    asked = list(maybe_sent.values_list("pk", flat=True))
    Notification.objects.request_cancel(asked)
    return [id for id, _ in found], asked


def retry(notification: Notification, *, accept_duplicate_risk: bool = False) -> Notification:
    """Start a new cycle of attempts, under the same id and key; the row as it is afterwards.

    An unknown notification may have been delivered: it is sent again only when the caller
    accepts the risk of a duplicate. Raises NotPossible otherwise.
    """
    statuses = (*RETRYABLE, Status.UNKNOWN) if accept_duplicate_risk else RETRYABLE
    requeued = Notification.objects.requeue([notification.pk], statuses)
    current = _fresh(notification)
    if not requeued:
        raise NotPossible(current.status, _why_no_retry(current.status))
    lane = Channel(current.channel), Priority(current.priority)
    database.on_commit(lambda: relay.offer(*lane, [current.pk]))
    return current


def retry_many(rows: NotificationQuerySet, *, accept_duplicate_risk: bool = False) -> list[UUID]:
    """Start a new cycle of attempts for what of `rows` can be retried; its ids.

    What others hold at this moment is passed over.
    """
    statuses = (*RETRYABLE, Status.UNKNOWN) if accept_duplicate_risk else RETRYABLE
    with database.atomic():
        ids = list(rows.with_status(*statuses).lock().values_list("pk", flat=True))
        Notification.objects.requeue(ids, statuses)
        database.on_commit(relay.offer_dispatch)
    return ids


def _why_no_cancel(status: Status) -> Phrase:
    return phrase("it is {status} and cannot be cancelled", status=a_word(status.value))


def _why_no_retry(status: Status) -> Phrase:
    if status == Status.UNKNOWN:
        return phrase(
            "it may have been delivered; set accept_duplicate_risk to true to send it again"
        )
    return phrase(
        "it is {status}; only {retryable} can be retried",
        status=a_word(status.value),
        retryable=", ".join(RETRYABLE),
    )


def _fresh(notification: Notification) -> Notification:
    return Notification.objects.select_related("tenant").get(pk=notification.pk)


def _tell_cancelled(found: list[tuple[UUID, str]]) -> None:
    tell_settled(Settled(id, Channel(channel), Status.CANCELLED) for id, channel in found)
