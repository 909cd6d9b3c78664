"""`manage.py notifications_status`: what there is to do, who does it, what holds it up."""

import json
from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DatabaseError

from ...enums import CircuitState, Priority
from .. import status

NONE = "none"


class Command(BaseCommand):
    help = "Shows backlog, providers, limits, pauses and workers, and says what to do next."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="the same as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = status.gather()
        except DatabaseError as error:
            raise CommandError(
                f"The database cannot be asked ({type(error).__name__}). "
                "Is it up, is DATABASE_URL right, has `manage.py migrate` been run?"
            ) from error
        if options["json"]:
            self.stdout.write(json.dumps(_plain(report), cls=DjangoJSONEncoder, indent=2))
        else:
            self._show(report)

    def _show(self, report: status.Report) -> None:
        for part in report.parts:
            mark = self.style.SUCCESS("ok ") if part.ok else self.style.ERROR("NOT")
            self.stdout.write(f"{mark} {part.name}: {part.detail}")
        for title, rows in _tables(report).items():
            self.stdout.write("\n" + self.style.MIGRATE_HEADING(title))
            self.stdout.write("\n".join(_aligned(rows)) or f"  {NONE}")
        self.stdout.write("\n" + self.style.MIGRATE_HEADING("What to do next"))
        for line in report.advice or ["nothing: all is well"]:
            self.stdout.write(f"  {self.style.WARNING(line) if report.advice else line}")


def _tables(report: status.Report) -> dict[str, list[Sequence[object]]]:
    held = report.in_flight
    return {
        "Backlog": [
            (b.channel, b.priority.label, b.status, f"{b.count:,}") for b in report.backlog
        ],
        "Oldest due": [
            (o.channel, o.priority.label, f"for {o.seconds:,.1f} s") for o in report.oldest_due
        ],
        "Waiting on": [(w.channel, w.reason, w.scope, f"{w.count:,}") for w in report.waiting_on],
        "Forecast": [
            (f.channel, f.priority.label, f"{f.waiting:,}", _gone(f.seconds), f.detail)
            for f in report.forecasts
        ],
        "In flight": [(f"{held.count:,}", f"{held.lapsed:,} past their lease")],
        "Providers": [_provider(p) for p in report.providers],
        "Limits": [(r.scope, r.name, r.rates) for r in report.limits],
        "Pauses": [(p.scope, p.name, p.reason) for p in report.pauses],
        "Workers": [(w.name, f"seen {w.seconds:.0f} s ago") for w in report.workers],
    }


def _gone(seconds: float | None) -> str:
    return "nobody knows" if seconds is None else f"gone in {seconds:,.0f} s"


def _provider(seen: status.ProviderSeen) -> Sequence[object]:
    circuit = f"circuit {seen.circuit.label}"
    if seen.since and seen.circuit is not CircuitState.CLOSED:
        circuit += f" since {seen.since:%Y-%m-%d %H:%M:%S} UTC: {seen.reason}"
    speed = f"waits for {seen.held:.1f} s, as it asked" if seen.held else ""
    if seen.rate is not None and not seen.held:
        speed = f"slowed down to {seen.rate:.1f}/s"
    return (seen.name, circuit, speed)


def _aligned(rows: Iterable[Sequence[object]]) -> list[str]:
    table = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]


def _plain(value: Any) -> Any:
    """Priorities by their names, as the API gives them."""
    if isinstance(value, Priority):
        return value.label
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return _plain(asdict(value)) if hasattr(value, "__dataclass_fields__") else value
