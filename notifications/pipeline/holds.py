"""What is in the way at this moment: pauses, circuits, refusals, limits, and who is there to work.

All of it is read and nothing is taken: looking costs no token and lets no probe through.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from django.core.exceptions import ImproperlyConfigured

from ..conf import get_settings
from ..enums import Channel, CircuitState, Priority, WaitReason
from ..gates import get_breaker, get_limiter
from ..labels import Phrase, a_word, phrase
from ..messages import Limit, Pace, Want
from ..models import Worker
from ..providers.registry import get_provider
from . import database, pace, policy, route
from .publish import queue_name
from .scopes import in_words

LIVE_SECONDS = 60.0
"""A worker that has not shown itself for so long is not counted on."""

LONG_SECONDS = 1.0
"""A limit that has its next unit sooner is at work, and in nobody's way."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is being waited for: `scope` names it, `until` is when it is looked at again."""

    reason: WaitReason
    scope: str
    until: datetime | None
    detail: Phrase


class Holds:
    """What holds now; each thing is asked for once, so make another one for another look."""

    def __init__(self) -> None:
        self._policy = policy.current()
        self._of_providers: dict[str, Waiting | None] = {}
        self._paces: dict[str, Pace] = {}
        self._of_limits: dict[tuple[Limit, ...], Waiting | None] = {}

    @cached_property
    def now(self) -> datetime:
        return database.now()

    def on_all(
        self, channel: str, providers: Sequence[str], tenant: str, version: int | None = None
    ) -> Waiting | None:
        """What holds up every one of the ways through `providers`; of several, what ends first.

        `version` is the id of the template's version that the message was made from.
        """
        return self._first_of([self.on_way(channel, p, tenant, version) for p in providers])

    def stops_all(self, channel: str, providers: Sequence[str], tenant: str) -> Waiting | None:
        """As `on_all`, but for the tenant's limits: it costs nothing more for another tenant."""
        ways = [self._pause(channel, p, tenant) or self.on_provider(p) for p in providers]
        return self._first_of(ways)

    def _first_of(self, found: Sequence[Waiting | None]) -> Waiting | None:
        held = [waiting for waiting in found if waiting]
        if len(held) < len(found):
            return None
        return min(held, key=lambda waiting: (waiting.until is None, waiting.until or self.now))

    def on_way(
        self, channel: str, provider: str, tenant: str, version: int | None = None
    ) -> Waiting | None:
        """What holds up a notification of `tenant` on its way through `provider`."""
        return (
            self._pause(channel, provider, tenant, version)
            or self.on_provider(provider)
            or self._spent(self.limits(channel, provider, tenant))
        )

    def on_provider(self, provider: str) -> Waiting | None:
        """Why nothing goes to `provider` now: its circuit, or because it asked us to wait."""
        if provider not in self._of_providers:
            self._of_providers[provider] = self._circuit(provider) or self._refused(provider)
        return self._of_providers[provider]

    def pace(self, provider: str) -> Pace:
        """How far `provider` has slowed us down."""
        if provider not in self._paces:
            self._paces[provider] = pace.current(provider) if _is_one_account(provider) else Pace()
        return self._paces[provider]

    def limits(self, channel: str, provider: str, tenant: str) -> tuple[Limit, ...]:
        """All that one message on this way must be allowed by."""
        slowed = pace.limits(provider, self.pace(provider))
        return (*self._policy.limits_on(channel, provider, tenant), *slowed)

    def available(self, limit: Limit, most: int) -> int:
        """How many of `most` the limit would let go at once."""
        [grant] = get_limiter().peek([Want((limit,), most)])
        return grant.units

    def has_worker(self, channel: str, priority: int) -> bool:
        """Whether a worker lives that reads this queue."""
        queue = queue_name(Channel(channel), Priority(priority))
        return any(not queues or queue in queues for queues in self._workers)

    @cached_property
    def has_any_worker(self) -> bool:
        return bool(self._workers)

    @cached_property
    def _workers(self) -> list[list[str]]:
        """What each of them reads; empty for one that did not say."""
        return list(Worker.objects.seen_within(LIVE_SECONDS).values_list("queues", flat=True))

    def _pause(
        self, channel: str, provider: str, tenant: str, version: int | None = None
    ) -> Waiting | None:
        scope = self._policy.pause_on(channel, provider, tenant, version)
        if scope is None:
            return None
        is_off = tenant in self._policy.disabled
        what = in_words(scope)
        if is_off:
            detail = phrase("{what} is switched off", what=what)
        else:
            detail = phrase("{what} is paused", what=what)
        return Waiting(WaitReason.PAUSED, scope, None, detail)

    def _circuit(self, provider: str) -> Waiting | None:
        settings = get_settings().providers.get(provider)
        if not (settings and settings.circuit and _is_one_account(provider)):
            return None
        circuit = get_breaker().state(provider)
        if circuit.state is CircuitState.CLOSED:
            return None
        named = {"provider": provider, "reason": a_word(circuit.reason.replace("_", " "))}
        if circuit.since:
            detail = phrase(
                "the circuit of {provider} is open since {since} ({reason}); one message tries it",
                since=f"{circuit.since:%Y-%m-%d %H:%M:%S} UTC",
                **named,
            )
        else:
            detail = phrase(
                "the circuit of {provider} is open ({reason}); one message tries it", **named
            )
        until = max(circuit.until or self.now, self.now)
        return Waiting(WaitReason.CIRCUIT_OPEN, route.scope_of(provider), until, detail)

    def _refused(self, provider: str) -> Waiting | None:
        held = self.pace(provider).held
        if not held:
            return None
        until = self.now + timedelta(seconds=held)
        detail = phrase(
            "{provider} refused to be sent so much so fast, and asked to be left alone",
            provider=provider,
        )
        return Waiting(WaitReason.RATE_LIMIT, route.scope_of(provider), until, detail)

    def _spent(self, limits: tuple[Limit, ...]) -> Waiting | None:
        if limits and limits not in self._of_limits:
            self._of_limits[limits] = self._longest(limits)
        return self._of_limits.get(limits)

    def _longest(self, limits: tuple[Limit, ...]) -> Waiting | None:
        [grant] = get_limiter().peek([Want(limits, 1)])
        if grant.units or grant.retry_after <= LONG_SECONDS:
            return None
        until = self.now + timedelta(seconds=grant.retry_after)
        detail = phrase("the limit {what} is used up", what=in_words(grant.limited_by))
        return Waiting(WaitReason.RATE_LIMIT, grant.limited_by, until, detail)


def _is_one_account(provider: str) -> bool:
    """Whether all messages share its circuit and its pace; not where it cannot be made at all."""
    with suppress(ImportError, ImproperlyConfigured):  # delivering with it tells loudly
        return get_provider(provider).one_account
    return False
