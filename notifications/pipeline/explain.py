"""Why a notification has not gone yet, in words: the truth of this moment.

What it was put off for may be over by now, and what is due may meet something that nobody has
met yet. So the row says only when it is looked at next; what it would meet is asked anew.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from django.db.models import Count, Q
from django.db.models.functions import Now

from ..enums import Channel, Priority, Scope, State, WaitReason
from ..labels import Phrase, phrase, phrase_of
from ..lifecycle import FRESH, IN_FLIGHT, TRIED, WAITING
from ..models import Endpoint, Notification
from . import capacity, route
from .holds import LIVE_SECONDS, Holds, Waiting
from .reconcile import AFTER_SECONDS, UNTIL_SECONDS, can_look_up
from .scopes import in_words

__all__ = ["AHEAD_MAX", "Holds", "Waiting", "waiting"]

AHEAD_MAX = 10_000
"""How many are counted ahead of one at most."""


def waiting(
    row: Notification, holds: Holds | None = None, ahead: int | None = None
) -> Waiting | None:
    """What `row` waits for; None when it is on its way or has arrived at its end.

    A handful of statements, however many wait. Share `holds` among rows that are looked at in
    the same moment; `ahead` of it are so many, where that has been counted already.
    """
    if row.state == State.UNKNOWN:
        return _of_unknown(row)
    if row.state == State.IN_DIGEST and row.digest:
        detail = phrase("it is gathered with others of its digest, which closes then")
        scope = f"digest:{row.digest.key}"
        return Waiting(WaitReason.DIGEST, scope, row.digest.closes_at, detail)
    if row.state in IN_FLIGHT:
        return _of_lapsed(row, holds or Holds())
    if row.state in WAITING:
        return _of_waiting(row, holds or Holds(), ahead)
    return None


def of_quiet_hours(until: datetime) -> Waiting:
    detail = phrase("its recipient has quiet hours until then")
    return Waiting(WaitReason.QUIET_HOURS, "", until, detail)


def _of_unknown(row: Notification) -> Waiting:
    scope = _scope(Scope.PROVIDER, row.provider)
    until = _asked_at(row)
    if until:
        detail = phrase(
            "an attempt's outcome is not known: {provider} is asked what became of it",
            provider=row.provider,
        )
    else:
        detail = phrase(
            "an attempt's outcome is not known: a receipt may tell, or retry it by hand"
        )
    return Waiting(WaitReason.RECONCILE, scope, until, detail)


def _asked_at(row: Notification) -> datetime | None:
    """When its provider is asked next about what became of it; None where that does not happen."""
    if row.dispatched_at is None or not can_look_up(row.provider):
        return None
    at = max(row.due_at, row.dispatched_at + timedelta(seconds=AFTER_SECONDS))
    return at if at < row.dispatched_at + timedelta(seconds=UNTIL_SECONDS) else None


def _of_lapsed(row: Notification, holds: Holds) -> Waiting | None:
    """A worker has it, which is no waiting, unless that worker is gone."""
    if row.lease_until is None or row.lease_until > holds.now:
        return None
    if row.state == State.LEASED:
        return _queue(row, None, phrase("the worker that held it is gone; it goes back in line"))
    detail = phrase("the worker that was sending it is gone; what became of it is being settled")
    return Waiting(WaitReason.RECONCILE, _scope(Scope.PROVIDER, row.provider), None, detail)


def _of_waiting(row: Notification, holds: Holds, ahead: int | None) -> Waiting:
    # What nothing has put off is due, whichever of two clocks is a moment ahead.
    is_later = row.due_at > holds.now and bool(row.wait_reason or row.state != State.QUEUED)
    if row.expires_at and row.expires_at <= holds.now:
        passed = phrase("its expires_at has passed; it is about to end as expired")
        return _queue(row, None, passed)
    if is_later and row.state == State.SCHEDULED:
        channel = _scope(Scope.CHANNEL, row.channel)
        return Waiting(WaitReason.SCHEDULED, channel, row.due_at, phrase("its send_at is later"))
    candidates, version = route.candidates(row), row.template_version_id
    held = holds.on_all(row.channel, candidates, row.tenant.name, version)
    if is_later:
        return _of_put_off(row, holds, held)
    return held or _of_due(row, holds, ahead)


def _of_put_off(row: Notification, holds: Holds, held: Waiting | None) -> Waiting:
    """It is not looked at before its time; whichever is in its way for longer is the reason."""
    if held and (held.until is None or held.until >= row.due_at):
        return held
    if held and held.reason == row.wait_reason:
        return replace(held, until=row.due_at)
    if row.wait_scope.startswith("endpoint:"):
        return _of_receiver(row)
    if row.wait_reason == WaitReason.QUIET_HOURS:
        return of_quiet_hours(row.due_at)
    if row.wait_reason == WaitReason.RATE_LIMIT:
        return _of_limited(row, holds)
    if row.wait_reason in (WaitReason.CIRCUIT_OPEN, WaitReason.PAUSED):
        return _over(row)
    if route.is_pointed(row):
        return _queue(row, row.due_at, phrase("it has its turn then"))
    if row.state == State.RETRY_WAIT:
        return _of_backoff(row)
    return _queue(row, row.due_at, phrase("it has been put off"))


def _of_receiver(row: Notification) -> Waiting:
    """Its receiver alone fails; whatever else goes out is not held up by that."""
    found = Endpoint.objects.filter(pk=row.wait_scope.removeprefix("endpoint:")).first()
    if found is None or not found.is_active:
        return _over(row)
    if found.failing_since is None:
        detail = phrase("its endpoint failed, or its secret could not be read; it is tried again")
    else:
        since = f"{found.failing_since:%Y-%m-%d %H:%M:%S} UTC"
        detail = phrase(
            "its endpoint does nothing but fail since {since}; one message at a time tries it",
            since=since,
        )
    return Waiting(WaitReason.CIRCUIT_OPEN, row.wait_scope, row.due_at, detail)


def _of_limited(row: Notification, holds: Holds) -> Waiting:
    ways = [(row.channel, provider, row.tenant.name) for provider in route.candidates(row)]
    if row.wait_scope not in {limit.key for way in ways for limit in holds.limits(*way)}:
        return _over(row)
    what = in_words(row.wait_scope)
    detail = phrase("the limit {what} was used up; it has its turn then", what=what)
    return Waiting(WaitReason.RATE_LIMIT, row.wait_scope, row.due_at, detail)


def _over(row: Notification) -> Waiting:
    """What it was put off for is there no longer; it was told to come back at its time."""
    what = in_words(row.wait_scope)
    detail = phrase("{what} held it up and does so no longer; it goes on then", what=what)
    return _queue(row, row.due_at, detail)


def _of_backoff(row: Notification) -> Waiting:
    scope = _scope(Scope.PROVIDER, row.provider)
    detail = phrase(
        "attempt {number} came to {code}; the next is due then",
        number=row.attempt_count,
        code=row.error_code or phrase("nothing"),
    )
    return Waiting(WaitReason.BACKOFF, scope, row.due_at, detail)


def _of_due(row: Notification, holds: Holds, ahead: int | None) -> Waiting:
    if not holds.has_any_worker:
        seconds = f"{LIVE_SECONDS:.0f}"
        nobody = phrase("no worker has been seen in the last {seconds} s", seconds=seconds)
        return _queue(row, None, nobody)
    if not holds.has_worker(row.channel, row.priority):
        lane = f"{row.channel}.{Priority(row.priority).label}"
        queue = f"notifications.{lane}"
        return _queue(row, None, phrase("no worker reads the queue {queue}", queue=queue))
    ahead = _ahead(row) if ahead is None else ahead
    due = phrase("it is due; {ahead}", ahead=_many(ahead))
    return _of_crowd(row, holds, ahead) or _queue(row, None, due)


def _of_crowd(row: Notification, holds: Holds, ahead: int) -> Waiting | None:
    """Where more wait than a limit lets go at once, it is the limit that is waited for."""
    tightest = capacity.tightest(holds, Channel(row.channel), row.tenant.name)
    if tightest is None or ahead < tightest.burst:
        return None
    seconds = ahead / tightest.rate
    until = holds.now + timedelta(seconds=seconds) if ahead <= AHEAD_MAX else None
    detail = phrase(
        "{ahead}, and no more go than the limit {what} allows",
        ahead=_many(ahead),
        what=in_words(tightest.key),
    )
    return Waiting(WaitReason.RATE_LIMIT, tightest.key, until, detail)


def _ahead(row: Notification) -> int:
    """How many of its tenant and its lane stand before it, up to one more than AHEAD_MAX.

    What has a message in the broker goes before what has none.
    """
    kind = TRIED if row.state in TRIED else FRESH
    lane = Notification.objects.in_states(kind).filter(
        channel=row.channel,
        priority=row.priority,
        tenant=row.tenant_id,
        publish_at__lt=row.publish_at,
    )
    first = lane.order_by("publish_at")[: AHEAD_MAX + 1]
    return int(first.aggregate(count=Count("pk", filter=Q(due_at__lte=Now())))["count"])


def _many(ahead: int) -> Phrase:
    if ahead > AHEAD_MAX:
        return phrase("more than {most} of its tenant are ahead of it", most=f"{AHEAD_MAX:,}")
    return phrase_of(
        "{count} of its tenant is ahead of it",
        "{count} of its tenant are ahead of it",
        ahead,
        count=f"{ahead:,}",
    )


def _queue(row: Notification, until: datetime | None, detail: Phrase) -> Waiting:
    if route.is_pointed(row):
        asked = phrase(
            "{provider} has refused it; {following} is asked next; {detail}",
            provider=row.provider,
            following=in_words(row.wait_scope),
            detail=detail,
        )
        return Waiting(WaitReason.QUEUE, row.wait_scope, until, asked)
    return Waiting(WaitReason.QUEUE, _scope(Scope.CHANNEL, row.channel), until, detail)


def _scope(scope: Scope, name: str) -> str:
    return f"{scope.value}:{name}"
