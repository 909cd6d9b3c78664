"""Notifications from a CSV file of any size, chunk by chunk, each row once.

A row's idempotency key is made of the digest of the file's bytes and of its number. So a file may
be read again, from its beginning, under any name, as often as it takes: what it has stored before
is only looked up. All that a file has stored is one batch.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
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
from ..validation import KNOWN_FIELDS, parse_notification
from .accept import ItemResult, accept_into
from .templates import resolve

AT_ONCE = 500
"""Rows in a chunk: one transaction."""

LINE, REASON = "import_line", "import_reason"
"""The columns that a file of rejected rows has besides; imported again, they are passed over."""

NESTED = ("context", "metadata", "headers")
AS_JSON = ("payload", "context", "metadata", "headers", "cc", "bcc", "attachments", "digest")
AS_WRITTEN = ("subject", "body", "html", "payload")
"""Fields whose blanks at the ends belong to them."""

AGAIN = frozenset({"too_large", "too_many_templates", "busy"})
"""Codes that speak of the company a row was in; alone, it may be fine."""

BUSY_SECONDS = 1.0

Item = Draft | InvalidNotification
Tell = Callable[["Imported"], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a file is read: `columns` maps its columns to fields, nothing for those to leave out.

    `context.NAME` and `metadata.NAME` are fields too. `defaults` are for rows that leave a field
    empty. No more than `rate` are accepted.
    """

    tenant: Tenant
    columns: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    encoding: str | None = None
    delimiter: str | None = None
    rate: Rate | None = None
    dry_run: bool = False


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
    ValueError where the file cannot be read, or its columns are not known.
    """
    digest = tabular.digest(source)
    table = Table(source, plan.encoding, plan.delimiter)
    fields = _fields(table.header, plan)
    done, refused = Imported(), tabular.Writer(rejects)
    refused.write([*table.header, LINE, REASON])
    batch = None if plan.dry_run else _batch(plan.tenant, digest)
    done.batch_id = batch.pk if batch else None
    pace, records, reading = _Pace(plan.rate), iter(table), _Reading(plan, fields, digest)
    while chunk := list(islice(records, pace.at_once)):
        items = [reading.item(record) for record in chunk]
        results = _store(batch, items) if batch else _rehearse(plan.tenant, items)
        for record, result in zip(chunk, results, strict=True):
            if result.errors:
                refused.write([*record.cells, str(record.line), _in_words(result.errors)])
        done.count(results)
        done.read_bytes = source.tell()
        tell(done)
        pace.keep(done.accepted)
    return done


def _fields(header: Sequence[str], plan: Plan) -> list[str]:
    """The field of each column; raises ValueError with every column that has none."""
    if missing := sorted(set(plan.columns) - set(header)):
        raise ValueError(f"the file has no column {', '.join(missing)}; it has {', '.join(header)}")
    found = [_field(name, plan) for name in header]
    if "template" in {*found, *plan.defaults}:  # then the others are what it calls by their names
        found = [f"context.{n}" if f is None else f for f, n in zip(found, header, strict=True)]
    unknown = [name for name, f in zip(header, found, strict=True) if f is None]
    if unknown:
        raise ValueError(
            f"columns that are no fields: {', '.join(unknown)}; say what they are with "
            "--map COLUMN=FIELD, or leave them out with --map COLUMN="
        )
    filled = [f for f in found if f]
    if twice := sorted({f for f in filled if filled.count(f) > 1}):
        raise ValueError(f"two columns are the same field: {', '.join(twice)}")
    return [f or "" for f in found]


def _field(column: str, plan: Plan) -> str | None:
    """Its field, empty to be left out; None where nothing says."""
    if column in (LINE, REASON, ""):
        return ""
    name = plan.columns.get(column, column)
    if name and not is_field(name):
        if column in plan.columns:
            raise ValueError(f"--map {column}={name}: {name} is no field; known are: {known()}")
        return None
    return name


def is_field(name: str) -> bool:
    """Whether a column can be it: a field of a notification, or a part of one."""
    top, dot, rest = name.partition(".")
    return name in KNOWN_FIELDS or (top in NESTED and bool(dot) and bool(rest))


def known() -> str:
    return ", ".join([*sorted(KNOWN_FIELDS), *(f"{name}.NAME" for name in NESTED)])


def _batch(tenant: Tenant, digest: str) -> Batch:
    key = f"import-{digest}"
    batch, _ = Batch.objects.get_or_create(
        tenant=tenant, idempotency_key=key, defaults={"fingerprint": "import"}
    )
    batch.tenant = tenant
    return batch


class _Reading:
    """Makes drafts of the rows of one file; senders are those that the tenant's keys may name."""

    def __init__(self, plan: Plan, fields: Sequence[str], digest: str) -> None:
        self._fields = fields
        self._defaults = plan.defaults
        self._key = f"import-{digest[:32]}"
        self._senders = parse_senders(plan.tenant.senders)

    def item(self, record: Record) -> Item:
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
            return error


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


def _in_words(errors: Iterable[FieldError]) -> str:
    return "; ".join(
        ": ".join(filter(None, (error.pointer.removeprefix("/"), error.detail))) for error in errors
    )


class _Pace:
    """Keeps to a rate, by waiting; what was stored before costs nothing of it."""

    def __init__(self, rate: Rate | None) -> None:
        self._rate = rate
        self._begun = time.monotonic()
        self.at_once = AT_ONCE if rate is None else min(AT_ONCE, max(1, round(rate.per_second)))

    def keep(self, accepted: int) -> None:
        if self._rate is not None:
            due = self._begun + accepted / self._rate.per_second
            time.sleep(max(0.0, due - time.monotonic()))
