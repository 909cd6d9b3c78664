"""Notifications with their attempts and receipts, and batches: read, retried, cancelled."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
)
from django.urls import path, reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from ..enums import ReceiptState, State
from ..labels import label, say
from ..lifecycle import WAITING, status_of
from ..models import Batch, Notification
from ..pipeline import explain
from . import log
from .actions import ReasonedActions, cancel_selected, possible, retry_selected
from .filters import LaneFilter, StatusFilter, TenantFilter, search
from .lists import ReadOnlyAdmin
from .message import shown
from .results import ExportForm, download
from .timeline import timeline
from .words import (
    badge,
    error_in_words,
    in_words,
    link_to_list,
    listed,
    masked,
    moment,
    pretty,
    short_id,
)

REVEALED = "admin/notifications/notification/revealed.html"
EXPORT = "admin/notifications/notification/export.html"

TIMES = (
    (label("created"), "created_at"),
    (label("to be sent"), "send_at"),
    (label("last begun"), "dispatched_at"),
    (label("sent"), "sent_at"),
    (label("settled"), "settled_at"),
    (label("next due"), "due_at"),
    (label("expires"), "expires_at"),
)

LOOKUPS = ("status", "tenant", "channel__exact", "priority__exact", "batch__exact", "digest__exact")
"""What the address of the list may ask for: filters, and the links from batches and digests."""


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    """What became of each notification, and why it is not further yet."""

    list_display = (
        "short_id",
        "status",
        "channel",
        "recipient",
        "attempts",
        "error_code",
        "created",
        "provider",
        "tenant",
        "priority",
    )
    list_select_related = ("tenant",)
    list_filter = (
        StatusFilter,
        ("channel", LaneFilter),
        ("priority", LaneFilter),
        TenantFilter,
    )
    search_fields = ("pk",)
    search_help_text = label("The whole id, recipient or idempotency key.")
    action_form = ReasonedActions
    actions = (retry_selected, cancel_selected)
    fieldsets = (
        (
            label("Delivery"),
            {
                "fields": (
                    "attempt_count",
                    "provider",
                    "provider_message_id",
                    "receipt_state",
                    "error_code",
                    "error_said",
                    "may_be_duplicate",
                    "to_be_cancelled",
                    "times",
                )
            },
        ),
        (
            label("Origin"),
            {
                "fields": (
                    "id",
                    "tenant",
                    "template_name",
                    "category",
                    "channel",
                    "priority",
                    "batch",
                    "in_digest",
                    "idempotency_key",
                    "metadata_shown",
                )
            },
        ),
    )

    class Media:
        css = {"all": ("notifications/dashboard.css",)}

    @admin.display(description=label("status"))
    def status(self, notification: Notification) -> SafeString:
        return badge(notification.status)

    @admin.display(description=label("id"))
    def short_id(self, notification: Notification) -> SafeString:
        return short_id(notification.pk)

    @admin.display(description=label("created"))
    def created(self, notification: Notification) -> str:
        return moment(notification.created_at, "seconds")

    @admin.display(description=label("times"))
    def times(self, notification: Notification) -> SafeString:
        is_waiting = notification.state in WAITING
        times = {
            str(name): moment(getattr(notification, field))
            for name, field in TIMES
            if is_waiting or field != "due_at"
        }
        return listed({name: time for name, time in times.items() if time})

    @admin.display(description=label("error detail"))
    def error_said(self, notification: Notification) -> str:
        return error_in_words(notification)

    @admin.display(description=label("may be a duplicate"))
    def may_be_duplicate(self, notification: Notification) -> str:
        return say("yes") if notification.duplicate_risk else say("no")

    @admin.display(description=label("cancellation asked for"))
    def to_be_cancelled(self, notification: Notification) -> str:
        return say("yes") if notification.cancel_requested else say("no")

    @admin.display(description=label("template"))
    def template_name(self, notification: Notification) -> str:
        return notification.template or "-"

    @admin.display(description=label("digest"))
    def in_digest(self, notification: Notification) -> str:
        """Which notification sends the digest, or that it is open."""
        digest = notification.digest
        if digest is None:
            return "-"
        if digest.notification_id is None:
            return say("{key}: is sent by none yet", key=digest.key)
        if digest.notification_id == notification.pk:
            return say("{key}: sends it", key=digest.key)
        return say("{key}: is sent by {id}", key=digest.key, id=digest.notification_id)

    @admin.display(description=label("recipient"))
    def recipient(self, notification: Notification) -> str:
        return masked(notification.to)

    @admin.display(description=label("attempts"))
    def attempts(self, notification: Notification) -> int:
        return notification.attempt_count

    @admin.display(description=label("metadata"))
    def metadata_shown(self, notification: Notification) -> SafeString:
        return pretty(notification.metadata)

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("notifications.retry_notification")

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("notifications.cancel_notification")

    def has_reveal_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("notifications.reveal_notification")

    def has_export_permission(self, request: HttpRequest) -> bool:
        may = request.user.has_perm("notifications.export_notification")
        return may and self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Also whoever may do something about them: nobody acts on what they cannot see."""
        return (
            super().has_view_permission(request, obj)
            or self.has_retry_permission(request)
            or self.has_cancel_permission(request)
        )

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        term = search_term.strip()
        return (search(queryset, term) if term else queryset), False

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        """Only what the filters and links of this admin ask for: anything else could scan."""
        return lookup in LOOKUPS

    def get_queryset(self, request: HttpRequest) -> QuerySet[Notification]:
        rows = super().get_queryset(request)
        is_list = request.resolver_match and request.resolver_match.url_name == self._list_url
        # A page of the list would otherwise read up to 50 contents of 256 KiB for nothing.
        return rows.defer("content", "metadata") if is_list else _with_all(rows)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        may = request.user.has_perm("notifications.add_job")
        may_either = self.has_retry_permission(request) or self.has_cancel_permission(request)
        context = {
            **(extra_context or {}),
            "may_start_job": may and may_either,
            "may_export": self.has_export_permission(request),
        }
        return super().changelist_view(request, context)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        notification = self.get_object(request, object_id)
        context = {
            **(extra_context or {}),
            **(self._told(request, notification) if notification else {}),
        }
        return super().change_view(request, object_id, form_url, context)

    def _told(self, request: HttpRequest, notification: Notification) -> dict[str, Any]:
        waiting = explain.waiting(notification)
        return {
            "status": badge(notification.status),
            "recipient": masked(notification.to),
            "may_reveal": self.has_reveal_permission(request),
            "waiting": in_words(waiting) if waiting else "",
            "error_detail": error_in_words(notification),
            "events": timeline(
                notification, log.of_notification(notification), log.of_pauses(notification)
            ),
            "message": shown(notification, hide=True),
            "operations": possible(self, request, notification),
            "checkbox": admin.helpers.ACTION_CHECKBOX_NAME,
        }

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.reveal_view)
        reveal = path("<uuid:id>/reveal/", view, name="notifications_notification_reveal")
        export = path(
            "export/",
            self.admin_site.admin_view(self.export_view),
            name="notifications_notification_export",
        )
        return [reveal, export, *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """All that the list was narrowed to, as a file; whole recipients stand in the log first."""
        if not self.has_export_permission(request):
            raise PermissionDenied
        try:
            rows = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            address = f"{self.admin_site.name}:notifications_notification_changelist"
            return HttpResponseRedirect(reverse(address))
        form = ExportForm(request.POST if request.method == "POST" else None)
        if not form.is_valid():
            return self._ask_how(request, form)
        hide = not form.cleaned_data["reveal"]
        if not (hide or self.has_reveal_permission(request)):
            raise PermissionDenied
        return download(
            rows,
            hide=hide,
            tell=lambda seen: log.log(request, seen, "Revealed the recipient in an export"),
        )

    def _ask_how(self, request: HttpRequest, form: ExportForm) -> HttpResponse:
        context = {
            "title": say("Export as CSV"),
            "form": form,
            "may_reveal": self.has_reveal_permission(request),
        }
        return self.answer(request, EXPORT, context)

    def reveal_view(self, request: HttpRequest, id: UUID) -> HttpResponse:
        """The whole recipient, in an answer that nobody keeps; who looked stands in the log."""
        if not (self.has_reveal_permission(request) and self.has_view_permission(request)):
            raise PermissionDenied
        notification = self.get_object(request, str(id))
        if request.method != "POST" or notification is None:
            address = f"{self.admin_site.name}:notifications_notification_change"
            return HttpResponseRedirect(reverse(address, args=[id]))
        log.log(request, [notification], "Revealed the recipient")
        context = {
            "title": say("Recipient"),
            "original": notification,
            "message": shown(notification, hide=False),
        }
        return self.answer(request, REVEALED, context)

    @property
    def _list_url(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_changelist"


def _with_all(rows: Any) -> "QuerySet[Notification]":
    found: QuerySet[Notification] = rows.with_template().select_related("tenant", "digest")
    return found


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin):
    list_display = ("id", "tenant", "created_at", "notifications")
    list_select_related = ("tenant",)
    search_fields = ("pk__exact",)
    search_help_text = label("The whole id.")
    fields = ("id", "tenant", "created_at", "idempotency_key", "statuses", "notifications")

    @admin.display(description=label("notifications"))
    def notifications(self, batch: Batch) -> SafeString:
        return link_to_list(self.admin_site.name, batch__exact=batch.pk)

    @admin.display(description=label("by status"))
    def statuses(self, batch: Batch) -> SafeString:
        rows = batch.notification_set.values_list("state", "receipt_state")
        counts: dict[str, int] = {}
        for state, receipt_state, count in rows.annotate(Count("pk")).order_by():
            status = status_of(State(state), ReceiptState(receipt_state))
            counts[status] = counts.get(status, 0) + count
        shown = ((badge(status), count) for status, count in sorted(counts.items()))
        return format_html_join(" ", "{} {}", shown)
