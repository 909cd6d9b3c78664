"""The decisions of the circuit breaker, pure: when to stop asking a provider, when to try again.

closed → open, when too large a part of the calls within a window has failed, or at once when
the provider refuses our credentials. open → half-open, when its time is up: one message goes
ahead as a probe. half-open → closed when the probe succeeds, → open for longer when it fails.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import floor

from ..conf import CircuitSettings
from ..enums import AttemptOutcome, CircuitState
from ..messages import Circuit, Outcome, Passage, Tally

CREDENTIALS = "credentials"
"""The code of an outcome that no other message will escape, and the reason it leads to."""

FAILURES = "failures"
"""The reason when too many calls have failed."""

SLOTS = 10
"""The window slides by a tenth of its length."""

LONGEST = 10
"""An open time grows up to so many times the first one."""

JITTER = 0.25
"""The part by which an open time may be longer."""

PROBE_SECONDS = 1.0
"""While a probe is out, the others look again after so long."""

PROBE_MARGIN_SECONDS = 5.0
"""How long beyond the provider's timeout a probe may stay out before it is taken for lost."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings' CIRCUIT of a provider; `probe_for` is how long a probe may stay out."""

    failure_ratio: float = 0.5
    min_calls: int = 10
    window: float = 60.0
    open_for: float = 30.0
    probe_for: float = 15.0

    @classmethod
    def of(cls, circuit: CircuitSettings, timeout: float) -> "Rules":
        """Those of a provider with this CIRCUIT and TIMEOUT."""
        return cls(
            failure_ratio=circuit.failure_ratio,
            min_calls=circuit.min_calls,
            window=circuit.window,
            open_for=circuit.open_for,
            probe_for=timeout + PROBE_MARGIN_SECONDS,
        )


@dataclass(frozen=True, slots=True)
class Book:
    """All that is kept of a provider's circuit; times are in seconds of the keeper's clock.

    `until` is the end of an open time, or of a probe's. `trips` counts the openings that followed
    upon each other. `window` holds `slot:ok:failed` for each tenth of the window with calls.
    """

    state: CircuitState = CircuitState.CLOSED
    since: float = 0.0
    reason: str = ""
    until: float = 0.0
    trips: int = 0
    probe: str = ""
    window: str = ""


def tally(outcomes: Iterable[Outcome]) -> Tally:
    """What outcomes say of the provider: a message refused for good is an answer like any other.

    Throttling and abandoned messages say nothing of its health.
    """
    ok = failed = 0
    fatal = False
    for outcome in outcomes:
        ok += outcome.kind in (AttemptOutcome.ACCEPTED, AttemptOutcome.PERMANENT)
        failed += outcome.kind in (AttemptOutcome.TRANSIENT, AttemptOutcome.AMBIGUOUS)
        fatal = fatal or outcome.code == CREDENTIALS
    return Tally(ok, failed, fatal)


def view(book: Book) -> Circuit:
    """What there is to show of it."""
    return Circuit(book.state, _time(book.since), book.reason, _time(book.until))


def allow(book: Book, units: int, token: str, now: float, rules: Rules) -> tuple[Passage, Book]:
    """How many of `units` may go; `token` becomes the name of the probe, if one is let through."""
    if book.state is CircuitState.CLOSED:
        return Passage(units), book
    left = book.until - now
    if 0 < left <= _longest(book, rules) or not units:
        return Passage(0, book.state, _wait(book, left), book.reason), book
    since = now if book.state is CircuitState.OPEN else book.since
    probing = replace(
        book, state=CircuitState.HALF_OPEN, since=since, until=now + rules.probe_for, probe=token
    )
    return Passage(1, probing.state, PROBE_SECONDS, book.reason, token), probing


def record(
    book: Book, tally: Tally, probe: str, now: float, rules: Rules, luck: float
) -> tuple[Passage, Book]:
    """The book after calls that came to `tally`, and its state as a passage for nobody.

    In half-open only the probe that is out is listened to: what was sent before the circuit
    opened may end long after, and says nothing new. `luck`, from 0 to 1, lengthens an open time.
    """
    after = book
    if book.state is CircuitState.CLOSED:
        after = _count(book, tally, now, rules, luck)
    elif probe and probe == book.probe:
        after = _conclude(book, tally, now, rules, luck)
    return Passage(0, after.state, reason=after.reason), after


def _time(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def _longest(book: Book, rules: Rules) -> float:
    """The longest time there can be left: more than that stems from a clock that was set back."""
    if book.state is CircuitState.HALF_OPEN:
        return rules.probe_for
    return rules.open_for * LONGEST * (1 + JITTER)


def _wait(book: Book, left: float) -> float:
    return max(0.0, min(left, PROBE_SECONDS if book.state is CircuitState.HALF_OPEN else left))


def _count(book: Book, tally: Tally, now: float, rules: Rules, luck: float) -> Book:
    current = floor(now / (rules.window / SLOTS))
    slots = {slot: counts for slot, *counts in _slots(book) if current - SLOTS < slot <= current}
    ok, failed = slots.get(current, (0, 0))
    slots[current] = [ok + tally.ok, failed + tally.failed]
    if tally.fatal:
        return _open(book, CREDENTIALS, now, rules, luck)
    failures = sum(failed for _, failed in slots.values())
    calls = sum(ok + failed for ok, failed in slots.values())
    if calls >= rules.min_calls and failures >= rules.failure_ratio * calls:
        return _open(book, FAILURES, now, rules, luck)
    window = " ".join(f"{slot}:{ok}:{failed}" for slot, (ok, failed) in sorted(slots.items()))
    return replace(book, window=window)


def _slots(book: Book) -> Iterator[list[int]]:
    return ([int(number) for number in slot.split(":")] for slot in book.window.split())


def _conclude(book: Book, tally: Tally, now: float, rules: Rules, luck: float) -> Book:
    """The probe is back; when it says nothing of the provider, the next one may go at once."""
    if tally.fatal or tally.failed:
        return _open(book, CREDENTIALS if tally.fatal else FAILURES, now, rules, luck)
    if tally.ok:
        return Book(since=now, trips=book.trips)
    return replace(book, until=now, probe="")


def _open(book: Book, reason: str, now: float, rules: Rules, luck: float) -> Book:
    """Longer each time, until it has been closed for a whole window."""
    again = book.state is CircuitState.HALF_OPEN or now - book.since < rules.window
    trips = min(book.trips + 1, LONGEST) if again else 1
    seconds = rules.open_for * min(2 ** (trips - 1), LONGEST) * (1 + JITTER * luck)
    return Book(CircuitState.OPEN, now, reason, now + seconds, trips)
