"""Short ways to rows in a condition that a test needs."""

from typing import Any
from uuid import UUID, uuid4

from django.db import connection
from django.db.models.functions import Now

from notifications import notify
from notifications.enums import Channel
from notifications.gates import forget_gates
from notifications.models import Notification, ProviderPace, Tenant
from notifications.pipeline.deliver import deliver
from notifications.pipeline.lease import Report


def tenant(name: str = "") -> Tenant:
    return Tenant.objects.get_or_create(name=name or f"t-{uuid4().hex[:8]}")[0]


def sms(simulate: str = "deliver", **fields: Any) -> Notification:
    """An accepted text message for the simulated provider."""
    fields = {"to": "+14155550123", "body": "Hello", "metadata": {"simulate": simulate}} | fields
    return notify("sms", **fields)


def attempt(*notifications: Notification) -> Report:
    """Make everything due and let one task deliver it."""
    ids = [notification.pk for notification in notifications]
    make_due(ids)
    return deliver(Channel(notifications[0].channel), ids)


def copies(row: Notification, count: int) -> None:
    """Store so many more rows like this one; the database makes them, which takes it a moment."""
    is_sqlite, table = connection.vendor == "sqlite", row._meta.db_table
    new_id = "lower(hex(randomblob(16)))" if is_sqlite else "gen_random_uuid()"
    fields = [f for f in row._meta.concrete_fields if not (f.primary_key or f.generated)]
    names = ", ".join(f'"{field.column}"' for field in fields)
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH RECURSIVE numbers(n) AS"
            " (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < %s)"
            f" INSERT INTO {table} (id, {names}) SELECT {new_id}, {names}"
            f" FROM {table}, numbers WHERE id = %s",
            [count, row.pk.hex if is_sqlite else row.pk],
        )


def forget_pace() -> None:
    """Let no provider be slowed down any longer, as if time had gone by."""
    ProviderPace.objects.all().delete()
    forget_gates()


def make_due(ids: list[UUID]) -> None:
    Notification.objects.filter(pk__in=ids).update(due_at=Now())


def fresh(notification: Notification) -> Notification:
    return Notification.objects.select_related("tenant").get(pk=notification.pk)
