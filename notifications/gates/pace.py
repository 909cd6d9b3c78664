"""How fast a provider's account may be used after it has refused us for being too fast, pure.

A refusal stops the whole account for as long as the provider asks, then it goes on at half the
rate that was too much (multiplicative decrease). Each second without another refusal gives back
a twentieth of that rate (additive increase), until it goes twice as fast as the rate that was
refused: then nothing holds it any more.
"""

from dataclasses import dataclass, replace

from ..messages import Pace

TELLING = 10.0
"""Units a second below which a refusal says nothing of our speed: then it only waits."""

LEAST = 1.0
"""Units a second below which no pace falls: for what is slower, the waiting times see to it."""

DECREASE = 0.5
STEP, LEAST_STEP = 0.05, 1.0
"""The part of the refused rate that comes back with each second, and the least that does."""

FREE = 2.0
"""So many times the refused rate, and the account is free again."""

TOGETHER_SECONDS = 1.0
"""Refusals of the same moment, met by many processes, slow it down once."""

LONGEST_SECONDS = 3600.0
"""The longest wait a provider can ask for."""


@dataclass(frozen=True, slots=True)
class Book:
    """All that is kept of an account; times are in seconds of the keeper's clock.

    `refused` is the rate that was too much, 0 when none was; `slowed` the time of the last
    decrease. While `adding`, what other processes were sending at that moment is added up.
    """

    until: float = 0.0
    refused: float = 0.0
    slowed: float = 0.0
    adding: bool = False


def pace(book: Book, now: float) -> Pace:
    """What may go at `now`."""
    held = book.until - now
    return Pace(held if 0 < held <= LONGEST_SECONDS else 0.0, _rate(book, now))


def slow(book: Book, now: float, wait: float, rate: float) -> Book:
    """The book after a refusal that asked for `wait` seconds, of a process that sent at `rate`."""
    until = max(book.until, now + min(wait, LONGEST_SECONDS))
    if 0 <= now - book.slowed < TOGETHER_SECONDS:
        return replace(book, until=until, refused=book.refused + (rate if book.adding else 0.0))
    before = _rate(book, now)
    refused = rate if rate >= TELLING else 0.0
    return Book(until, before or refused, now, adding=before is None)


def _rate(book: Book, now: float) -> float | None:
    if not book.refused:
        return None
    seconds = max(0.0, now - max(book.until, book.slowed))
    grown = book.refused * DECREASE + max(book.refused * STEP, LEAST_STEP) * seconds
    return max(grown, LEAST) if grown < max(book.refused * FREE, TELLING) else None
