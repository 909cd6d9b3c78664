"""`manage.py notify CHANNEL TO`: send one, wait, tell how it went."""

import json
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from celery.app import app_or_default
from django.core.management.base import BaseCommand, CommandError
from django.utils.timezone import localtime

from ...enums import Channel, Priority, ReceiptState, Status
from ...exceptions import InvalidNotification, NotificationError
from ...models import Notification
from ...pipeline import explain, waits
from ...shortcuts import notify
from ...worker import EmbeddedWorker
from ..tenants import find_tenant

FIELDS = (
    "template",
    "context",
    "subject",
    "body",
    "html",
    "event",
    "payload",
    "priority",
    "idempotency_key",
)

GOOD = (Status.SENT, Status.DELIVERED)
PENDING = (Status.SCHEDULED, Status.QUEUED, Status.SENDING, Status.RETRYING)
OK, FAILED, STILL_WAITING = 0, 1, 2

IN_PROCESS = ("embedded", "memory")
"""Brokers that reach no other process: here the command has to be its own worker."""

LOOK_SECONDS = 0.1

Event = tuple[datetime, str]


class Command(BaseCommand):
    help = (
        "Sends one notification, waits, and prints what became of it. Ends with 0 when it was "
        "sent, 1 when it was not or nobody can tell, 2 when it is still waiting."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("channel", choices=Channel.values)
        parser.add_argument("to", help="an address, a number such as +14155550123, or a URL")
        parser.add_argument("--template", help="the name of a template, instead of what follows")
        parser.add_argument("--context", type=parse_json, help="what fills it: a JSON object")
        parser.add_argument("--subject", help="email")
        parser.add_argument("--body", help="email and sms")
        parser.add_argument("--html", help="email")
        parser.add_argument("--event", help="webhook")
        parser.add_argument("--payload", type=parse_json, help="webhook: any JSON")
        parser.add_argument("--priority", choices=Priority.labels)
        parser.add_argument("--tenant", help="the default is DEFAULT_TENANT of the settings")
        parser.add_argument(
            "--metadata", type=parse_pair, action="append", metavar="KEY=VALUE", help="repeatable"
        )
        parser.add_argument("--idempotency-key", help="used again, it sends nothing again")
        parser.add_argument(
            "--timeout", type=float, default=30.0, help="seconds to wait; %(default)g if not given"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with _worker_if_needed():
            row = _wait(_notify(options), options["timeout"])
        self._tell(row)
        code = _exit_code(row.status)
        if code:
            sys.exit(code)

    def _tell(self, row: Notification) -> None:
        self.stdout.write(f"{row.pk}  {row.channel} to {row.to}")
        for when, what in sorted(_events(row)):
            self.stdout.write(f"  {localtime(when):%H:%M:%S.%f}"[:-3] + f"  {what}")
        style = self.style.SUCCESS if row.status in GOOD else self.style.ERROR
        self.stdout.write(style(f"{row.status}{_because(row)}"))


def parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ArgumentTypeError(f"this is not JSON: {error}") from error


def parse_pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ArgumentTypeError(f"{text!r} has no =; write KEY=VALUE")
    return key, value


@contextmanager
def _worker_if_needed() -> Iterator[None]:
    """A worker of our own where no other could hear the broker; one too many does no harm."""
    with app_or_default().connection_for_write() as connection:
        alone = connection.transport_cls in IN_PROCESS
    if not alone:
        yield
        return
    worker = EmbeddedWorker(app_or_default())
    worker.start()
    try:
        yield
    finally:
        worker.stop()


def _notify(options: dict[str, Any]) -> Notification:
    fields = {name: options[name] for name in FIELDS if options[name] is not None}
    metadata = dict(options["metadata"] or ())
    advice = "Add it in the admin, or name another with --tenant."
    tenant = find_tenant(options["tenant"], advice) if options["tenant"] else None
    try:
        return notify(
            options["channel"], to=options["to"], tenant=tenant, metadata=metadata, **fields
        )
    except InvalidNotification as error:
        lines = (f"{e.pointer.removeprefix('/')}: {e.detail}" for e in error.errors)
        raise CommandError("This cannot be sent.\n  " + "\n  ".join(lines)) from error
    except NotificationError as error:
        raise CommandError(str(error)) from error


def _wait(row: Notification, seconds: float) -> Notification:
    """The row as it is when nothing more is to come of it, or when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        row = Notification.objects.select_related("tenant").get(pk=row.pk)
        over = row.settled_at is not None or row.status not in (*PENDING, Status.SENT)
        if over or time.monotonic() > deadline:
            return row
        time.sleep(LOOK_SECONDS)


def _events(row: Notification) -> Iterator[Event]:
    yield row.created_at, "accepted"
    for wait in row.waits.all():
        often = f" ({wait.count} times)" if wait.count > 1 else ""
        yield wait.since, f"put off: {waits.in_words(wait)}{often}"
    for attempt in row.attempts.all():
        why = ": ".join(filter(None, (attempt.code, attempt.detail)))
        took = f"attempt {attempt.number} by {attempt.provider}, {attempt.duration_ms} ms"
        yield attempt.finished_at, f"{took}: {attempt.outcome}" + (f" ({why})" if why else "")
    for receipt in row.receipts.all():
        yield (
            receipt.occurred_at,
            f"receipt of {receipt.provider}: {ReceiptState(receipt.kind).label}",
        )


def _because(row: Notification) -> str:
    waiting = explain.waiting(row)
    if waiting:
        until = f" (until {localtime(waiting.until):%H:%M:%S})" if waiting.until else ""
        return f": {waiting.detail}{until}"
    return f": {row.error_detail}" if row.error_detail and row.status not in GOOD else ""


def _exit_code(status: Status) -> int:
    if status in GOOD:
        return OK
    return STILL_WAITING if status in PENDING else FAILED
