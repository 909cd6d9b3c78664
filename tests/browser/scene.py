"""A bad night to look at: `python -m tests.browser.scene`, into the database of the environment.

A day of counts, a backlog with every reason to wait, an open circuit, pauses, a job half done.
"""

import math
import os
import random
import sys
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import django

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.browser.settings")
    django.setup()

from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.auth.models import User
from django.utils import timezone

from notifications import notify
from notifications.enums import Priority, ReceiptState, Scope, State
from notifications.models import (
    Attempt,
    Import,
    Job,
    MinuteCount,
    Notification,
    Pause,
    ProviderCircuit,
    RateBucket,
    Receipt,
    Tenant,
    Worker,
)
from notifications.observability.minutes import bucket_of
from notifications.pipeline.template_store import put
from notifications.template_validation import parse_template
from tests.browser.stage import ADMIN, PASSWORD

LUCK = random.Random(7)

SHARES = {"email": (420, "ses"), "sms": (90, "twilio"), "webhook": (160, "webhook")}


def main() -> None:
    now = timezone.now()
    make_users()
    count_a_day(now)
    shop, bakery = (Tenant.objects.get_or_create(name=name)[0] for name in ("shop", "bakery"))
    make_backlog(shop, bakery, now)
    make_switches(now)
    sys.stdout.write(f"{make_story(shop, now)}\n")


def make_users() -> None:
    if not User.objects.filter(username=ADMIN).exists():
        User.objects.create_superuser(ADMIN, password=PASSWORD)


def count_a_day(now: datetime) -> None:
    rows = []
    for ago in range(24 * 60):
        at = now.replace(second=0, microsecond=0) - timedelta(minutes=ago)
        for channel, (share, provider) in SHARES.items():
            rows += [row for row in minute(at, ago, channel, share, provider) if row.count]
    MinuteCount.objects.bulk_create(rows, ignore_conflicts=True)


def minute(at: datetime, ago: int, channel: str, share: int, provider: str) -> list[MinuteCount]:
    def row(what: str, label: str, count: float) -> MinuteCount:
        return MinuteCount(minute=at, what=what, channel=channel, label=label, count=round(count))

    wave = 1 + 0.5 * math.sin(ago / 230) + LUCK.uniform(-0.08, 0.08)
    accepted = share * wave
    failing = channel == "email" and ago < 14
    sent = accepted * (0.35 if failing else 0.985)
    failed = accepted * (0.03 if failing else 0.004)
    retried = accepted * (0.45 if failing else 0.015)
    middle = 4.0 if failing else 0.18
    waits = {
        bucket_of(middle * f): sent * s for f, s in ((1, 0.6), (2, 0.3), (6, 0.08), (20, 0.02))
    }
    return [
        row("accepted", "normal", accepted),
        row("attempt", f"{provider}:accepted", sent),
        row("attempt", f"{provider}:transient", retried),
        row("retry", provider, retried),
        row("error", f"{provider}:{'connect_timeout' if failing else 'throttled'}", retried * 0.9),
        row(
            "error",
            f"{provider}:mailbox_full" if channel == "email" else f"{provider}:30003",
            failed,
        ),
        row("settled", "delivered", sent),
        row("settled", "failed", failed),
        *(row("wait", str(bucket), count) for bucket, count in waits.items()),
    ]


def make_backlog(shop: Tenant, bakery: Tenant, now: datetime) -> None:
    late = now - timedelta(minutes=12)
    bulk(640, shop, now, wait_reason="circuit_open", wait_scope="provider:ses", due_at=late)
    bulk(
        212,
        shop,
        now,
        state=State.RETRY_WAIT,
        provider="ses",
        error_code="connect_timeout",
        attempt_count=1,
        due_at=now + timedelta(seconds=40),
    )
    bulk(1310, bakery, now, priority=Priority.BULK, due_at=late + timedelta(minutes=4))
    bulk(
        48,
        bakery,
        now,
        channel="sms",
        to="+14155550123",
        wait_reason="paused",
        wait_scope="tenant:bakery",
    )
    bulk(7, shop, now, channel="sms", to="+14155550123", state=State.UNKNOWN, provider="twilio")
    bulk(90, shop, now, state=State.SCHEDULED, due_at=now + timedelta(hours=9))
    bulk(60, shop, now, state=State.SENT, receipt_state=ReceiptState.DELIVERED, provider="ses")
    bulk(
        9, shop, now, state=State.FAILED, provider="ses", error_code="mailbox_full", attempt_count=1
    )
    lease = {"lease_token": uuid4(), "lease_until": now + timedelta(seconds=50)}
    bulk(24, shop, now, state=State.DISPATCHING, provider="smtp", **lease)


def bulk(count: int, tenant: Tenant, now: datetime, **values: Any) -> None:
    # Published for a while, so that a worker that looks on lets the scene stand.
    base = {
        "channel": "email",
        "to": "ada.lovelace@example.com",
        "content": {"subject": "Your order is on its way", "body": "It will be with you tomorrow."},
        "fingerprint": "0" * 64,
        "due_at": now,
        "publish_at": now + timedelta(days=1),
    }
    Notification.objects.bulk_create(
        Notification(**{**base, "tenant": tenant, **values}) for _ in range(count)
    )


