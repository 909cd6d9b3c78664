"""Rate limits kept in Redis: a key for each, all of a call's read and moved on by one script.

One round trip a call, for any number of wants and limits. A key lives as long as its limit is
used up to any part.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...messages import Grant, Limit, Want
from .. import gcra
from ..base import Limiter
from .connection import connection
from .local import LocalShare
from .options import Options

SCRIPT, PEEK = "gcra.lua", "peek.lua"


class RedisLimiter(Limiter):
    """Counts in Redis; while that is away, a share of each limit for this process alone.

    `take` then raises nothing, and hardly ever waits.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        read = Options.of(options)
        self._connection = connection(read.url)
        self._prefix = read.prefix
        self._local = LocalShare(read.local_share)

    @classmethod
    def problems(cls, options: Mapping[str, Any]) -> list[str]:
        return Options.problems(options)

    def take(self, wants: Sequence[Want]) -> list[Grant]:
        keys = sorted({limit.key for want in wants for limit in want.limits})
        if not keys:
            return [Grant(want.units) for want in wants]
        places = {key: place for place, key in enumerate(keys, start=1)}
        answers = self._connection.run(SCRIPT, self._names(keys), list(_arguments(wants, places)))
        if answers is None:
            return self._local.take(wants)
        return [_grant(want, *answer) for want, answer in zip(wants, answers, strict=True)]

    def used(self, limits: Sequence[Limit]) -> Mapping[str, float]:
        keys = sorted({limit.key for limit in limits})
        answer = self._connection.run(PEEK, self._names(keys), []) if keys else None
        if answer is None:
            return {}
        now, *arrivals = map(float, answer)
        found = dict(zip(keys, arrivals, strict=True))
        return {limit.key: gcra.used(limit, found[limit.key], now) for limit in limits}

    def _names(self, keys: Sequence[str]) -> list[str]:
        # The hash tag makes them one slot: a cluster runs a script over no more than that.
        return [f"{{{self._prefix}}}:limit:{key}" for key in keys]


def _arguments(wants: Sequence[Want], places: Mapping[str, int]) -> Iterator[int | str]:
    for want in wants:
        yield want.units
        yield len(want.limits)
        for limit in want.limits:
            yield from (places[limit.key], repr(limit.rate), limit.burst)


def _grant(want: Want, units: int, which: int, wait: bytes) -> Grant:
    if not which:
        return Grant(units)
    limit = want.limits[which - 1]
    return Grant(units, limited_by=limit.key, retry_after=float(wait), rate=limit.rate)
