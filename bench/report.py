"""What was measured: as a table, and as JSON and Markdown files beside the facts of the machine."""

import json
import math
import os
import platform
import sqlite3
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from .stack import Stack

HEADINGS = ("row", "product", "baseline", "ratio", "bar", "reached")
PACKAGES = ("django", "djangorestframework", "celery", "kombu", "psycopg", "gunicorn", "waitress")


@dataclass(frozen=True, slots=True)
class Bar:
    """What is to be reached, by the product's own figure or by its ratio to the baseline's."""

    value: float
    of: str = "product"
    at_most: bool = False

    def is_reached(self, row: "Row") -> bool:
        measured = row.ratio if self.of == "ratio" else statistics.median(row.product)
        return measured <= self.value if self.at_most else measured >= self.value

    def text(self, unit: str) -> str:
        sign = "≤" if self.at_most else "≥"
        return f"{sign} {self.value:g} {'of the baseline' if self.of == 'ratio' else unit}"


@dataclass(slots=True)
class Row:
    """One figure of the product and of the baseline; the n-th samples were taken in one round.

    Where there is nothing to compare with, there are no samples of a baseline.
    """

    name: str
    unit: str
    baseline_is: str = ""
    bar: Bar | None = None
    product: list[float] = field(default_factory=list)
    baseline: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Product to baseline: the median over the rounds, of which each has seen one load."""
        if not self.baseline:
            return math.inf
        pairs = zip(self.product, self.baseline, strict=True)
        return statistics.median(p / b if b else math.inf for p, b in pairs)

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "unit": self.unit,
            "baseline_is": self.baseline_is,
            "product": statistics.median(self.product),
            "baseline": statistics.median(self.baseline) if self.baseline else None,
            "ratio": self.ratio if self.ratio != math.inf else None,
            "bar": self.bar and self.bar.text(self.unit),
            "reached": self.bar and self.bar.is_reached(self),
            "samples": {"product": self.product, "baseline": self.baseline},
        }

    def cells(self) -> tuple[str, ...]:
        return (
            self.name,
            self._figure(self.product),
            self._figure(self.baseline),
            f"{self.ratio:.3g}" if self.baseline else "",
            self.bar.text(self.unit) if self.bar else "",
            ("yes" if self.bar.is_reached(self) else "NO") if self.bar else "",
        )

    def _figure(self, samples: Sequence[float]) -> str:
        return f"{statistics.median(samples):,.4g} {self.unit}" if samples else ""


def percentile(samples: Sequence[float], percent: int) -> float:
    """The sample that so many percent of all do not exceed."""
    ordered = sorted(samples)
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]


def table(rows: Sequence[Row]) -> str:
    """A Markdown table, aligned so that it can be read as it is; what each baseline is below it."""
    lines = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    drawn = [_line(line, widths) for line in lines]
    drawn.insert(1, _line(["-" * width for width in widths], widths))
    compared = [row for row in rows if row.baseline_is]
    notes = dict.fromkeys(f"Baseline of {_first(row)}: {row.baseline_is}." for row in compared)
    return "\n".join([*drawn, *([""] if notes else []), *notes])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"


def _first(row: Row) -> str:
    return row.name.partition(":")[0]


def machine(stack: Stack) -> dict[str, Any]:
    """Where and with what it was measured; `load` is what the machine was doing before."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "sqlite": sqlite3.sqlite_version,
        "postgres": stack.postgres_version,
        "redis": stack.redis_version,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def write(
    directory: Path, name: str, rows: Sequence[Row], facts: dict[str, Any], command: str
) -> list[Path]:
    """The result as `<name>.json` and `<name>.md`; earlier ones are in the repository's history."""
    directory.mkdir(exist_ok=True)
    measured_at = datetime.now(UTC).isoformat(timespec="seconds")
    head = {"command": command, "measured_at": measured_at, "machine": facts}
    data = {**head, "rows": [row.as_dict() for row in rows]}
    as_json, as_markdown = directory / f"{name}.json", directory / f"{name}.md"
    as_json.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    as_markdown.write_text(_markdown(name, rows, facts, command, measured_at))
    return [as_json, as_markdown]


def _markdown(
    name: str, rows: Sequence[Row], facts: dict[str, Any], command: str, measured_at: str
) -> str:
    rounds = len(rows[0].product)
    lines = [
        f"# {name}",
        "",
        f"`{command}`, {measured_at}; medians of {rounds} rounds, product and baseline in turn.",
        "The ratio is product to baseline, the median over the rounds.",
        "",
        table(rows),
        "",
        *(f"- {key}: {value}" for key, value in facts.items()),
    ]
    return "\n".join(lines) + "\n"
