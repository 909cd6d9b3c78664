"""The arithmetic of rate limits: the generic cell rate algorithm, pure.

A limit is a single number, the theoretical arrival time: the moment at which its whole burst
will be there again. A unit moves it on by 1/rate, and may go while that keeps it within
burst/rate of now. No counter to refill, nothing that grows with the rate, and a limit that
was never used is simply 0.
"""

from collections.abc import MutableMapping
from math import floor

from ..messages import Grant, Limit, Want

TICK = 1e-4
"""Seconds by which a unit may go early: floats this far from 1970 round, and the errors add up."""


def take(want: Want, arrivals: MutableMapping[str, float], now: float) -> Grant:
    """Grant what all limits of `want` have at `now`, and move their `arrivals` on.

    `arrivals` and `now` are in seconds of the same clock; a key that is not there was never used.
    """
    units = min([want.units, *(_available(limit, arrivals, now) for limit in want.limits)])
    for limit in want.limits if units else ():
        arrivals[limit.key] = _arrival(limit, arrivals, now) + units / limit.rate
    return Grant(units) if units == want.units else _refusal(units, want, arrivals, now)


def used(limit: Limit, arrival: float, now: float) -> float:
    """How many of the limit's units are spent at `now`, of its burst."""
    ahead = _arrival(limit, {limit.key: arrival}, now) - now
    return ahead * limit.rate


def _refusal(units: int, want: Want, arrivals: MutableMapping[str, float], now: float) -> Grant:
    """The limit that has its next unit last is the one that holds up the rest."""
    waits = [(_wait(limit, arrivals, now), limit) for limit in want.limits]
    wait, limit = max(waits, key=lambda pair: pair[0])
    return Grant(units, limited_by=limit.key, retry_after=wait, rate=limit.rate)


def _available(limit: Limit, arrivals: MutableMapping[str, float], now: float) -> int:
    ahead = max(0.0, _arrival(limit, arrivals, now) - now - TICK)
    return max(0, floor(limit.burst - ahead * limit.rate))


def _wait(limit: Limit, arrivals: MutableMapping[str, float], now: float) -> float:
    """Seconds until the limit has one unit (more)."""
    return max(0.0, _arrival(limit, arrivals, now) - now - (limit.burst - 1) / limit.rate)


def _arrival(limit: Limit, arrivals: MutableMapping[str, float], now: float) -> float:
    """The arrival time, within what this limit can have caused.

    Above that it stems from a stricter rate of the same key or from a clock that was set back,
    and would hold everything up for hours.
    """
    return min(max(arrivals.get(limit.key, 0.0), now), now + limit.burst / limit.rate)
