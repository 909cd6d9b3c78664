"""`manage.py import_notifications FILE.csv`: a file of notifications, each row once."""

import logging
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, TypeVar

from django.core.management.base import BaseCommand, CommandError

from ...conf import get_settings
from ...enums import Channel, Priority
from ...models import Tenant
from ...observability.formats import EVENTS
from ...pipeline.import_plan import DEFAULTS, Plan, parse_delimiter, parse_mapping, parse_rate
from ...pipeline.importing import Imported, Tell, import_csv
from ...tabular import Unreadable
from ..tenants import find_tenant

try:
    from tqdm import tqdm
except ImportError:  # it comes with the extra `serve`
    tqdm = None  # type: ignore[assignment,misc]  # None says that it is missing

T = TypeVar("T")


class Command(BaseCommand):
    help = (
        "Accepts every row of a CSV file as a notification, once, however often it is called: "
        "rows are known by the content of the file. Bad rows go to a file of their own, with the "
        "reason. Columns are fields of POST /notify, context.NAME and metadata.NAME; with a "
        "template, any other column fills it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path, metavar="FILE.csv")
        parser.add_argument("--tenant", help="the default is DEFAULT_TENANT of the settings")
        parser.add_argument("--channel", choices=Channel.values, help="of rows that name none")
        parser.add_argument("--template", help="of rows that name none")
        parser.add_argument("--priority", choices=Priority.labels, help="of rows that name none")
        parser.add_argument(
            "--map",
            type=_argument(parse_mapping),
            action="append",
            default=[],
            metavar="COLUMN=FIELD",
            help="a column is that field; nothing behind the = leaves it out; repeatable",
        )
        parser.add_argument(
            "--rate", type=_argument(parse_rate), help="accept no more, such as 100/s"
        )
        parser.add_argument("--dry-run", action="store_true", help="check all, and store nothing")
        parser.add_argument("--rejects", type=Path, help="for bad rows; FILE.rejected.csv if not")
        parser.add_argument("--encoding", help="such as cp1252; UTF-8 if its first bytes say none")
        parser.add_argument(
            "--delimiter", type=_argument(parse_delimiter), help="found out if not given"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        rejects = options["rejects"] or path.with_suffix(".rejected.csv")
        if rejects.resolve() == path.resolve():
            raise CommandError("--rejects: it would overwrite the file that is imported.")
        plan = _plan(options)
        try:
            with path.open("rb") as source, _rejects(rejects) as target, _bar(path) as tell:
                done = import_csv(source, plan, target, tell)
        except OSError as error:
            raise CommandError(f"{error.filename or path}: {error.strerror}.") from error
        except Unreadable as error:
            raise CommandError(f"{path} cannot be imported: {error}.") from error
        self._tell(done, rejects, is_rehearsal=plan.dry_run)

    def _tell(self, done: Imported, rejects: Path, *, is_rehearsal: bool) -> None:
        would = "Would be: " if is_rehearsal else ""
        self.stdout.write(
            f"{would}{done.accepted:,} accepted, {done.replayed:,} there already, "
            f"{done.rejected:,} rejected, of {done.rows:,} rows."
        )
        if done.batch_id:
            self.stdout.write(f"What becomes of them: GET /batches/{done.batch_id}")
        if done.rejected:
            self.stderr.write(f"The rejected rows, with the reasons: {rejects}")
        else:
            rejects.unlink(missing_ok=True)


def _argument(parse: Callable[[str], T]) -> Callable[[str], T]:
    """As argparse wants it: it shows the text of its own error alone."""

    def parsed(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise ArgumentTypeError(str(error)) from error

    return parsed


def _plan(options: dict[str, Any]) -> Plan:
    return Plan(
        tenant=_tenant(options["tenant"]),
        columns=dict(options["map"]),
        defaults={name: options[name] for name in DEFAULTS if options[name]},
        encoding=options["encoding"],
        delimiter=options["delimiter"],
        rate=options["rate"],
        dry_run=options["dry_run"],
    )


def _tenant(name: str | None) -> Tenant:
    if name is None:
        tenant, _ = Tenant.objects.get_or_create(name=get_settings().default_tenant)
    else:
        tenant = find_tenant(name, "Add it in the admin, or name another with --tenant.")
    if not tenant.is_active:
        raise CommandError(f"The tenant {tenant} is switched off; the admin switches it on again.")
    return tenant


@contextmanager
def _rejects(path: Path) -> Iterator[TextIO]:
    """Bytes that were no text are written as they were."""
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as target:
        yield target


@contextmanager
def _bar(path: Path) -> Iterator[Tell]:
    """A progress bar over the bytes of the file, where somebody is there to see it."""
    if tqdm is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    size = os.stat(path).st_size
    with _without_events(), tqdm(total=size, unit="B", unit_scale=True) as bar:

        def tell(done: Imported) -> None:
            bar.set_postfix(rows=done.rows, rejected=done.rejected, refresh=False)
            bar.update(done.read_bytes - bar.n)

        yield tell


@contextmanager
def _without_events() -> Iterator[None]:
    """A line of the log for each row would leave nothing to be seen of the bar."""
    events = logging.getLogger(EVENTS)
    level = events.level
    events.setLevel(logging.WARNING)
    try:
        yield
    finally:
        events.setLevel(level)
