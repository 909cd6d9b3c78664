"""The contracts of the gates: one limiter and one breaker for the whole cluster."""

import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from ..enums import CircuitState
from ..messages import Circuit, Grant, Limit, Pace, Passage, Tally, Want
from ..signals import circuit_changed, provider_slowed
from . import gcra, pace
from .circuit import Rules

FRESH_SECONDS = 0.25
"""So long a process goes by what it last heard of a circuit or a pace, and keeps good news back."""


class Limiter(ABC):
    """Says how many units may go now; `gcra` holds the arithmetic that every backend follows.

    - A unit is granted only when all limits of its `Want` have it, and is then taken from all.
    - A `Want` gets as many units as its tightest limit has, which may be none.
    - What is refused costs nothing, so that a crowd that asks in vain does not starve itself.
    - Limits of one key are shared by all who name it, on any host; the clock is the backend's.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        """`options` are the `OPTIONS` of the settings' `GATES`."""
        self.options = options

    @classmethod
    def problems(cls, options: Mapping[str, Any]) -> list[str]:
        """What is wrong with `options`, a sentence each; by default none are known."""
        return [f'The option "{name}" is not known; this backend takes none.' for name in options]

    @abstractmethod
    def take(self, wants: Sequence[Want]) -> list[Grant]:
        """Answer each want, in order, all of them in one step.

        A want without limits is granted in full. Raises what the backend raises when it is away.
        """

    def peek(self, wants: Sequence[Want]) -> list[Grant]:
        """What `take` would answer to each want if it came alone; nothing is taken or written."""
        keys = sorted({limit.key for want in wants for limit in want.limits})
        arrivals, now = self._arrivals(keys) if keys else ({}, 0.0)
        return [gcra.take(want, dict(arrivals), now) for want in wants]

    def used(self, limits: Sequence[Limit]) -> Mapping[str, float]:
        """How many units of each limit's burst are spent now, by its key; takes nothing."""
        keys = sorted({limit.key for limit in limits})
        arrivals, now = self._arrivals(keys) if keys else ({}, 0.0)
        return {limit.key: gcra.used(limit, arrivals.get(limit.key, 0.0), now) for limit in limits}

    @abstractmethod
    def _arrivals(self, keys: Sequence[str]) -> tuple[Mapping[str, float], float]:
        """What is kept of `keys`, those never used left out, and the clock it goes by."""


class Step(NamedTuple):
    """What a backend's step led to, and whether the circuit was in another state before."""

    passage: Passage
    changed: bool


class Breaker(ABC):
    """Stops asking a provider that fails; `circuit` holds the decisions every backend follows.

    A circuit is shared by all processes. What another one has found out is known here within
    FRESH_SECONDS: until then a circuit that was closed needs no look, and calls that went well
    are told together with the next ones.
    """

    def __init__(self, options: Mapping[str, Any], rules: Mapping[str, Rules]) -> None:
        """`options` are the `OPTIONS` of the settings' `GATES`, `rules` are by provider."""
        self.options = options
        self._rules = rules
        self._closed_until: dict[str, float] = {}
        self._lock = threading.Lock()
        self._held_back: dict[str, int] = {}
        self._held_until: dict[str, float] = {}

    def allow(self, provider: str, units: int) -> Passage:
        """How many of `units` may go to `provider` now.

        Whoever was let through as a probe must `record` it; if not, it is taken for lost after a
        while. Raises what the backend raises when it is away.
        """
        if time.monotonic() < self._closed_until.get(provider, 0.0):
            return Passage(units)
        return self._heed(provider, self._allow(provider, units, uuid4().hex))

    def record(self, provider: str, tally: Tally, probe: str = "") -> None:
        """Tell what calls came to; `probe` is that of the passage they went through with.

        Raises what the backend raises when it is away.
        """
        told = self._told_now(provider, tally, probe)
        if told != Tally() or probe:
            luck = random.random()  # noqa: S311 - no secret
            self._heed(provider, self._record(provider, told, probe, luck))

    @abstractmethod
    def state(self, provider: str) -> Circuit:
        """The circuit of `provider` as it is, asked anew each time."""

    def states(self, providers: Sequence[str]) -> Mapping[str, Circuit]:
        """The circuits of several, by their names."""
        return {provider: self.state(provider) for provider in providers}

    @abstractmethod
    def _allow(self, provider: str, units: int, token: str) -> Step:
        """`circuit.allow` on what is kept of `provider`, in one step."""

    @abstractmethod
    def _record(self, provider: str, tally: Tally, probe: str, luck: float) -> Step:
        """`circuit.record` on what is kept of `provider`, in one step; only its state counts."""

    def _rules_of(self, provider: str) -> Rules:
        return self._rules.get(provider, Rules())

    def _told_now(self, provider: str, tally: Tally, probe: str) -> Tally:
        """The tally with what was held back before, or nothing when it is held back too."""
        if probe:
            return tally  # it alone is the answer to whether the provider works again
        now = time.monotonic()
        with self._lock:
            ok = tally.ok + self._held_back.pop(provider, 0)
            bad = tally.failed or tally.fatal
            if not bad and now < self._held_until.get(provider, 0.0):
                self._held_back[provider] = ok
                return Tally()
            self._held_until[provider] = now + FRESH_SECONDS
        return Tally(ok, tally.failed, tally.fatal)

    def _heed(self, provider: str, step: Step) -> Passage:
        passage, changed = step
        is_closed = passage.state is CircuitState.CLOSED
        self._closed_until[provider] = time.monotonic() + FRESH_SECONDS if is_closed else 0.0
        if changed:
            circuit_changed.send_robust(
                sender=Breaker, provider=provider, state=passage.state, reason=passage.reason
            )
        return passage


class Pacer(ABC):
    """Slows a provider's account down when it refuses; `pace` holds the arithmetic.

    An account is shared by all processes. What another one has met is known here within
    FRESH_SECONDS; in between, no look is taken.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        """`options` are the `OPTIONS` of the settings' `GATES`."""
        self.options = options
        self._known: dict[str, Known] = {}

    def current(self, provider: str) -> Pace:
        """How fast `provider` may be used now; raises what the backend raises when it is away."""
        known = self._known.get(provider)
        if known is None or time.monotonic() > known.until:
            known = self._keep(provider, *self._read(provider))
        return pace.pace(known.book, time.monotonic() + known.ahead)

    def slow(self, provider: str, wait: float, rate: float) -> None:
        """Tell of a refusal that asked for `wait` seconds, while this process sent `rate` a second.

        Raises what the backend raises when it is away.
        """
        book, now = self._slow(provider, wait, rate)
        self._keep(provider, book, now)
        provider_slowed.send_robust(sender=Pacer, provider=provider, pace=pace.pace(book, now))

    @abstractmethod
    def _read(self, provider: str) -> tuple[pace.Book, float]:
        """What is kept of `provider`, and the keeper's clock."""

    @abstractmethod
    def _slow(self, provider: str, wait: float, rate: float) -> tuple[pace.Book, float]:
        """`pace.slow` on what is kept of `provider`, in one step; with the keeper's clock."""

    def _keep(self, provider: str, book: pace.Book, now: float) -> "Known":
        heard = time.monotonic()
        self._known[provider] = Known(book, now - heard, heard + FRESH_SECONDS)
        return self._known[provider]


class Known(NamedTuple):
    """A book as last heard of, how far the keeper's clock is ahead, and until when it will do."""

    book: pace.Book
    ahead: float
    until: float
