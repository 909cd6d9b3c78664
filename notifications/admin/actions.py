"""Retry and cancel for the rows selected in the list, through the same functions as the API."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME, ActionForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from ..enums import Status
from ..exceptions import NotPossible
from ..labels import counted, label, say, spoken
from ..models import Notification
from ..pipeline import control
from ..querysets import NotificationQuerySet
from .lists import ModelAdmin
from .log import log

AT_ONCE = 500
"""How many rows one click handles: each is a transaction of its own, and the page waits."""

RETRY, LEAVE = "retry", "leave"
REASON_MAX = 200

CANCELLABLE = (
    Status.SCHEDULED,
    Status.QUEUED,
    Status.RETRYING,
    Status.SENDING,
    Status.UNKNOWN,
)


class ReasonedActions(ActionForm):
    """Beside the choice of what to do, a place to say why."""

    reason = forms.CharField(
        required=False,
        max_length=REASON_MAX,
        label=label("Reason:"),
        widget=forms.TextInput({"placeholder": label("for the log"), "size": 24}),
    )


def possible(
    page: Any, request: HttpRequest, notification: Notification
) -> list[tuple[str, str, bool]]:
    """What this user can do about it now: its label, the action, and whether it is risky."""
    status = notification.status
    found = []
    if status in (*control.RETRYABLE, Status.UNKNOWN) and page.has_retry_permission(request):
        found.append((say("Retry"), retry_selected.__name__, status == Status.UNKNOWN))
    is_open = status in CANCELLABLE and not notification.cancel_requested
    if is_open and page.has_cancel_permission(request):
        found.append((say("Cancel"), cancel_selected.__name__, False))
    return found


@admin.action(description=label("Retry selected notifications"), permissions=["retry"])
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
    log(request, done, "Retried", _reason(request))
    if done:
        text = counted(
            "{number} notification back in the queue.",
            "{number} notifications back in the queue.",
            len(done),
        )
        page.message_user(request, text, messages.SUCCESS)
    _explain(page, request, refused)
    return _back(page, request)


@admin.action(description=label("Cancel selected notifications"), permissions=["cancel"])
def cancel_selected(
    page: ModelAdmin, request: HttpRequest, rows: NotificationQuerySet
) -> HttpResponse | None:
    """Cancel what has not been sent; ask what is being sent not to be tried again."""
    done, refused = _apply(_first(page, request, rows), control.cancel)
    cancelled = sum(row.status == Status.CANCELLED for row in done)
    log(request, done, "Cancelled", _reason(request))
    _tell_cancelled(page, request, cancelled, len(done) - cancelled)
    _explain(page, request, refused)
    return _back(page, request)


def _reason(request: HttpRequest) -> str:
    return str(request.POST.get("reason", "")).strip()[:REASON_MAX]


def _back(page: ModelAdmin, request: HttpRequest) -> HttpResponse | None:
    """To the page of the notification, where it was asked for there; else to the list."""
    if request.POST.get("from") != "page":
        return None
    ids = request.POST.getlist(ACTION_CHECKBOX_NAME)
    address = f"{page.admin_site.name}:notifications_notification_change"
    try:
        return HttpResponseRedirect(reverse(address, args=[UUID(ids[0])]))
    except (IndexError, ValueError):
        return None


def _first(
    page: ModelAdmin, request: HttpRequest, rows: NotificationQuerySet
) -> list[Notification]:
    found = list(rows[: AT_ONCE + 1])
    if len(found) > AT_ONCE:
        text = say(
            "Only the first {number} of the selection were handled. Repeat it for the rest.",
            number=AT_ONCE,
        )
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
        "title": say("Some of these may have been delivered"),
        "opts": page.opts,
        "media": page.media,
        "selected": selected,
        "unknown": unknown,
        "others": sum(row.status in control.RETRYABLE for row in selected),
        "checkbox": ACTION_CHECKBOX_NAME,
        "answers": {"retry": RETRY, "leave": LEAVE},
        "reason": _reason(request),
        "from": request.POST.get("from", ""),
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
            refused[spoken(reason.args[0])] += 1
    return done, refused


def _tell_cancelled(page: ModelAdmin, request: HttpRequest, cancelled: int, asked: int) -> None:
    if cancelled:
        text = counted(
            "{number} notification cancelled.", "{number} notifications cancelled.", cancelled
        )
        page.message_user(request, text, messages.SUCCESS)
    if asked:
        text = counted(
            "{number} notification may be with the provider already; "
            "no further attempt will be made.",
            "{number} notifications may be with the provider already; "
            "no further attempt will be made.",
            asked,
        )
        page.message_user(request, text, messages.WARNING)


def _explain(page: ModelAdmin, request: HttpRequest, refused: Counter[str]) -> None:
    for reason, number in refused.most_common():
        text = counted(
            "{number} notification left alone: {reason}.",
            "{number} notifications left alone: {reason}.",
            number,
            reason=reason,
        )
        page.message_user(request, text, messages.ERROR)
