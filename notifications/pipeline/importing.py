"""Notifications from a CSV file of any size, chunk by chunk, each row once.

A row's idempotency key is made of the digest of the file's bytes and of its number. So a file may
be read again, from its beginning, under any name, as often as it takes: what it has stored before
is only looked up. All that a file has stored is one batch.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO, TextIO
from uuid import UUID

from .. import tabular
from ..conf import Rate
from ..exceptions import FieldError, InvalidNotification
from ..idempotency import fingerprint
from ..messages import Draft
from ..models import Batch, Notification, Tenant
from ..senders import parse_senders
from ..tabular import Record, Table
from ..validation import parse_notification
from .accept import ItemResult, accept_into
from .import_plan import ABOUT, Plan, fields_of
from .templates import resolve

AT_ONCE = 500
"""Rows in a chunk: one transaction."""

CHARACTERS_AT_ONCE = 4 * 1024 * 1024
"""Rows that are long make a shorter chunk, so that the memory is bounded."""

AS_JSON = ("payload", "context", "metadata", "headers", "cc", "bcc", "attachments", "digest")
AS_WRITTEN = ("subject", "body", "html", "payload")
"""Fields whose blanks at the ends belong to them."""

AGAIN = frozenset({"too_large", "too_many_templates", "busy"})
"""Codes that speak of the company a row was in; alone, it may be fine."""

BUSY_SECONDS = 1.0

Item = Draft | InvalidNotification
Tell = Callable[["Imported"], None]


@dataclass(slots=True)
class Imported:
    """What became of the rows so far; `batch_id` holds them all. `read_bytes` is of the file."""

    rows: int = 0
    accepted: int = 0
    replayed: int = 0
    rejected: int = 0
    read_bytes: int = 0
    batch_id: UUID | None = None

    def count(self, results: Iterable[ItemResult]) -> None:
        for result in results:
            self.rows += 1
            setattr(self, result.outcome, getattr(self, result.outcome) + 1)


def import_csv(
    source: BinaryIO, plan: Plan, rejects: TextIO, tell: Tell = lambda _: None
) -> Imported:
    """Accept every usable row of `source`, and write the others with the reason to `rejects`.

    Killed at any point, it is called again and goes on. `tell` is called after each chunk. Raises
    Unreadable where the file cannot be read, or its columns are not known.
    """
    digest = tabular.digest(source)
    reading, pace = Reading(source, plan, digest), _Pace(plan.rate)
    done, refused = Imported(), tabular.Writer(rejects)
    refused.write(reading.header)
    batch = None if plan.dry_run else batch_of(plan.tenant, digest)
    done.batch_id = batch.pk if batch else None
    while records := reading.take(pace.at_once):
        results = store(plan.tenant, batch, reading.items(records))
        for cells in rejected(records, results):
            refused.write(cells)
        done.count(results)
        done.read_bytes = source.tell()
        tell(done)
        pace.keep(done.accepted)
    return done


def batch_of(tenant: Tenant, digest: str) -> Batch:
    """That of all that is stored of a file."""
    batch, _ = Batch.objects.get_or_create(
        tenant=tenant, idempotency_key=batch_key(digest), defaults={"fingerprint": "import"}
    )
    batch.tenant = tenant
    return batch


def batch_key(digest: str) -> str:
    return f"import-{digest}"


def at_once(rate: Rate | None) -> int:
    """How many rows of a chunk: no more than a second's worth."""
    return AT_ONCE if rate is None else min(AT_ONCE, max(1, round(rate.per_second)))


class Reading:
    """The rows of a file in their order, and what they say; raises Unreadable.

    Senders are those that the tenant's keys may name.
    """

    def __init__(self, source: BinaryIO, plan: Plan, digest: str) -> None:
        self._table = Table(source, plan.encoding, plan.delimiter)
        self._records = iter(self._table)
        self._fields = fields_of(self._table.header, plan)
        self._defaults = plan.defaults
        self._key = f"import-{digest[:32]}"
        self._senders = parse_senders(plan.tenant.senders)

    @property
    def header(self) -> list[str]:
        """Of the file of its rejected rows."""
        return [*self._table.header, *ABOUT]

    def skip(self, count: int) -> None:
        self._table.skip(count)

    def take(self, count: int) -> list[Record]:
        """The next rows, `count` of them or as many as are CHARACTERS_AT_ONCE; none at the end."""
        found, size = list[Record](), 0
        for record in islice(self._records, count):
            found.append(record)
            size += sum(map(len, record.cells))
            if size >= CHARACTERS_AT_ONCE:
                break
        return found

    def items(self, records: Iterable[Record]) -> list[Item]:
        return [self._item(record) for record in records]

    def _item(self, record: Record) -> Item:
        if record.flaw:
            return InvalidNotification([FieldError("", "invalid_row", record.flaw)])
        data: dict[str, Any] = {"idempotency_key": f"{self._key}-{record.number}"}
        try:
            for name, cell in zip(self._fields, record.cells, strict=True):
                _put(data, name, cell)
            for name, value in self._defaults.items():
                data.setdefault(name, value)
            return parse_notification(data, senders=self._senders)
        except InvalidNotification as error:
            # Not itself: its traceback would hold the row until the garbage is collected.
            return InvalidNotification(error.errors)


