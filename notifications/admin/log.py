"""Who did what, and why: in Django's own log, where the history of each object shows it."""

from collections.abc import Sequence
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest

from ..models import Dashboard, Import, Job, Notification, Pause, RateLimit

SHOWN = 8


def log(
    request: HttpRequest, rows: Sequence[Any], what: str, why: str = "", flag: int = CHANGE
) -> None:
    """One entry for each of `rows`, as `Paused: the provider is down`."""
    user: Any = request.user
    message = f"{what}: {why}" if why else f"{what}."
    LogEntry.objects.log_actions(user.pk, rows, flag, change_message=message)


def latest() -> Sequence[LogEntry]:
    """The last that was done to sending as a whole."""
    kinds = ContentType.objects.get_for_models(Pause, RateLimit, Job, Import, Dashboard).values()
    entries = LogEntry.objects.filter(content_type__in=kinds).select_related("user")
    return list(entries.order_by("-pk")[:SHOWN])


def of_notification(notification: Notification) -> Sequence[LogEntry]:
    """All that staff did to one notification, in the order of its happening."""
    kind = ContentType.objects.get_for_model(Notification)
    entries = LogEntry.objects.filter(content_type=kind, object_id=str(notification.pk))
    return list(entries.select_related("user").order_by("pk"))
