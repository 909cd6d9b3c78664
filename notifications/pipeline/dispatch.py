"""What is due and has no live message gets one: the safety net under relay and retries.

No more is released than can be sent soon, in turns over the tenants, half of it first attempts
and half retries while there are both. So nobody waits behind the backlog of another, nor behind
the retries of an outage. Any number of processes dispatch, one at a time for each lane, and each
keeps its own account of turns. Should two of them do so at once all the same, rows are taken with
locks that others pass over, and a hint too many is a no-op.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from django.core.signals import setting_changed

from ..conf import get_settings
from ..enums import Channel, Scope, State
from ..exceptions import BrokerUnavailable
from ..lifecycle import FRESH, TRIED, WAITING
from ..models import Notification, Worker
from . import allowance, database, policy
from .allowance import Limits
from .backlog import MOST_MESSAGES, Backlog, held
from .owing import Lane, Owed, owing
from .publish import publish, queue_name, waiting_messages
from .route import providers_of
from .turns import Take, Taken, Turns, in_turns

LIVE_SECONDS = 60.0
"""A worker that has not shown itself for so long is not counted on."""

Kind = tuple[frozenset[State], Turns]
OwedByKind = dict[frozenset[State], Sequence[Owed]]


class Round(NamedTuple):
    """How many notifications were released; `is_more` when others wait only for their turn."""

    released: int = 0
    is_more: bool = False


def dispatch_due() -> int:
    """Publish what is owed; how many notifications that was. Raises BrokerUnavailable."""
    return dispatch_round().released


def dispatch_round() -> Round:
    """Publish what is owed and can be sent soon, the most urgent first.

    Raises BrokerUnavailable; what was not published stays owed. Every worker asks every second,
    so that with nothing to do it is one statement.
    """
    fresh, tried = owing()
    lanes = [lane for lane in sorted({*fresh, *tried}) if not _is_paused(lane.channel)]
    if not lanes:
        return Round()
    workers = max(1, Worker.objects.seen_within(LIVE_SECONDS).count())
    rounds = [
        _flow_of(lane).dispatch(_not_held(fresh[lane]), _not_held(tried[lane]), workers)
        for lane in lanes
    ]
    return Round(sum(r.released for r in rounds), any(r.is_more for r in rounds))


def forget_flows() -> None:
    """Start with no memory of earlier rounds; the settings may be others now."""
    _flows.clear()


def _is_paused(channel: Channel) -> bool:
    pauses = policy.current().pauses
    if (Scope.CHANNEL, channel) in pauses:
        return True
    return all((Scope.PROVIDER, name) in pauses for name in providers_of(channel))


def _not_held(tenants: Iterable[Owed]) -> list[Owed]:
    held = policy.current().held_tenants()
    return [tenant for tenant in tenants if tenant.name not in held]


class Flow:
    """What this process remembers of a lane from round to round."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._queue = queue_name(lane.channel, lane.priority)
        self._lock = threading.Lock()
        self._kinds: list[Kind] = [(FRESH, Turns()), (TRIED, Turns())]

    def dispatch(self, fresh: Sequence[Owed], tried: Sequence[Owed], workers: int) -> Round:
        """One round of this lane, over the tenants that it owes something."""
        limits = allowance.of_lane(self._lane.channel)
        if not (fresh or tried) or allowance.is_spent(limits):
            return Round()
        with self._lock, held(self._queue, workers) as backlog:
            if backlog is None:  # another dispatcher is at it
                return Round(is_more=True)
            return self._dispatch(backlog, {FRESH: fresh, TRIED: tried}, limits)

    def _dispatch(self, backlog: Backlog, owed: OwedByKind, limits: Limits) -> Round:
        room = backlog.room(waiting_messages(self._queue))
        most = min(room, get_settings().batch_size * MOST_MESSAGES)
        taking = Taking(self._lane, limits, allowance.at_once(limits, most))
        ids = self._choose(owed, taking)
        backlog.tell(most, len(ids))
        is_more = bool(ids) or not room or taking.is_limited
        return Round(self._release(ids, backlog.size), is_more)

    def _choose(self, owed: OwedByKind, taking: "Taking") -> list[UUID]:
        """Half of the room for either kind, and to each what the other one leaves."""
        first, second = self._kinds
        self._kinds.reverse()  # where there is room for one alone, it is theirs by turns
        kept = taking.room // 2
        queues = _serve(first, owed, taking, taking.room - kept)
        may_want_more = taking.room == kept
        queues += _serve(second, owed, taking, taking.room)
        if may_want_more:
            queues += _serve(first, owed, taking, taking.room)
        return list(in_turns(queues))

    def _release(self, ids: Sequence[UUID], size: int) -> int:
        """In messages of `size`, what no other dispatcher has released meanwhile."""
        hinted = _hint(ids)
        for start in range(0, len(hinted), size):
            _publish(self._lane, hinted[start : start + size], hinted[start:])
        return len(hinted)


