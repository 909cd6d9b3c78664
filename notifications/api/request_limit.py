"""How many requests a tenant may make, over all processes: a limit of the gates as any other.

A process asks the gates for a block of requests at a time, and remembers a refusal until it is
over. So most requests cost nothing here, neither those that may go on nor a flood of those that
may not.
"""

import math
import threading
import time
from dataclasses import dataclass
from functools import lru_cache

from ..conf import Rate, get_settings, parse_rates
from ..gates import get_limiter
from ..messages import Grant, Limit, Want
from ..models import Tenant
from .problems import Problem, Refused

BLOCKS_PER_BURST = 20
"""A process that dies takes at most such a part of a burst with it."""

Limits = tuple[Limit, ...]


@dataclass(slots=True)
class _Account:
    """What is left of the last block, or the refusal and the moment at which it is over."""

    left: int = 0
    refusal: Grant | None = None
    until: float = 0.0


def count_request(tenant: Tenant) -> None:
    """Let a request of `tenant` go on, or raise Refused with a 429 that says when to come back."""
    rates = _rates(tenant)
    if not rates:
        return
    limits = {f"api:{tenant.name}:{rate}": rate for rate in rates}
    asked = tuple(Limit(key, rate.per_second, rate.burst) for key, rate in limits.items())
    refusal = _take_one(asked)
    if refusal:
        raise Refused(_too_many(refusal, limits[refusal.limited_by]))


def forget_requests() -> None:
    """Ask the gates anew next time."""
    _accounts.clear()


def _rates(tenant: Tenant) -> tuple[Rate, ...]:
    if tenant.api_rate_limit:
        return _parsed(tenant.api_rate_limit)
    return get_settings().api_rate_limit


_parsed = lru_cache(maxsize=1024)(parse_rates)

_accounts: dict[Limits, _Account] = {}
_lock = threading.Lock()


def _take_one(limits: Limits) -> Grant | None:
    """None for a request that may go on. The gates are asked without the lock: they may be slow."""
    with _lock:
        account = _accounts.setdefault(limits, _Account())
        if account.left:
            account.left -= 1
            return None
        wait = account.until - time.monotonic()
        if account.refusal and wait > 0:
            return Grant(0, account.refusal.limited_by, wait, account.refusal.rate)
    [grant] = get_limiter().take([Want(limits, _block(limits))])
    return _keep(account, grant)


def _keep(account: _Account, grant: Grant) -> Grant | None:
    with _lock:
        if grant.units:
            account.left += grant.units - 1
            return None
        account.refusal, account.until = grant, time.monotonic() + grant.retry_after
    return grant


def _block(limits: Limits) -> int:
    return max(1, min(limit.burst for limit in limits) // BLOCKS_PER_BURST)


def _too_many(refusal: Grant, rate: Rate) -> Problem:
    seconds = max(1, math.ceil(refusal.retry_after))
    return Problem(
        429,
        "too_many_requests",
        f"The tenant of this key may make {rate} requests; come back in {seconds} s. "
        "POST /notify/batch takes up to 1,000 notifications in one.",
        headers={
            "Retry-After": str(seconds),
            "RateLimit": f'"{rate}";r=0;t={seconds}',
            "RateLimit-Policy": f'"{rate}";q={rate.units};w={rate.seconds}',
        },
    )
