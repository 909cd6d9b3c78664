"""Retry and cancel for the rows selected in the list, through the same functions as the API."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import CHANGE, LogEntry
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from ..enums import Status
from ..exceptions import NotPossible
from ..models import Notification
from ..pipeline import control
from ..querysets import NotificationQuerySet
from .lists import ModelAdmin

AT_ONCE = 500
"""How many rows one click handles: each is a transaction of its own, and the page waits."""

RETRY, LEAVE = "retry", "leave"


@admin.action(description="Retry selected notifications", permissions=["operate"])
def retry_selected(
    page: ModelAdmin, request: HttpRequest, rows: NotificationQuerySet
) -> HttpResponse | None:
    """Start a new cycle of attempts; what may have been delivered only after a confirmation."""
    selected = _first(page, request, rows)
    unknown = [row for row in selected if row.status == Status.UNKNOWN]
    answer = request.POST.get("unknown")
    if unknown and answer not in (RETRY, LEAVE):
        return _ask(page, request, selected, unknown)
    if answer == LEAVE:
        selected = [row for row in selected if row not in unknown]
    done, refused = _apply(selected, lambda row: _retry(row, answer))
    _log(request, done, "Retried.")
    _tell(page, request, messages.SUCCESS, len(done), "back in the queue")
    _explain(page, request, refused)
    return None


@admin.action(description="Cancel selected notifications", permissions=["operate"])
def cancel_selected(page: ModelAdmin, request: HttpRequest, rows: NotificationQuerySet) -> None:
    """Cancel what has not been sent; ask what is being sent not to be tried again."""
    done, refused = _apply(_first(page, request, rows), control.cancel)
    cancelled = sum(row.status == Status.CANCELLED for row in done)
    _log(request, done, "Cancelled.")
    _tell(page, request, messages.SUCCESS, cancelled, "cancelled")
    _tell(
        page,
        request,
        messages.WARNING,
        len(done) - cancelled,
        "may be with the provider already; no further attempt will be made",
    )
    _explain(page, request, refused)


def _first(
    page: ModelAdmin, request: HttpRequest, rows: NotificationQuerySet
) -> list[Notification]:
    found = list(rows[: AT_ONCE + 1])
    if len(found) > AT_ONCE:
        text = f"Only the first {AT_ONCE} of the selection were handled. Repeat it for the rest."
        page.message_user(request, text, messages.WARNING)
    return found[:AT_ONCE]


def _ask(
    page: ModelAdmin,
    request: HttpRequest,
    selected: Sequence[Notification],
    unknown: Sequence[Notification],
) -> HttpResponse:
    context = {
        **page.admin_site.each_context(request),
        "title": "Some of these may have been delivered",
        "opts": page.opts,
        "media": page.media,
        "selected": selected,
        "unknown": unknown,
        "others": sum(row.status in control.RETRYABLE for row in selected),
        "checkbox": ACTION_CHECKBOX_NAME,
        "answers": {"retry": RETRY, "leave": LEAVE},
    }
    template = "admin/notifications/notification/confirm_retry.html"
    request.current_app = page.admin_site.name
    return TemplateResponse(request, template, context)


def _retry(row: Notification, answer: str | None) -> Notification:
    return control.retry(row, accept_duplicate_risk=answer == RETRY)


def _apply(
    rows: Sequence[Notification], action: Callable[[Notification], Notification]
) -> tuple[list[Notification], Counter[str]]:
    """What was done, and how often it was refused for which reason."""
    done: list[Notification] = []
    refused: Counter[str] = Counter()
    for row in rows:
        try:
            done.append(action(row))
        except NotPossible as reason:
            refused[str(reason)] += 1
    return done, refused


def _log(request: HttpRequest, rows: Sequence[Notification], what: str) -> None:
    user: Any = request.user
    LogEntry.objects.log_actions(user.pk, rows, CHANGE, change_message=what)


def _tell(page: ModelAdmin, request: HttpRequest, level: int, count: int, what: str) -> None:
    if count:
        noun = "notification" if count == 1 else "notifications"
        page.message_user(request, f"{count} {noun} {what}.", level)


def _explain(page: ModelAdmin, request: HttpRequest, refused: Counter[str]) -> None:
    for reason, count in refused.most_common():
        _tell(page, request, messages.ERROR, count, f"left alone: {reason}")
