"""Everything that happened to one notification, in its order."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.contrib.admin.models import LogEntry

from ..enums import AttemptOutcome, ReceiptState, State, Status, WaitReason
from ..fields import utc
from ..labels import say, spoken, word
from ..lifecycle import WAITING
from ..models import Attempt, Notification, Receipt, Wait
from ..pipeline import explain, waits
from .words import error_in_words, in_words, masked, moment

ENDS = (
    Status.FAILED, Status.CANCELLED, Status.EXPIRED, Status.SUPPRESSED, Status.DIGESTED
)  # fmt: skip
"""What is told by the notification itself; attempts and receipts tell the others."""

LEVELS = {
    AttemptOutcome.ACCEPTED: "good",
    AttemptOutcome.PERMANENT: "bad",
    AttemptOutcome.AMBIGUOUS: "open",
    AttemptOutcome.ABANDONED: "open",
}


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, when, and how it is to be taken; without a time, it is so now."""

    at: datetime | None
    title: str
    detail: str = ""
    level: str = ""

    @property
    def when(self) -> str:
        return moment(self.at) if self.at else say("now")


def timeline(
    notification: Notification, entries: Iterable[LogEntry], pauses: Iterable[LogEntry] = ()
) -> list[Event]:
    """The first comes first; what it waits for now is the last.

    `entries` are what staff did to it, `pauses` what they did to its channel and the like.
    """
    happened = [
        _accepted(notification),
        *_gathered(notification),
        *_put_off(list(notification.waits.all())),
        *(_attempt(attempt) for attempt in notification.attempts.all()),
        *(_receipt(receipt) for receipt in notification.receipts.all()),
        *(_entry(entry) for entry in entries),
        *(_pause(entry) for entry in pauses),
        *_end(notification),
    ]
    happened.sort(key=lambda event: event.at or notification.created_at)
    return [*happened, *_now(notification)]


def _accepted(notification: Notification) -> Event:
    parts = [say("for {tenant}", tenant=notification.tenant.name)]
    if notification.template:
        parts.append(say("from the template {template}", template=notification.template))
    if notification.send_at:
        time = moment(notification.send_at, "seconds")
        parts.append(say("to be sent at {time}", time=time))
    if notification.expires_at:
        time = moment(notification.expires_at, "seconds")
        parts.append(say("expires at {time}", time=time))
    return Event(notification.created_at, say("Accepted"), ", ".join(parts))


def _gathered(notification: Notification) -> Iterator[Event]:
    """In a digest that is closed; while it is open, that is what is waited for."""
    digest = notification.digest
    if digest and digest.closed_at and digest.notification_id != notification.pk:
        title = say("Put off: gathered in the digest {key}", key=digest.key)
        until = say("until {time}", time=moment(digest.closed_at))
        yield Event(notification.created_at, title, until, "warn")


def _put_off(found: Sequence[Wait]) -> Iterator[Event]:
    for wait in found:
        title = say("Put off: {why}", why=spoken(waits.in_words(wait)))
        yield Event(wait.since, title, ", ".join(_how_long(wait)), "warn")
    if len(found) >= waits.MOST:
        title = say("Put off for {number} reasons", number=len(found))
        detail = say("if there were others since, they are not told")
        yield Event(found[-1].since, title, detail, "warn")


def _how_long(wait: Wait) -> Iterator[str]:
    if wait.count > 1:
        last = moment(wait.last_at)
        yield say("{number} times, the last at {time}", number=wait.count, time=last)
    if wait.reason != WaitReason.PAUSED:  # it lasts until somebody ends it, whatever was foreseen
        yield say("until {time}", time=moment(wait.until))


def _attempt(attempt: Attempt) -> Event:
    outcome = AttemptOutcome(attempt.outcome)
    said = ": ".join(part for part in (attempt.code, attempt.detail) if part)
    took = say("took {number} ms", number=attempt.duration_ms)
    detail = f"{said}; {took}" if said else took
    title = say(
        "Attempt {number} at {provider}: {outcome}",
        number=attempt.number,
        provider=attempt.provider,
        outcome=word(outcome.value),
    )
    return Event(attempt.finished_at, title, detail, LEVELS.get(outcome, "warn"))


def _receipt(receipt: Receipt) -> Event:
    kind = ReceiptState(receipt.kind)
    good = {ReceiptState.DELIVERED: "good", ReceiptState.UNDELIVERED: "bad"}
    level = "bad" if kind is ReceiptState.BOUNCED else good.get(kind, "")
    parts = [receipt.code, masked(receipt.recipient) if receipt.recipient else ""]
    time, event = moment(receipt.received_at), receipt.event_id
    parts.append(say("received {time}, event {event}", time=time, event=event))
    detail = ", ".join(filter(None, parts))
    title = say("Receipt of {provider}: {kind}", provider=receipt.provider, kind=word(kind.label))
    return Event(receipt.occurred_at, title, detail, level)


def _entry(entry: LogEntry) -> Event:
    return Event(utc(entry.action_time), str(entry.user), entry.change_message, "staff")


def _pause(entry: LogEntry) -> Event:
    detail = f"{entry.object_repr}: {entry.change_message}"
    return Event(utc(entry.action_time), str(entry.user), detail, "staff")


def _end(notification: Notification) -> Iterator[Event]:
    status = notification.status
    if status in ENDS and notification.settled_at:
        code = notification.error_code
        said = ": ".join(part for part in (code, error_in_words(notification)) if part)
        level = "bad" if status == Status.FAILED else ""
        yield Event(
            notification.settled_at, say("It is {status}", status=word(status.value)), said, level
        )


def _now(notification: Notification) -> Iterator[Event]:
    if notification.state == State.DISPATCHING:
        begun = say(
            "Attempt {number} at {provider} has begun",
            number=notification.attempt_count,
            provider=notification.provider,
        )
        yield Event(notification.dispatched_at, begun, say("no answer yet"), "warn")
    waiting = explain.waiting(notification)
    if waiting:
        was_put_off = notification.state in WAITING and notification.wait_reason
        title = say("Put off, and waits") if was_put_off else say("Waits")
        yield Event(None, title, in_words(waiting), "warn")
    if notification.cancel_requested:
        yield Event(
            None, say("Its cancellation was asked for"), say("no further attempt is made"), "warn"
        )
