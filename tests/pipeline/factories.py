"""Short ways to rows in a condition that a test needs."""

from typing import Any
from uuid import UUID, uuid4

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


def forget_pace() -> None:
    """Let no provider be slowed down any longer, as if time had gone by."""
    ProviderPace.objects.all().delete()
    forget_gates()


def make_due(ids: list[UUID]) -> None:
    Notification.objects.filter(pk__in=ids).update(due_at=Now())


def fresh(notification: Notification) -> Notification:
    return Notification.objects.select_related("tenant").get(pk=notification.pk)
