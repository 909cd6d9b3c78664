"""What was gathered, in the words that the page has it in: no template reckons."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from ..enums import Channel, CircuitState
from ..labels import label, say, spoken, word
from .backlog import Held
from .charts import Chart, Value
from .overview import RECENT_MINUTES, Forecast, Fullness, Overview, Provider
from .words import amount, duration, per_minute, reason_in_words, short

COUNTED = {
    "accepted": label("Accepted"),
    "sent": label("Sent"),
    "retried": label("Retried"),
    "failed": label("Failed"),
}
"""Tiles and charts that count what happened."""

FAILED_SHARE = 0.02
"""Of what was accepted: from there on it is worth a look."""


class Tile(NamedTuple):
    """A number that says how things are; `level` colours it where it should be looked at."""

    title: str
    value: str
    note: str
    level: str = ""


def sections(seen: Overview) -> dict[str, Any]:
    """By the names that the templates use."""
    return {
        "tiles": list(_tiles(seen)),
        "charts": [_chart(chart) for chart in seen.charts],
        "latencies": [
            (word(Channel(c).label), [_seconds(v) for v in v3]) for c, v3 in seen.latency.items()
        ],
        "lanes": list(_lanes(seen)),
        "reasons": list(_reasons(seen)),
        "forecasts": [_forecast(f) for f in seen.forecasts],
        "providers": [_provider(p) for p in seen.providers],
        "limits": [_limit(limit) for limit in seen.limits],
        "pauses": [
            {"scope": scope, "subject": subject, "reason": reason, "kind": word(scope)}
            for (scope, subject), reason in seen.pauses.items()
        ],
        "workers": [(worker.name, duration(max(0.0, worker.seconds))) for worker in seen.workers],
        "broker": spoken(seen.broker.detail),
        "failures": [
            (f.times, amount(f.times), f.code, f.provider, word(Channel(f.channel).label))
            for f in seen.failures
        ],
    }


def _tiles(seen: Overview) -> Iterator[Tile]:
    minutes = RECENT_MINUTES
    backlog = seen.backlog
    total = amount(backlog.total())
    total = say("about {count}", count=total) if backlog.is_estimate else total
    yield Tile(say("Backlog"), total, say("not finished, or of unknown outcome"))
    late = backlog.due_for
    level = "bad" if late > 300 else "warn" if late > 60 else ""
    oldest = duration(late) if late else say("none")
    if backlog.is_sampled and late:
        oldest = say("at least {time}", time=oldest)
    yield Tile(say("Oldest due"), oldest, say("what waits the longest"), level)
    many = seen.recent["failed"] > FAILED_SHARE * seen.recent["accepted"]
    for name, title in COUNTED.items():
        level = "warn" if name == "failed" and many else ""
        note = say("in {number} minutes", number=minutes)
        yield Tile(str(title), amount(seen.recent[name]), note, level)
    yield Tile(say("In flight"), amount(seen.in_flight), say("with a worker or provider"))


def _chart(chart: Chart) -> dict[str, Any]:
    show = _seconds if chart.unit == "seconds" else _rate
    return {
        "chart": chart,
        "title": COUNTED.get(chart.name, label("Time to send")),
        "unit": label("seconds") if chart.unit == "seconds" else label("per minute"),
        "told": [(row, [show(value) for value in row.values]) for row in chart.told],
        "lines": [_line_title(chart, line) for line in chart.lines],
        "summary": _summary(chart, show),
    }


def _line_title(chart: Chart, line: str) -> str:
    return line if chart.unit == "seconds" else str(word(Channel(line).label))


def _summary(chart: Chart, show: Any) -> str:
    """The latest and the highest, for those who do not see the lines."""
    if chart.is_empty:
        return say("nothing in this time")
    parts = []
    for index, line in enumerate(chart.lines):
        values = [row.values[index] for row in chart.rows]
        known = [value for value in values if value is not None]
        if any(known):
            name, most = _line_title(chart, line), show(max(known))
            now = show(values[-1]) or say("nothing")
            parts.append(say("{name}: {now} now, {most} at most", name=name, now=now, most=most))
    return "; ".join(parts)


def _rate(value: Value) -> str:
    return short(value) if value is not None else ""


def _seconds(value: Value) -> str:
    return duration(value) if value is not None else ""


def _lanes(seen: Overview) -> Iterator[dict[str, Any]]:
    for lane, held in seen.backlog.lanes.items():
        if held.unfinished:
            yield {
                "channel": word(lane.channel.label),
                "priority": word(lane.priority.label),
                "waiting": _count(held, held.waiting),
                "scheduled": amount(held.scheduled) if held.scheduled else "",
                "retrying": _count(held, held.retrying),
                "unknown": amount(held.unknown),
                "in_flight": amount(held.in_flight),
                "due_for": _due_for(held),
                "level": _lateness(held),
            }


def _count(held: Held, count: int) -> str:
    return say("about {count}", count=amount(count)) if held.is_estimate else amount(count)


def _due_for(held: Held) -> str:
    if not held.due_for:
        return say("none is due")
    time = duration(held.due_for)
    return say("at least {time}", time=time) if held.is_sampled else time


def _lateness(held: Held) -> str:
    late = held.due_for or 0.0
    return "bad" if late > 300 else "warn" if late > 60 else ""


def _reasons(seen: Overview) -> Iterator[tuple[str, str, str, dict[str, str] | None]]:
    for reason, count in seen.backlog.reasons:
        told = reason_in_words(reason.reason, reason.scope, reason.code)
        scope, _, subject = reason.scope.partition(":")
        is_pause = (scope, subject) in seen.pauses
        pause = {"scope": scope, "subject": subject} if is_pause else None
        yield amount(count), str(word(reason.channel.label)), told, pause


def _forecast(forecast: Forecast) -> dict[str, str]:
    minutes = forecast.minutes
    if minutes is not None:
        done = say("done in about {time}", time=duration(max(1.0, minutes * 60)))
    elif forecast.is_held:
        done = say("paused")
    elif forecast.leaves <= 0:
        done = say("nothing leaves it")
    else:
        done = say("grows by {rate}", rate=per_minute(forecast.grows))
    return {
        "channel": str(word(forecast.channel.label)),
        "waiting": amount(forecast.waiting),
        "comes": per_minute(forecast.comes),
        "leaves": per_minute(forecast.leaves),
        "done": done,
        "level": "" if minutes is not None else "warn",
    }


def _provider(provider: Provider) -> dict[str, Any]:
    circuit = provider.circuit
    return {
        "provider": provider,
        "state": word(circuit.state.label) if circuit else say("not watched"),
        "level": _level(circuit.state) if circuit else "",
        "since": circuit.since if circuit else None,
        "reason": word(circuit.reason.replace("_", " ")) if circuit and circuit.reason else "",
        "channels": ", ".join(str(word(Channel(c).label)) for c in provider.channels),
        "attempts": amount(provider.attempts),
        "success": "" if provider.success is None else f"{provider.success:.1%}",
        "pace": _pace(provider),
    }


def _level(state: CircuitState) -> str:
    return {CircuitState.OPEN: "bad", CircuitState.HALF_OPEN: "warn"}.get(state, "good")


def _pace(provider: Provider) -> str:
    if provider.held:
        return say("rests for {time}", time=duration(provider.held))
    if provider.rate is None:
        return say("full")
    return say("at most {rate}/s", rate=short(provider.rate))


def _limit(limit: Fullness) -> dict[str, Any]:
    percent = limit.percent
    return {
        "limit": limit,
        "kind": word(limit.scope),
        "percent": percent,
        "level": "warn" if percent is not None and percent >= 90 else "",
    }
