"""How many the limits will let go: asked before anything is released, on an account of its own.

What is released is what will soon ask for tokens. So each limit is counted twice, by the same
backend: at the release, under a key of the dispatchers, and at the gates, where it holds. More
released than the limit allows would only be refused, put off, and released again.
"""

from collections.abc import Sequence
from dataclasses import replace

from ..enums import Channel, Scope
from ..gates import get_limiter
from ..messages import Grant, Limit, Want
from . import policy
from .route import providers_of

RELEASE = "release:"

CLOSED = Limit("release:closed", rate=1e9, burst=0)
"""Never lets anything go: a want under it costs nothing, and tells which other limit is spent."""

Limits = tuple[Limit, ...]


def of_lane(channel: Channel) -> Limits:
    """The limits that all tenants of a lane share."""
    return (*policy.current().limits_of(Scope.CHANNEL, channel), *_of_providers(channel))


def of_tenant(name: str) -> Limits:
    return policy.current().limits_of(Scope.TENANT, name)


def take(lane: Limits, tenant: Limits, units: int) -> Grant:
    """How many of `units` may be released now.

    A day's limit is not counted here: what a day has left cannot be reckoned from what was
    released, as that may come back unsent.
    """
    steady = tuple(limit for limit in (*lane, *tenant) if _is_steady(limit))
    if not steady:
        return Grant(units)
    own = tuple(replace(limit, key=RELEASE + limit.key) for limit in steady)
    [grant] = get_limiter().take([Want(own, units)])
    return replace(grant, limited_by=grant.limited_by.removeprefix(RELEASE))


def at_once(limits: Limits, most: int) -> int:
    """No more than the limits let go at once."""
    return min([most, *(limit.burst for limit in limits if _is_steady(limit))])


def is_spent(limits: Limits) -> bool:
    """Whether one of the day's limits among `limits` has nothing left now."""
    daily = tuple(limit for limit in limits if not _is_steady(limit))
    if not daily:
        return False
    [grant] = get_limiter().take([Want((*daily, CLOSED), 1)])
    return grant.limited_by != CLOSED.key


def _is_steady(limit: Limit) -> bool:
    """Whether its burst is there again within about a second, or is a single unit."""
    return limit.burst <= limit.rate + 1


def _of_providers(channel: Channel) -> Limits:
    """What the channel's providers let go together; nothing, when one of them has no limit."""
    names = _open_providers(channel)
    each = [policy.current().limits_of(Scope.PROVIDER, name) for name in names]
    if len(each) == 1:
        return each[0]
    steady = [[limit for limit in limits if _is_steady(limit)] for limits in each]
    if not all(steady):
        return ()
    tightest = [min(limits, key=lambda limit: limit.rate) for limits in steady]
    rate, burst = sum(limit.rate for limit in tightest), sum(limit.burst for limit in tightest)
    return (Limit(f"{Scope.PROVIDER}:{'+'.join(names)}:{rate:g}", rate, burst),)


def _open_providers(channel: Channel) -> Sequence[str]:
    pauses = policy.current().pauses
    return [name for name in providers_of(channel) if (Scope.PROVIDER, name) not in pauses]