def store(tenant: Tenant, batch: Batch | None, items: Sequence[Item]) -> list[ItemResult]:
    """What became of each; without a batch, what would, and nothing is stored."""
    return _rehearse(tenant, items) if batch is None else _store(batch, items)


def rejected(records: Sequence[Record], results: Sequence[ItemResult]) -> list[list[str]]:
    """The rows that were not accepted as they were, each with its line, fields and reason."""
    return [
        [*record.cells, str(record.line), _fields_in(result.errors), _in_words(result.errors)]
        for record, result in zip(records, results, strict=True)
        if result.errors
    ]


def _put(data: dict[str, Any], name: str, cell: str) -> None:
    text = tabular.plain(cell) if name in AS_WRITTEN else tabular.plain(cell.strip())
    if not name or not text:
        return
    place, parts = data, name.split(".")
    path = parts if parts[0] == "context" else name.split(".", 1)
    for part in path[:-1]:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            detail = "two columns do not agree on what it is"
            raise InvalidNotification([FieldError(f"/{parts[0]}", "conflicting_columns", detail)])
    place[path[-1]] = _json(name, text) if name in AS_JSON else text


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidNotification(
            [FieldError(f"/{name}", "invalid_json", "is not JSON")]
        ) from error


def _store(batch: Batch, items: Sequence[Item]) -> list[ItemResult]:
    results = accept_into(batch, items)
    return [
        _alone(batch, item) if _needs_another_try(result) else result
        for item, result in zip(items, results, strict=True)
    ]


def _alone(batch: Batch, item: Item) -> ItemResult:
    [result] = accept_into(batch, [item])
    if any(error.code == "busy" for error in result.errors):
        time.sleep(BUSY_SECONDS)
        [result] = accept_into(batch, [item])
    return result


def _needs_another_try(result: ItemResult) -> bool:
    return any(error.code in AGAIN for error in result.errors)


def _rehearse(tenant: Tenant, items: Sequence[Item]) -> list[ItemResult]:
    """What `_store` would answer; nothing is stored."""
    drafts = [item for item in items if isinstance(item, Draft)]
    resolved = resolve(tenant, drafts)
    keys = [draft.idempotency_key for draft in drafts if draft.idempotency_key]
    rows = Notification.objects.filter(tenant=tenant, idempotency_key__in=keys)
    held = dict(rows.values_list("idempotency_key", "fingerprint"))
    found = iter(
        _judge(index, draft, held.get(draft.idempotency_key), resolved.errors.get(index))
        for index, draft in enumerate(resolved.drafts)
    )
    return [
        next(found)
        if isinstance(item, Draft)
        else ItemResult(index, "rejected", errors=item.errors)
        for index, item in enumerate(items)
    ]


def _judge(
    index: int, draft: Draft, held: str | None, error: InvalidNotification | None
) -> ItemResult:
    if held == fingerprint(draft):
        return ItemResult(index, "replayed")
    if held is not None:
        detail = "the key was used with other content"
        conflict = FieldError("/idempotency_key", "idempotency_key_reused", detail)
        return ItemResult(index, "rejected", errors=(conflict,))
    if error and not any(e.code in AGAIN for e in error.errors):
        return ItemResult(index, "rejected", errors=error.errors)
    return ItemResult(index, "accepted")


def _fields_in(errors: Iterable[FieldError]) -> str:
    return ", ".join(dict.fromkeys(filter(None, (e.pointer.removeprefix("/") for e in errors))))


def _in_words(errors: Iterable[FieldError]) -> str:
    return "; ".join(
        ": ".join(filter(None, (error.pointer.removeprefix("/"), error.detail))) for error in errors
    )


class _Pace:
    """Keeps to a rate, by waiting; what was stored before costs nothing of it."""

    def __init__(self, rate: Rate | None) -> None:
        self._rate = rate
        self._begun = time.monotonic()
        self.at_once = at_once(rate)

    def keep(self, accepted: int) -> None:
        if self._rate is not None:
            due = self._begun + accepted / self._rate.per_second
            time.sleep(max(0.0, due - time.monotonic()))
