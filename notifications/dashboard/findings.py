"""What is wrong, in the order in which it matters, each with what to do about it."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from celery import current_app
from django.utils.text import capfirst

from ..enums import CircuitState, Scope, WaitReason
from ..labels import counted, say, spoken, word
from .backlog import Reason
from .overview import Overview
from .words import amount, duration, per_minute, scope_in_words

LATE_SECONDS = 60.0
FAILING_SHARE = 0.05
FAILING_LEAST = 20
"""Of fewer attempts, no share says anything."""


class Level(StrEnum):
    BAD = "bad"
    WARN = "warn"
    NOTE = "note"
    GOOD = "good"


class Act(StrEnum):
    """What can be done about it here; the page makes a link of it."""

    NOTHING = ""
    RESUME = "resume"
    LIST = "list"
    ERRORS = "errors"


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence, and one on what to do; `scope` and `subject` are what `act` is about."""

    level: Level
    text: str
    advice: str = ""
    act: Act = Act.NOTHING
    scope: str = ""
    subject: str = ""


def findings(seen: Overview) -> list[Finding]:
    """The worst first; nothing where all is well."""
    found = [
        *_parts(seen),
        *_circuits(seen),
        *_lateness(seen),
        *_failing(seen),
        *_pauses(seen),
        *_waits(seen),
        *_growth(seen),
    ]
    return sorted(found, key=lambda f: list(Level).index(f.level))


def verdict(found: list[Finding]) -> tuple[Level, str]:
    """The whole in a word or two, and how serious it is."""
    bad = sum(f.level is Level.BAD for f in found)
    warn = sum(f.level is Level.WARN for f in found)
    if bad:
        return Level.BAD, counted("{number} problem", "{number} problems", bad)
    if warn:
        text = counted("{number} thing to look at", "{number} things to look at", warn)
        return Level.WARN, text
    return Level.GOOD, say("All is well")


def _parts(seen: Overview) -> Iterator[Finding]:
    if not seen.workers:
        advice = say(
            "Start one: celery -A {app} worker. Nothing accepted is lost meanwhile.",
            app=current_app.main or "project",
        )
        text = say("No worker has been seen in the last minute: nothing is sent.")
        yield Finding(Level.BAD, text, advice)
    if not seen.broker.ok:
        advice = say(
            "Nothing accepted is lost meanwhile; workers go on by themselves when it is back."
        )
        text = say("The broker {detail}.", detail=spoken(seen.broker.detail))
        yield Finding(Level.BAD, text, advice)
    lapsed = sum(held.lapsed for held in seen.backlog.lanes.values())
    if lapsed:
        count = amount(lapsed)
        text = say("{count} in the hands of a worker that is gone or hangs.", count=count)
        yield Finding(Level.WARN, text, say("They are taken back within seconds."))


def _circuits(seen: Overview) -> Iterator[Finding]:
    for provider in seen.providers:
        circuit = provider.circuit
        if circuit and circuit.state is not CircuitState.CLOSED:
            reason = f" ({word(circuit.reason.replace('_', ' '))})" if circuit.reason else ""
            is_open = circuit.state is CircuitState.OPEN
            yield Finding(
                Level.BAD if is_open else Level.WARN,
                say(
                    "The circuit of {provider} is {state}: {effect}",
                    provider=provider.name,
                    state=f"{word(circuit.state.label)}{reason}",
                    effect=say("it is not asked.")
                    if is_open
                    else say("one message at a time tries it."),
                ),
                say("See what its attempts came to. It closes by itself when one succeeds."),
                Act.ERRORS,
            )
        elif provider.held:
            rests = duration(provider.held)
            text = say(
                "{provider} refuses us for being too fast: it rests {time}.",
                provider=provider.name,
                time=rests,
            )
            yield Finding(Level.NOTE, text, say("It recovers by itself, step by step."))