def make_switches(now: datetime) -> None:
    tenant = Pause.objects.create(scope=Scope.TENANT, subject="bakery", reason="asked to wait")
    entries = [(tenant, ADDITION, "Paused: asked to wait")]
    ProviderCircuit.objects.create(
        provider="ses",
        state="open",
        since=(now - timedelta(minutes=11)).timestamp(),
        reason="failures",
        until=(now + timedelta(minutes=30)).timestamp(),
    )
    RateBucket.objects.create(key="provider:twilio:5000/d", arrival=now.timestamp() + 86400 * 0.94)
    RateBucket.objects.create(key="channel:email:50/s", arrival=now.timestamp() + 86400)
    for name in ("celery@mail-1", "celery@mail-2"):
        Worker.objects.update_or_create(name=name, defaults={"seen_at": now})
    ids = Notification.objects.order_by("pk").values_list("pk", flat=True)
    first, last = ids.first(), ids.last()
    assert first is not None
    assert last is not None
    job = Job.objects.create(
        kind="retry",
        filters={"channel": "email", "status": ["failed"], "error_code": "connect_timeout"},
        reason="the provider is back",
        by=ADMIN,
        begins=first,
        cursor=UUID(int=first.int + (last.int - first.int) * 62 // 100),
        until=last,
        looked_at=148_000,
        changed=4_210,
        lease_token=uuid4(),
        lease_until=now + timedelta(days=1),
    )
    entries.append((job, ADDITION, "Started: the provider is back"))
    make_import(now)
    user = User.objects.get(username=ADMIN)
    for row, flag, message in entries:
        LogEntry.objects.log_actions(user.pk, [row], flag, change_message=message)


def make_import(now: datetime) -> None:
    """A file of which a third is read."""
    Import.objects.create(
        tenant=Tenant.objects.get(name="shop"),
        name="customers.csv",
        digest="0" * 64,
        size=12_000_000,
        options={"defaults": {"channel": "email"}, "columns": {"Mail": "to", "Internal": ""}},
        dry_run=False,
        by=ADMIN,
        rows=61_500,
        accepted=61_488,
        rejected=12,
        read_bytes=4_100_000,
        first_rejects=[["172", "to", "to: not an e-mail address"]] * 12,
        lease_token=uuid4(),
        lease_until=now + timedelta(days=1),
    )


def make_story(shop: Tenant, now: datetime) -> UUID:
    """One notification with a history; its id."""
    source = {
        "channel": "email",
        "subject": "Order {{ order }} is on its way",
        "body": "Dear {{ name }},\n\nit will be with you tomorrow.",
        "html": "<h1>On its way</h1><p>Dear {{ name }},</p><p>order <b>{{ order }}</b> will be "
        "with you tomorrow.</p><p>Your shop</p>",
    }
    put(shop, "order-shipped", parse_template(source))
    row = notify(
        "email",
        to="ada.lovelace@example.com",
        template="order-shipped",
        context={"order": 4711, "name": "Ada"},
        idempotency_key="order-4711-shipped",
        tenant="shop",
    )
    began = now - timedelta(minutes=13)
    story = [
        (1, "ses", "transient", "connect_timeout", "no connection within 10 s", 10_012, 2),
        (2, "ses", "transient", "connect_timeout", "no connection within 10 s", 10_008, 34),
        (3, "smtp", "accepted", "", "", 184, 120),
    ]
    for number, provider, outcome, code, detail, took, after in story:
        Attempt.objects.create(
            notification=row,
            number=number,
            provider=provider,
            outcome=outcome,
            code=code,
            detail=detail,
            duration_ms=took,
            finished_at=began + timedelta(seconds=after, milliseconds=took),
        )
    for index, (kind, after) in enumerate(
        ((ReceiptState.IN_TRANSIT, 124), (ReceiptState.DELIVERED, 131))
    ):
        when = began + timedelta(seconds=after)
        Receipt.objects.create(
            notification=row,
            provider="smtp",
            event_id=f"{row.pk}:{index}",
            kind=kind,
            occurred_at=when,
            received_at=when + timedelta(seconds=1),
        )
    Notification.objects.filter(pk=row.pk).update(
        created_at=began,
        due_at=began,
        state=State.SENT,
        receipt_state=ReceiptState.DELIVERED,
        attempt_count=3,
        provider="smtp",
        provider_message_id="<4711@mail.example.com>",
        dispatched_at=began + timedelta(seconds=120),
        sent_at=began + timedelta(seconds=120, milliseconds=184),
        settled_at=began + timedelta(seconds=132),
    )
    user = User.objects.get(username=ADMIN)
    entries = LogEntry.objects.log_actions(
        user.pk, [row], CHANGE, change_message="Retried: the customer asked for it"
    )
    LogEntry.objects.filter(object_id=str(row.pk)).update(action_time=began + timedelta(seconds=90))
    del entries
    return row.pk


if __name__ == "__main__":
    main()
