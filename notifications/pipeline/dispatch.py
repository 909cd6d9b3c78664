"""What is due and has no live message gets one: the safety net under relay and retries.

Any number of processes may dispatch at once: rows are taken with locks that others pass over,
and a hint too many is a no-op. Tenants take turns, so that none waits behind another's backlog.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from uuid import UUID

from django.db.models.functions import Now

from ..conf import get_settings
from ..enums import Channel, Priority, Scope
from ..exceptions import BrokerUnavailable
from ..models import Notification, Tenant
from . import database, policy
from .publish import publish

logger = logging.getLogger(__name__)

MESSAGES_PER_ROUND = 20
"""Broker messages for one lane in one round, where no limit asks for less."""


@dataclass(frozen=True, slots=True)
class Lane:
    """A queue's worth: one channel at one priority."""

    channel: Channel
    priority: Priority


def dispatch_due() -> int:
    """Publish what is owed, the most urgent first; how many notifications that was.

    Raises BrokerUnavailable; what was not published stays owed. Every worker asks every second,
    so that with nothing to do it is one probe of an index.
    """
    if not _is_any_owed():
        return 0
    lanes = [Lane(channel, priority) for priority in Priority for channel in Channel]
    return sum(_dispatch_lane(lane) for lane in lanes if not _is_paused(lane.channel))


def _is_any_owed() -> bool:
    # Condition, order and column of the index by time: so PostgreSQL takes it, however many rows it
    # expects to match. `exists()` would drop the order, and read the table to find one of many.
    owed = Notification.objects.waiting().filter(cancel_requested=False, publish_at__lte=Now())
    return owed.order_by("publish_at").values_list("publish_at").first() is not None


def _is_paused(channel: Channel) -> bool:
    provider = get_settings().channel(channel).providers[0]
    pauses = policy.current().pauses
    return (Scope.CHANNEL, channel) in pauses or (Scope.PROVIDER, provider) in pauses


def _dispatch_lane(lane: Lane) -> int:
    tenants = _tenants(lane)
    if not tenants:
        return 0
    ids = _take(lane, tenants)
    size = get_settings().batch_size
    for start in range(0, len(ids), size):
        _publish(lane, ids[start : start + size], ids[start:])
    return len(ids)


def _tenants(lane: Lane) -> list[Tenant]:
    held = policy.current().held_tenants()
    owed = Tenant.objects.owed(lane.channel, lane.priority)
    return list(owed.exclude(name__in=held) if held else owed)


def _take(lane: Lane, tenants: Sequence[Tenant]) -> list[UUID]:
    """Mark as hinted what is to be published, in turns over the tenants."""
    most = _capacity(lane.channel)
    share = math.ceil(most / len(tenants))
    with database.atomic():
        queues = [_owed(lane, tenant, most if share == most else share * 2) for tenant in tenants]
        ids = list(_in_turns(queues))[:most]
        Notification.objects.hint(ids, get_settings().hint_seconds)
    return ids


def _owed(lane: Lane, tenant: Tenant, most: int) -> list[UUID]:
    owed = Notification.objects.owed(lane.channel, lane.priority).filter(tenant=tenant)
    return list(owed.order_by("publish_at").lock().values_list("pk", flat=True)[:most])


def _in_turns(queues: Sequence[Sequence[UUID]]) -> Iterator[UUID]:
    for turn in zip_longest(*queues):
        yield from (id for id in turn if id is not None)


def _capacity(channel: Channel) -> int:
    """How many may be released in one round: no more than the limits let go until the next."""
    settings = get_settings()
    most = settings.batch_size * MESSAGES_PER_ROUND
    snapshot = policy.current()
    limits = (
        *snapshot.limits_of(Scope.CHANNEL, channel),
        *snapshot.limits_of(Scope.PROVIDER, settings.channel(channel).providers[0]),
    )
    return min([most, *(max(1, math.ceil(limit.rate)) for limit in limits)])


def _publish(lane: Lane, ids: Sequence[UUID], unpublished: Sequence[UUID]) -> None:
    try:
        publish(lane.channel, lane.priority, ids)
    except BrokerUnavailable:
        Notification.objects.hint(unpublished, 0)
        raise