def _lateness(seen: Overview) -> Iterator[Finding]:
    held = {r.channel for r, _ in seen.backlog.reasons if r.reason is WaitReason.QUEUE}
    for lane, lane_held in seen.backlog.lanes.items():
        late = lane_held.due_for or 0.0
        is_stuck = seen.workers and lane.channel in held and not _is_paused(seen, lane.channel)
        if late > LATE_SECONDS and is_stuck:
            name = f"{word(lane.channel.label)}, {word(lane.priority.label)}"
            text = say("{lane}: the oldest is due for {time}.", lane=name, time=duration(late))
            advice = say("Start more workers, or see below what it waits for.")
            yield Finding(Level.BAD if late > LATE_SECONDS * 5 else Level.WARN, text, advice)


def _is_paused(seen: Overview, channel: str) -> bool:
    return (Scope.CHANNEL, channel) in seen.pauses


def _failing(seen: Overview) -> Iterator[Finding]:
    for provider in seen.providers:
        failed = provider.attempts - provider.accepted
        if provider.attempts >= FAILING_LEAST and failed > provider.attempts * FAILING_SHARE:
            share = failed / provider.attempts
            text = say(
                "{share} of the attempts at {provider} failed in the last 15 minutes.",
                share=f"{share:.0%}",
                provider=provider.name,
            )
            level = Level.BAD if share > 0.25 else Level.WARN
            yield Finding(level, text, say("See the top errors."), Act.ERRORS)


def _pauses(seen: Overview) -> Iterator[Finding]:
    waiting = {r.scope: count for r, count in seen.backlog.reasons if r.reason is WaitReason.PAUSED}
    if seen.is_draining:
        text = (
            say("Drained: all channels are paused, and nothing is with a provider.")
            if seen.is_drained
            else say(
                "Draining: all channels are paused, {count} still in flight.",
                count=amount(seen.in_flight),
            )
        )
        yield Finding(Level.WARN, text, say("Workers can be stopped once nothing is in flight."))
    for (scope, subject), reason in seen.pauses.items():
        if seen.is_draining and scope == Scope.CHANNEL:
            continue
        count = waiting.get(f"{scope}:{subject}", 0)
        text = say("{subject} is paused", subject=capfirst(scope_in_words(f"{scope}:{subject}")))
        because = f": {reason}" if reason else ""
        waits = counted("{count} waits", "{count} wait", count, count=amount(count))
        held = f"; {waits}" if count else ""
        text = f"{text}{because}{held}."
        yield Finding(Level.WARN, text, "", Act.RESUME, scope, subject)
    for name in seen.disabled:
        yield Finding(
            Level.NOTE, say("The tenant {name} is switched off: nothing of it is sent.", name=name)
        )


def _waits(seen: Overview) -> Iterator[Finding]:
    for reason, count in seen.backlog.reasons:
        if text := _wait(reason, amount(count)):
            act = Act.LIST if reason.reason is WaitReason.RECONCILE else Act.NOTHING
            yield Finding(Level.WARN, *text, act, subject="unknown" if act else "")


def _wait(reason: Reason, count: str) -> tuple[str, str] | None:
    scope = scope_in_words(reason.scope)
    named = {"count": count, "channel": word(reason.channel.label), "scope": scope}
    match reason.reason:
        case WaitReason.RECONCILE:
            return (
                say("{count} {channel} of unknown outcome at {scope}.", **named),
                say("A receipt may settle them; or retry them, if a duplicate does no harm."),
            )
        case WaitReason.RATE_LIMIT:
            return (
                say("{count} {channel} wait for a limit: {scope}.", **named),
                say("They go at its rate; raise it if the provider allows more."),
            )
    return None


def _growth(seen: Overview) -> Iterator[Finding]:
    for forecast in seen.forecasts:
        if forecast.grows > max(1.0, forecast.leaves * 0.1) and forecast.waiting > 1000:
            text = say(
                "The backlog of {channel} grows by {rate}: more comes than leaves.",
                channel=word(forecast.channel.label),
                rate=per_minute(forecast.grows),
            )
            yield Finding(Level.WARN, text, say("See what it waits for."))
