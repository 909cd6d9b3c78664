"""Who did what, and why: in Django's own log, where the history of each object shows it."""

from collections.abc import Sequence
from typing import Any

from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest

from ..enums import Scope
from ..fields import local, utc
from ..models import Dashboard, Import, Job, Notification, Pause, RateLimit
from ..pipeline.route import providers_of

SHOWN = 8

PAUSES_SHOWN = 20


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


def of_pauses(notification: Notification) -> Sequence[LogEntry]:
    """What staff paused and resumed on its way until its end, in the order of its happening.

    Of what came before it was accepted, only the pauses that were in force then; the last
    twenty in all.
    """
    kind = ContentType.objects.get_for_model(Pause)
    entries = LogEntry.objects.filter(content_type=kind, object_repr__in=_way(notification))
    if notification.settled_at:
        entries = entries.filter(action_time__lte=local(notification.settled_at))
    told: list[LogEntry] = []
    known_before: set[str] = set()
    for entry in entries.select_related("user").order_by("-pk")[:PAUSES_SHOWN]:
        is_before = utc(entry.action_time) < notification.created_at
        is_over = entry.action_flag == DELETION or entry.object_repr in known_before
        if is_before:
            known_before.add(entry.object_repr)
        if not (is_before and is_over):
            told.append(entry)
    return told[::-1]


def _way(notification: Notification) -> list[str]:
    """Pauses that hold it, as the log calls them."""
    tenant, template = notification.tenant.name, notification.template
    pauses = [
        Pause(scope=Scope.CHANNEL, subject=notification.channel),
        Pause(scope=Scope.TENANT, subject=tenant),
        *(Pause(scope=Scope.PROVIDER, subject=p) for p in providers_of(notification.channel)),
    ]
    if template:
        pauses.append(Pause(scope=Scope.TEMPLATE, subject=f"{tenant}/{template}"))
    return [str(pause)[:200] for pause in pauses]
