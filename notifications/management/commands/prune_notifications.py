"""`manage.py prune_notifications`: deletes what was settled long ago."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ...pipeline.prune import BATCH_SIZE, Pruned, prunable, prune

try:
    from tqdm import tqdm
except ImportError:  # it comes with the extra `serve`
    tqdm = None  # type: ignore[assignment,misc]  # None says that it is missing


class Command(BaseCommand):
    help = (
        "Deletes notifications that were settled long ago, with their attempts and receipts; "
        "in short transactions, beside running workers."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--days", type=int, help="keep what was settled within so many; default: RETENTION_DAYS"
        )
        parser.add_argument(
            "--batch-size",
            type=int,
            default=BATCH_SIZE,
            help="notifications in one transaction, default: %(default)s",
        )
        parser.add_argument("--dry-run", action="store_true", help="count, and delete nothing")

    def handle(self, *, days: int | None, batch_size: int, dry_run: bool, **_: Any) -> None:
        if batch_size < 1:
            raise CommandError("--batch-size must be 1 or more.")
        try:
            if dry_run:
                self.stdout.write(f"Would delete {_told(prunable(days))}.")
            else:
                self.stdout.write(f"Deleted {_told(self._prune(days, batch_size))}.")
        except ValueError as error:
            raise CommandError(f"--days: {error}.") from error

    def _prune(self, days: int | None, batch_size: int) -> Pruned:
        if tqdm is None or not sys.stderr.isatty():
            return prune(days, batch_size=batch_size)
        with tqdm(total=prunable(days).notifications, unit=" notifications") as bar:
            return prune(days, batch_size=batch_size, told=bar.update)


def _told(pruned: Pruned) -> str:
    return (
        f"{pruned.notifications:,} notifications, {pruned.batches:,} batches, "
        f"{pruned.results:,} results of tasks, {pruned.workers:,} workers, "
        f"{pruned.orphans:,} receipts of nothing known, {pruned.digests:,} digests, "
        f"{pruned.imports:,} imports"
    )
