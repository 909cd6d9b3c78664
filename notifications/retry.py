"""Whether and when to try again: a pure decision over values, no clock and no database."""

import random
from dataclasses import dataclass

from .conf import Retry
from .enums import AttemptOutcome, OnUnknown
from .lifecycle import Move
from .messages import Outcome

FAST_RETRY_SECONDS = 60.0
"""Delays up to this one may also be carried by a Celery countdown; longer ones live in the row."""

RETRY_AFTER_MAX_SECONDS = 3600.0
"""The longest wait a provider can wish for."""


@dataclass(frozen=True, slots=True)
class History:
    """What is known of a notification's earlier attempts when one more has ended.

    `spent` counts the attempts that used up the budget, the one just ended among them.
    `ambiguous` says whether an earlier attempt may have been delivered.
    """

    spent: int
    ambiguous: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The move an outcome leads to, and after how many seconds the next attempt is due.

    `following` is the provider that is to make it; empty where the round begins anew.
    """

    move: Move
    delay: float = 0.0
    free: bool = False
    following: str = ""


def decide(
    outcome: Outcome,
    history: History,
    policy: Retry,
    on_unknown: OnUnknown,
    honours_key: bool,
    following: str = "",
    one_account: bool = True,
) -> Decision:
    """What becomes of a notification after `outcome`.

    A provider that has definitely not taken it leaves it to the `following` one, at once. To be
    throttled is free where it is our account that is too fast; where each recipient refuses for
    itself (`one_account` is not so), one that does so for ever uses up the attempts.

    A message that may have been delivered once is never called failed: when no attempt is
    left, or a later attempt is refused for good, it is parked as unknown, unless the provider
    honours keys and so speaks for all attempts at once.
    """
    may_be_delivered = history.ambiguous and not honours_key
    last = Move.PARK if may_be_delivered else Move.FAIL
    exhausted = history.spent >= policy.max_attempts
    match outcome.kind:
        case AttemptOutcome.ACCEPTED:
            return Decision(Move.ACCEPT)
        case AttemptOutcome.ABANDONED:
            return Decision(Move.ABANDON, free=True)
        case AttemptOutcome.THROTTLED if one_account:
            return _retry(outcome, history, policy, following, free=True)
        case AttemptOutcome.PERMANENT:
            return Decision(last)
        case AttemptOutcome.TRANSIENT | AttemptOutcome.THROTTLED:
            if exhausted:
                return Decision(last)
            return _retry(outcome, history, policy, following)
        case AttemptOutcome.AMBIGUOUS:
            if exhausted or not (honours_key or on_unknown is OnUnknown.RETRY):
                return Decision(Move.PARK)
            return Decision(Move.RETRY, delay_after(outcome, history, policy))


def _retry(
    outcome: Outcome, history: History, policy: Retry, following: str, free: bool = False
) -> Decision:
    if following:
        return Decision(Move.RETRY, free=free, following=following)
    return Decision(Move.RETRY, delay_after(outcome, history, policy), free)


def delay_after(outcome: Outcome, history: History, policy: Retry) -> float:
    """Seconds until the next attempt: the backoff, or longer where the provider asks for it."""
    wish = min(outcome.retry_after or 0.0, RETRY_AFTER_MAX_SECONDS)
    return max(backoff(history.spent, policy), wish)


def backoff(spent: int, policy: Retry) -> float:
    """Seconds after the `spent`-th attempt: as the schedule says, or else doubling."""
    return _scheduled(spent, policy) if policy.schedule else _doubled(spent, policy)


def _scheduled(spent: int, policy: Retry) -> float:
    """The delay of the schedule, or its last one; a tenth more or less by chance."""
    index = min(max(spent, 1), len(policy.schedule)) - 1
    full = policy.schedule[index]
    return full * random.uniform(0.9, 1.1) if policy.jitter else full  # noqa: S311 - no secret


def _doubled(spent: int, policy: Retry) -> float:
    """Doubling from `policy.backoff`, with equal jitter.

    Half of the delay is fixed: full jitter (Celery's own) includes 0 s, and measured 35 of 60
    first retries went at once.
    """
    exponent = min(max(spent - 1, 0), 62)
    full = min(policy.backoff * 2.0**exponent, policy.backoff_max)
    return full * random.uniform(0.5, 1.0) if policy.jitter else full  # noqa: S311 - no secret
