"""CSV files: read whatever their shape, and written so that no spreadsheet runs a cell.

A spreadsheet takes a cell that begins as a formula for one, quoted or not. So what is written
begins with an apostrophe then (numbers in E.164 do), and what is read may.
"""

import codecs
import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple, TextIO

FORMULA = tuple("=+-@\t\r＝＋－＠")  # noqa: RUF001 - spreadsheets know the wide ones too
DELIMITERS = ",;\t|"
SNIFFED_BYTES = 64 * 1024
HASHED_BYTES = 1024 * 1024

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""What a file may begin with to say its encoding; the longer ones before their own beginnings."""


WORKBOOK = b"PK\x03\x04"
"""How a ZIP archive begins, which is what spreadsheet programs save unless asked for CSV."""


class Unreadable(ValueError):
    """The file cannot be read; the text says why, and quotes nothing but the names of columns."""


class Record(NamedTuple):
    """A row as it stands in the file, `number` counted from 1 without the header.

    `line` is where it ends. With a `flaw` its cells are what could be made of it.
    """

    number: int
    line: int
    cells: list[str]
    flaw: str = ""


class Table:
    """A CSV file with a header, read row by row; raises Unreadable where it cannot be one.

    `source` is binary and can be sought in. Without an `encoding` its first bytes say it, or it
    is UTF-8; without a `delimiter` it is what stands most often in its first line.
    """

    def __init__(
        self, source: BinaryIO, encoding: str | None = None, delimiter: str | None = None
    ) -> None:
        start = _start(source)
        self.encoding = encoding or _encoding(start)
        self._reader = csv.reader(
            _lines(source, self.encoding),
            delimiter=delimiter or _delimiter(start, self.encoding),
        )
        header = self._next()
        if isinstance(header, csv.Error):
            raise Unreadable(f"it is not CSV: {header}")
        self._number = 0
        self.header = [name.strip() for name in header or ()]
        self._check_header()

    def __iter__(self) -> Iterator[Record]:
        while (cells := self._next_row()) is not None:
            if isinstance(cells, csv.Error):
                yield self._record([""], f"it is not CSV: {cells}")
            else:
                yield self._record(cells, self._flaw(cells))

    def skip(self, count: int) -> None:
        """Pass over the next `count` rows, which are not looked at."""
        for _ in range(count):
            self._next_row()

    def _record(self, cells: list[str], flaw: str) -> Record:
        return Record(self._number, self._reader.line_num, cells, flaw)

    def _next_row(self) -> list[str] | csv.Error | None:
        """The next that is not blank; it is counted."""
        while (cells := self._next()) is not None:
            if cells:
                self._number += 1
                return cells
        return None

    def _check_header(self) -> None:
        if not any(self.header):
            raise Unreadable("the first line must name the columns; the file begins with nothing")
        twice = sorted({name for name in self.header if name and self.header.count(name) > 1})
        if twice:
            raise Unreadable(f"the header names a column twice: {', '.join(twice)}")
        if any(_is_undecoded(name) for name in self.header):
            raise Unreadable(_not(self.encoding))

    def _next(self) -> list[str] | csv.Error | None:
        """The next row, empty for a blank line; what is no CSV is not the end of it."""
        try:
            return next(self._reader, None)
        except csv.Error as error:
            return error
        except UnicodeError as error:  # of encodings in which not every byte can be kept
            raise Unreadable(_not(self.encoding)) from error

    def _flaw(self, cells: Sequence[str]) -> str:
        if any(map(_is_undecoded, cells)):
            return _not(self.encoding)
        if len(cells) != len(self.header):
            return f"it has {len(cells)} cells instead of {len(self.header)}"
        return ""


class Writer:
    """Writes rows of cells that may stem from anybody."""

    def __init__(self, target: TextIO) -> None:
        self._writer = csv.writer(target, quoting=csv.QUOTE_ALL)

    def write(self, cells: Iterable[str]) -> None:
        self._writer.writerow([safe(cell) for cell in cells])


def safe(cell: str) -> str:
    """The cell as no spreadsheet takes it for a formula."""
    return f"'{cell}" if _is_formula(cell) else cell


def plain(cell: str) -> str:
    """The cell before it was made safe."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell[1:]) else cell


def _is_formula(cell: str) -> bool:
    return cell.startswith(FORMULA) or cell.lstrip().startswith(FORMULA)


def digest(source: BinaryIO) -> str:
    """The SHA-256 of all that is in `source`: the same for a file of another name."""
    source.seek(0)
    found = hashlib.sha256()
    while part := source.read(HASHED_BYTES):
        found.update(part)
    source.seek(0)
    return found.hexdigest()


def _start(source: BinaryIO) -> bytes:
    source.seek(0)
    start = source.read(SNIFFED_BYTES)
    source.seek(0)
    if start.startswith(WORKBOOK):
        raise Unreadable("it is a workbook or an archive, not CSV; save it as CSV first")
    return start


def _encoding(start: bytes) -> str:
    return next((name for mark, name in MARKS if start.startswith(mark)), "utf-8")


def _delimiter(start: bytes, encoding: str) -> str:
    try:
        text = start.decode(encoding, "replace")
    except UnicodeError as error:
        raise Unreadable(_not(encoding)) from error
    first = text.lstrip("\r\n").partition("\n")[0]
    return max(DELIMITERS, key=first.count)


def _lines(source: BinaryIO, encoding: str) -> Any:
    """What cannot be decoded is kept as it is, so that it is written again as it was."""
    try:
        return io.TextIOWrapper(source, encoding, errors="surrogateescape", newline="")
    except LookupError as error:  # also of `hex` and its kind, which are for no text
        raise Unreadable(f"there is no encoding {encoding!r}") from error


def _not(encoding: str) -> str:
    return f"it is not in {encoding}; say what it is in, such as cp1252"


def _is_undecoded(text: str) -> bool:
    return not text.isascii() and any("\udc80" <= character <= "\udcff" for character in text)