class Taking:
    """One round's share for a lane: `room` is what is left of it.

    `is_limited` says that a limit held something up which it lets go before the next tick.
    """

    def __init__(self, lane: Lane, limits: Limits, room: int) -> None:
        self.room = room
        self.is_limited = False
        self._lane = lane
        self._limits = limits
        self._had: Counter[tuple[frozenset[State], int]] = Counter()

    def of(self, kind: frozenset[State]) -> Take:
        """How tenants take what is owed to them of this kind."""
        return partial(self._take, kind)

    def _take(self, kind: frozenset[State], tenant: Owed, wanted: int) -> Taken:
        limits = allowance.of_tenant(tenant.name)
        if allowance.is_spent(limits):
            return Taken([])
        ids = self._owed(kind, tenant, allowance.at_once(limits, wanted))
        if not ids:
            return Taken([])
        grant = allowance.take(self._limits, limits, len(ids))
        ids = ids[: grant.units]
        is_last = grant.limited_by in {limit.key for limit in self._limits}
        self.is_limited |= 0 < grant.retry_after < get_settings().dispatch_seconds
        self._had[kind, tenant.id] += len(ids)
        self.room = 0 if is_last else self.room - len(ids)
        return Taken(ids, is_last)

    def _owed(self, kind: frozenset[State], tenant: Owed, most: int) -> list[UUID]:
        """The oldest that the tenant has not taken in this round already."""
        priority, channel = self._lane
        owed = Notification.objects.owed(kind).filter(
            channel=channel, priority=priority, tenant=tenant.id
        )
        if paused := policy.current().versions:
            owed = owed.exclude(template_version__in=list(paused))
        had = self._had[kind, tenant.id]
        return list(owed.order_by("publish_at").values_list("pk", flat=True)[had : had + most])


def _serve(kind: Kind, owed: OwedByKind, taking: Taking, room: int) -> list[list[UUID]]:
    states, turns = kind
    return turns.serve(owed[states], room, taking.of(states))


def _hint(ids: Sequence[UUID]) -> list[UUID]:
    """Those of `ids` that are still owed a message, and from now on no more."""
    if not ids:
        return []
    with database.quick():  # lost with the server, they get another message, which is a no-op
        owed = Notification.objects.owed(WAITING).filter(pk__in=ids).lock()
        held = set(owed.values_list("pk", flat=True))
        Notification.objects.hint(held, get_settings().hint_seconds)
    return [id for id in ids if id in held]


def _publish(lane: Lane, ids: Sequence[UUID], unpublished: Sequence[UUID]) -> None:
    try:
        publish(lane.channel, lane.priority, ids)
    except BrokerUnavailable:
        Notification.objects.hint(unpublished, 0)
        raise


_flows: dict[Lane, Flow] = {}


def _flow_of(lane: Lane) -> Flow:
    if lane not in _flows:
        _flows[lane] = Flow(lane)
    return _flows[lane]


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "NOTIFICATIONS":
        forget_flows()


setting_changed.connect(_forget)
