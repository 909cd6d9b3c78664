"""What would become of a draft, if it were accepted now; nothing is stored, nothing is taken."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from ..channels import CHANNELS
from ..conf import get_settings
from ..enums import Channel, State, Status, WaitReason
from ..idempotency import fingerprint
from ..lifecycle import STATUS_OF_STATE
from ..messages import Draft
from ..models import Endpoint, Notification, Tenant
from . import accept, explain, preferences, route, suppress
from .explain import Holds, Waiting
from .suppress import Why
from .templates import resolve


class Verdict(StrEnum):
    """What the key of a draft makes of it."""

    ACCEPTED = "accepted"
    REPLAYED = "replayed"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Stop:
    """A provider that would be asked, in its turn; `weight` is its share where they are drawn."""

    name: str
    weight: int | None
    waiting: Waiting | None


@dataclass(frozen=True, slots=True)
class Allowed:
    """A limit on its way: `available` may go at once, then `rate` a second."""

    scope: str
    rate: float
    available: int


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """`draft` has its content; `stored` is what its key holds already.

    `status` is what it would begin with; it and all that follows are empty unless it is accepted.
    `earliest_at` is None where nothing would be sent, or nobody knows when.
    """

    draft: Draft
    verdict: Verdict
    stored: UUID | None = None
    status: Status | None = None
    suppression: Why | None = None
    stops: tuple[Stop, ...] = ()
    limits: tuple[Allowed, ...] = ()
    waiting: Waiting | None = None
    earliest_at: datetime | None = None
    warning: str = ""


def rehearse(tenant: Tenant, draft: Draft) -> Rehearsal:
    """What `accept_one` and the workers would do; raises InvalidNotification as it does."""
    resolved = resolve(tenant, [draft])
    draft = resolved.drafts[0]
    if holder := _holder(tenant, draft):
        same = holder.fingerprint == fingerprint(draft)
        return Rehearsal(draft, Verdict.REPLAYED if same else Verdict.CONFLICT, holder.pk)
    if resolved.errors:
        raise resolved.errors[0]
    holds = Holds()
    if draft.expires_at and draft.expires_at <= holds.now:
        raise accept.expired()
    if why := _held(tenant, draft):
        return Rehearsal(draft, Verdict.ACCEPTED, status=Status.SUPPRESSED, suppression=why)
    if draft.digest:
        warning = "it would be gathered with others of its digest, and sent when that closes"
        return Rehearsal(draft, Verdict.ACCEPTED, status=Status.SCHEDULED, warning=warning)
    return _of_row(holds, draft, _row(holds, tenant, draft))


def _held(tenant: Tenant, draft: Draft) -> Why | None:
    """Why nothing is sent to its recipient; a suppression goes before a preference."""
    found = [held_drafts(tenant, [draft]).get(0) for held_drafts in reversed(accept.HOLDING)]
    return next((why for why in found if why), None)


def _holder(tenant: Tenant, draft: Draft) -> Notification | None:
    if draft.idempotency_key is None:
        return None
    rows = Notification.objects.filter(tenant=tenant, idempotency_key=draft.idempotency_key)
    return rows.only("id", "fingerprint").first()


def _row(holds: Holds, tenant: Tenant, draft: Draft) -> Notification:
    """The row that there would be; never saved."""
    is_later = draft.send_at is not None and draft.send_at > holds.now
    due_at = draft.send_at if draft.send_at is not None and is_later else holds.now
    relayed_for = timedelta(seconds=0 if is_later else get_settings().hint_seconds)
    return Notification(
        tenant=tenant,
        channel=draft.channel,
        priority=draft.priority,
        to=draft.to,
        content=draft.content,
        template_version_id=draft.template_version_id,
        category=draft.category,
        state=State.SCHEDULED if is_later else State.QUEUED,
        due_at=due_at,
        publish_at=due_at + relayed_for,
        expires_at=draft.expires_at,
    )


def _of_row(holds: Holds, draft: Draft, row: Notification) -> Rehearsal:
    waiting = _waiting(row, holds)
    names = route.candidates(row)
    return Rehearsal(
        draft,
        Verdict.ACCEPTED,
        status=STATUS_OF_STATE[State(row.state)],
        stops=tuple(_stop(holds, row, name) for name in names),
        limits=tuple(
            Allowed(limit.key, limit.rate, holds.available(limit, limit.burst))
            for limit in holds.limits(row.channel, names[0], row.tenant.name)
        ),
        waiting=waiting,
        earliest_at=_earliest(holds, row, waiting),
        warning=_warning(row) or _of_some(row.tenant, draft),
    )


def _waiting(row: Notification, holds: Holds) -> Waiting | None:
    """What it would wait for first, then for the end of its recipient's quiet hours."""
    waiting = explain.waiting(row, holds)
    moment = _earliest(holds, row, waiting)
    until = moment and preferences.quiet_until(row, moment)
    return explain.of_quiet_hours(until) if until else waiting


def _stop(holds: Holds, row: Notification, name: str) -> Stop:
    weight = get_settings().channel(row.channel).weights.get(name)
    return Stop(
        name, weight, holds.on_way(row.channel, name, row.tenant.name, row.template_version_id)
    )


def _earliest(holds: Holds, row: Notification, waiting: Waiting | None) -> datetime | None:
    if waiting and waiting.reason == WaitReason.PAUSED:
        return None
    if not holds.has_worker(row.channel, row.priority):
        return None
    return max(row.due_at, waiting.until) if waiting and waiting.until else row.due_at


def _warning(row: Notification) -> str:
    if CHANNELS[Channel(row.channel)].signed and _is_disabled(row):
        return "its endpoint is disabled: it would fail; enable it first"
    return ""


def _of_some(tenant: Tenant, draft: Draft) -> str:
    count = suppress.count_withheld(tenant, draft)
    return f"it would not be sent to {count} of its recipients, who are suppressed" if count else ""


def _is_disabled(row: Notification) -> bool:
    return Endpoint.objects.filter(tenant=row.tenant, url=row.to, is_active=False).exists()
