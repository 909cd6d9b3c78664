"""How fast the provider at hand may be used: what refusals for being too fast have led to.

It is advice, as the circuit is: when its book cannot be reached, messages go at full speed.
"""

import logging
import os
import threading
import time
from collections import defaultdict, deque
from collections.abc import Sequence

from django.db import InterfaceError, OperationalError

from ..enums import AttemptOutcome, Scope
from ..gates import get_pacer
from ..messages import Limit, Outcome, Pace
from ..providers.registry import get_provider

logger = logging.getLogger(__name__)

DEFAULT_WAIT_SECONDS = 1.0
"""How long a provider waits that refuses without saying until when."""

BURST_SECONDS = 0.25
"""So much of a second's worth may go at once while an account is slowed down."""

REFUSALS = (AttemptOutcome.THROTTLED, AttemptOutcome.TRANSIENT)


def current(provider: str) -> Pace:
    """How fast `provider` may be used now; never inside a transaction."""
    if not get_provider(provider).one_account:
        return Pace()
    try:
        return get_pacer().current(provider)
    except (OperationalError, InterfaceError) as error:
        logger.warning("the pace of %s is not known: %s", provider, type(error).__name__)
        return Pace()


def limits(provider: str, pace: Pace) -> tuple[Limit, ...]:
    """The pace as a limit of the whole cluster, beside those of the settings."""
    if pace.rate is None:
        return ()
    burst = max(1, round(pace.rate * BURST_SECONDS))
    return (Limit(f"{Scope.PROVIDER}:{provider}:pace", pace.rate, burst),)


def tell(provider: str, outcomes: Sequence[Outcome]) -> None:
    """Count what was sent, and slow the account down where the provider asks for it."""
    _meter.count(provider, len(outcomes))
    waits = [_wait(outcome) for outcome in outcomes if _is_refusal(outcome)]
    if not waits or not get_provider(provider).one_account:
        return
    try:
        get_pacer().slow(provider, max(waits), _meter.rate(provider))
    except (OperationalError, InterfaceError) as error:
        logger.warning("the pace of %s was not told: %s", provider, type(error).__name__)


def _is_refusal(outcome: Outcome) -> bool:
    if outcome.kind is AttemptOutcome.THROTTLED:
        return True
    return outcome.kind in REFUSALS and outcome.retry_after is not None


def _wait(outcome: Outcome) -> float:
    return DEFAULT_WAIT_SECONDS if outcome.retry_after is None else max(0.0, outcome.retry_after)


class Meter:
    """What this process has sent to each provider within the last second."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent: dict[str, deque[tuple[float, int]]] = defaultdict(deque)

    def count(self, provider: str, units: int) -> None:
        now = time.monotonic()
        with self._lock:
            sent = self._sent[provider]
            sent.append((now, units))
            while sent[0][0] < now - 1:
                sent.popleft()

    def rate(self, provider: str) -> float:
        """Units a second."""
        with self._lock:
            return float(sum(units for _, units in self._sent[provider]))


_meter = Meter()


def _start_anew() -> None:
    global _meter
    _meter = Meter()


os.register_at_fork(after_in_child=_start_anew)
