"""Which provider a notification goes to: those of its channel, in their order.

A provider that is paused, whose circuit is open, that slows us down or whose limit is spent is
passed over, and one that has definitely refused a message is not asked again in the same round.
One that may have the message already is never left for another.
"""

import random
from uuid import UUID

from ..conf import get_settings
from ..enums import Scope, WaitReason
from ..models import Notification


def providers_of(channel: str) -> tuple[str, ...]:
    """All providers of `channel`, the preferred one first."""
    return get_settings().channel(channel).providers


def candidates(row: Notification) -> tuple[str, ...]:
    """The providers that may be asked to take `row` now, the one to ask first in front."""
    if row.was_ambiguous and row.provider in get_settings().providers:
        return (row.provider,)
    order = _order(row)
    pointed = _pointed(row)
    return order[order.index(pointed) :] if pointed in order else order


def following(row: Notification, provider: str) -> str:
    """Who is asked next, at once, after `provider` has definitely refused `row`.

    Empty when all have been asked, or when one of them may have it.
    """
    order = _order(row)
    if row.was_ambiguous or provider not in order:
        return ""
    return next(iter(order[order.index(provider) + 1 :]), "")


def is_pointed(row: Notification) -> bool:
    """Whether an earlier provider of this round has refused `row`."""
    return bool(_pointed(row))


def scope_of(provider: str) -> str:
    return f"{Scope.PROVIDER}:{provider}"


def _pointed(row: Notification) -> str:
    """The provider that the last refusal has pointed to."""
    if row.wait_reason != WaitReason.QUEUE:
        return ""
    return row.wait_scope.removeprefix(scope_of(""))


def _order(row: Notification) -> tuple[str, ...]:
    settings = get_settings().channel(row.channel)
    if not settings.weights:
        return settings.providers
    return _drawn(row.pk, tuple(settings.weights.items()))


def _drawn(id: UUID, weights: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    """A weighted draw without replacement (Efraimidis and Spirakis), the same for each attempt."""
    luck = random.Random(id.int)  # noqa: S311 - no secret
    drawn = sorted((-(luck.random() ** (1 / weight)), name) for name, weight in weights)
    return tuple(name for _, name in drawn)
