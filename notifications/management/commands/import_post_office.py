"""`manage.py import_post_office`: takes over what django-post_office has in its queue."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError

from ...exceptions import NotificationError
from ..post_office import Imported, import_emails, waiting
from ..post_office_templates import ImportedTemplates, import_templates

try:
    from tqdm import tqdm
except ImportError:  # it comes with the extra `serve`
    tqdm = None  # type: ignore[assignment,misc]  # None says that it is missing

IDS_SHOWN = 5


class Command(BaseCommand):
    help = (
        "Takes over the queued e-mails and the templates of django-post_office. Stop what starts "
        "its senders first. What was taken over is not again, however often this is run."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="the default is MAIL's TENANT, or DEFAULT_TENANT")
        parser.add_argument(
            "--only", choices=("emails", "templates"), help="one of both, instead of both"
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="do it, tell what came of it, and undo it"
        )

    def handle(self, *, tenant: str | None, only: str | None, dry_run: bool, **_: Any) -> None:
        if not apps.is_installed("post_office"):
            raise CommandError("post_office is not in INSTALLED_APPS; keep it there until the end.")
        try:
            if only != "emails":
                self._tell_templates(import_templates(tenant, dry_run=dry_run), dry_run)
            if only != "templates":
                self._tell_emails(_import_emails(tenant, dry_run), dry_run)
        except NotificationError as error:
            raise CommandError(f"{error}.") from error

    def _tell_templates(self, found: ImportedTemplates, dry_run: bool) -> None:
        self.stdout.write(
            f"Templates: {_verb(dry_run)} {len(found.taken):,}; "
            f"{len(found.known):,} are here already; {len(found.left):,} stay."
        )
        for old, name in found.taken.items():
            if old != name:
                self.stdout.write(f"  {old} is {name} here")
        for old, flaws in found.left.items():
            self.stdout.write("\n    ".join([f"  {old} stays:", *flaws]))

    def _tell_emails(self, found: Imported, dry_run: bool) -> None:
        self.stdout.write(
            f"E-mails: {_verb(dry_run)} {found.taken:,}, {found.scheduled:,} of them for later; "
            f"{found.known:,} had been before; {sum(map(len, found.left.values())):,} stay."
        )
        for reason, ids in found.left.items():
            more = ", …" if len(ids) > IDS_SHOWN else ""
            shown = ", ".join(map(str, ids[:IDS_SHOWN]))
            self.stdout.write(f"  {len(ids):,} stay, id {shown}{more}: {reason}")
        for alias, count in found.backends.items():
            self.stdout.write(f"  {count:,} name the backend {alias}; here they go as all others")
        self.stdout.write(f"Next: {_next(found, dry_run)}.")


def _import_emails(tenant: str | None, dry_run: bool) -> Imported:
    if tqdm is None or not sys.stderr.isatty():
        return import_emails(tenant, dry_run=dry_run)
    with tqdm(total=waiting().count(), unit=" e-mails") as bar:
        return import_emails(tenant, dry_run=dry_run, told=bar.update)


def _verb(dry_run: bool) -> str:
    return "would take over" if dry_run else "took over"


def _next(found: Imported, dry_run: bool) -> str:
    if dry_run:
        return "stop what starts django-post_office's senders, and run this without --dry-run"
    if found.left:
        return "see to those that stay, in django-post_office's admin, and run this again"
    return "manage.py notifications_status shows how they are sent; keep a worker running"
