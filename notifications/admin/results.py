"""What became of notifications as a CSV file of any length: a page of ids at a time.

Each page is a statement of its own, from the newest down. So a slow reader holds neither a cursor
nor a snapshot open, and the memory is that of one page.
"""

import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from django import forms
from django.http import StreamingHttpResponse

from ..enums import ReceiptState, State
from ..labels import label
from ..lifecycle import status_of
from ..models import Notification
from ..tabular import Writer
from ..times import rfc3339
from .words import masked

AT_ONCE = 1000

PLAIN = (
    "provider",
    "provider_message_id",
    "error_code",
    "attempt_count",
)
TIMES = ("created_at", "sent_at", "settled_at")
COLUMNS = (
    "id",
    "tenant",
    "batch",
    "template",
    "channel",
    "to",
    "status",
    *TIMES,
    *PLAIN,
    "metadata",
)
READ = (
    "pk",
    "tenant__name",
    "batch_id",
    "template_version__template__name",
    "channel",
    "to",
    "state",
    "receipt_state",
    *TIMES,
    *PLAIN,
    "metadata",
)

Row = dict[str, Any]
Told = Callable[[Sequence[Notification]], None]


class ExportForm(forms.Form):
    reveal = forms.BooleanField(
        required=False,
        label=label("With whole recipients, which the history of each notification will show"),
    )


def download(rows: Any, *, hide: bool, tell: Told) -> StreamingHttpResponse:
    """The file of all `rows`; unless it is to `hide` recipients, `tell` is called before each."""
    headers = {
        "Content-Disposition": 'attachment; filename="notifications.csv"',
        "Cache-Control": "no-store",
    }
    parts = export_csv(rows, hide=hide, tell=tell)
    return StreamingHttpResponse(parts, content_type="text/csv; charset=utf-8", headers=headers)


def export_csv(rows: Any, *, hide: bool, tell: Told) -> Iterator[bytes]:
    """The header, then the lines of one page after the other."""
    yield _lines([COLUMNS])
    for page in _pages(rows):
        if not hide:
            tell([Notification(pk=row["pk"]) for row in page])
        yield _lines(_cells(row, hide=hide) for row in page)


def _pages(rows: Any) -> Iterator[list[Row]]:
    found = rows.select_related(None).order_by("-pk").values(*READ)
    page = list(found[:AT_ONCE])
    while page:
        yield page
        page = list(found.filter(pk__lt=page[-1]["pk"])[:AT_ONCE])


def _lines(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO()
    writer = Writer(text)
    for cells in rows:
        writer.write(cells)
    return text.getvalue().encode("utf-8", "replace")


def _cells(row: Row, *, hide: bool) -> Iterator[str]:
    yield str(row["pk"])
    yield row["tenant__name"]
    yield str(row["batch_id"] or "")
    yield row["template_version__template__name"] or ""
    yield row["channel"]
    yield masked(row["to"]) if hide else row["to"]
    yield status_of(State(row["state"]), ReceiptState(row["receipt_state"])).value
    yield from (rfc3339(row[name]) or "" for name in TIMES)
    yield from (str(row[name]) for name in PLAIN)
    yield json.dumps(row["metadata"], ensure_ascii=False) if row["metadata"] else ""
