"""Lists of suppressions as CSV, in and out."""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any

from ..models import Suppression, Tenant
from ..pipeline.suppressions import add_many
from ..suppression import Entry, parse_entry
from ..tabular import Writer, plain

COLUMNS = ("channel", "recipient", "reason", "note", "expires_at")
AT_ONCE = 500
BAD_SHOWN = 100


@dataclass(slots=True)
class Imported:
    """What became of an import; `bad` are lines with the reasons why, the first of them."""

    read: int = 0
    added: int = 0
    refused: int = 0
    bad: list[tuple[int, str]] = field(default_factory=list)

    def refuse(self, line: int, reason: str) -> None:
        self.refused += 1
        if len(self.bad) < BAD_SHOWN:
            self.bad.append((line, reason))


def import_csv(tenant: Tenant, text: str, now: datetime) -> Imported:
    """Put all usable rows on the list of `tenant`; raises ValueError for another header."""
    done = Imported()
    entries = _entries(text, now, done)
    while chunk := list(islice(entries, AT_ONCE)):
        done.read += len(chunk)
        done.added += add_many(tenant, chunk)
    return done


def export_csv(rows: Iterable[Suppression]) -> Iterator[str]:
    """The lines of a file that `import_csv` reads."""
    yield _line(COLUMNS)
    for row in rows:
        expires_at = row.expires_at.isoformat() if row.expires_at else ""
        yield _line([row.channel, row.recipient, row.reason, row.note, expires_at])


def _entries(text: str, now: datetime, done: Imported) -> Iterator[Entry]:
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    header = [name.strip().lower() for name in _next(reader) or ()]
    if not {"channel", "recipient"} <= set(header) <= set(COLUMNS):
        raise ValueError(f"the first line must name the columns: {', '.join(COLUMNS)}")
    while (cells := _next(reader)) is not None:
        entry = _entry(header, cells, now) if cells else None
        if isinstance(entry, Entry):
            yield entry
        elif entry:
            done.refuse(reader.line_num, entry)


def _next(reader: Any) -> list[str] | None:
    """The next row; what is no CSV is a row that cannot be used."""
    try:
        return next(reader, None)
    except csv.Error as error:
        return [f"\x00{error}"]


def _entry(header: list[str], cells: list[str], now: datetime) -> Entry | str:
    """The entry of a row, or why there is none."""
    if len(cells) != len(header):
        return f"it has {len(cells)} cells instead of {len(header)}"
    values = {name: plain(cell.strip()) for name, cell in zip(header, cells, strict=True)}
    entry = parse_entry({name: value for name, value in values.items() if value}, now)
    if isinstance(entry, Entry):
        return entry
    return "; ".join(f"{error.pointer.removeprefix('/')}: {error.detail}" for error in entry)


def _line(cells: Iterable[str]) -> str:
    line = io.StringIO()
    Writer(line).write(cells)
    return line.getvalue()
