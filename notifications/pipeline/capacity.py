"""How fast a channel can go at most: what limits and refusals leave of it."""

from collections.abc import Sequence
from typing import NamedTuple

from ..enums import Channel, Scope
from ..messages import Limit
from . import pace, policy
from .holds import Holds
from .route import providers_of


class Bound(NamedTuple):
    """No more than `rate` a second, after what its limits let go at once."""

    key: str
    rate: float
    limits: tuple[Limit, ...]

    @property
    def burst(self) -> int:
        return sum(limit.burst for limit in self.limits)

    def seconds(self, holds: Holds, work: int) -> float:
        """How long `work` notifications take within it."""
        at_once = sum(holds.available(limit, work) for limit in self.limits)
        return max(0, work - at_once) / self.rate


def of_channel(holds: Holds, channel: Channel) -> list[Bound]:
    """What holds for all tenants together."""
    own = policy.current().limits_of(Scope.CHANNEL, channel)
    return [*map(_alone, own), *_of_providers(holds, channel)]


def of_tenant(name: str) -> list[Bound]:
    return [_alone(limit) for limit in policy.current().limits_of(Scope.TENANT, name)]


def tightest(holds: Holds, channel: Channel, tenant: str) -> Bound | None:
    """The slowest of those that go on all the time; a day's worth may go at once, and is not."""
    bounds = [*of_channel(holds, channel), *of_tenant(tenant)]
    steady = [bound for bound in bounds if bound.burst <= bound.rate + len(bound.limits)]
    return min(steady, key=lambda bound: bound.rate, default=None)


def _of_providers(holds: Holds, channel: Channel) -> list[Bound]:
    """Those of the only provider that is asked now, or one for what several let go together."""
    pauses = policy.current().pauses
    names = [name for name in providers_of(channel) if (Scope.PROVIDER, name) not in pauses]
    usable = [name for name in names if not holds.on_provider(name)] or names
    each = [_limits(holds, name) for name in usable]
    if len(each) == 1:
        return [_alone(limit) for limit in each[0]]
    if not each or not all(each):
        return []
    slowest = tuple(min(limits, key=lambda limit: limit.rate) for limits in each)
    rate = sum(limit.rate for limit in slowest)
    return [Bound(f"{Scope.PROVIDER}:{'+'.join(usable)}:{rate:g}/s", rate, slowest)]


def _limits(holds: Holds, provider: str) -> Sequence[Limit]:
    slowed = pace.limits(provider, holds.pace(provider))
    return (*policy.current().limits_of(Scope.PROVIDER, provider), *slowed)


def _alone(limit: Limit) -> Bound:
    return Bound(limit.key, limit.rate, (limit,))
