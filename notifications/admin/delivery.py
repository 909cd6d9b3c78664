"""Notifications with their attempts and receipts, and batches: read, retried, cancelled."""

from typing import Any

from django.contrib import admin
from django.contrib.auth import get_permission_codename
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from ..enums import ReceiptState, State
from ..lifecycle import status_of
from ..models import Attempt, Batch, Notification, Receipt
from ..pipeline import explain
from .actions import cancel_selected, retry_selected
from .filters import StatusFilter, TenantFilter, search
from .lists import PartOfPage, ReadOnlyAdmin
from .words import badge, in_words, listed, moment, pretty, short_id

RECIPIENT_SHOWN = 40

TIMES = {
    "created": "created_at",
    "to be sent": "send_at",
    "last begun": "dispatched_at",
    "sent": "sent_at",
    "settled": "settled_at",
    "next due": "due_at",
    "expires": "expires_at",
}

SHOWN_APART = frozenset({"attachments", "mime"})
"""What of the content is not shown as JSON."""

LOOKUPS = ("status", "tenant", "channel__exact", "priority__exact", "batch__exact")
"""What the address of the list may ask for: the filters, and the link from a batch."""


class AttemptInline(PartOfPage):
    model = Attempt
    fields = ("number", "provider", "came_to", "code", "detail", "started", "duration")
    readonly_fields = fields

    @admin.display(description="outcome")
    def came_to(self, attempt: Attempt) -> str:
        return attempt.outcome

    @admin.display(description="started")
    def started(self, attempt: Attempt) -> str:
        return moment(attempt.started_at)

    @admin.display(description="took")
    def duration(self, attempt: Attempt) -> str:
        return f"{attempt.duration_ms} ms"


class ReceiptInline(PartOfPage):
    model = Receipt
    fields = ("provider", "kind", "code", "occurred", "received", "event_id")
    readonly_fields = fields

    @admin.display(description="occurred")
    def occurred(self, receipt: Receipt) -> str:
        return moment(receipt.occurred_at)

    @admin.display(description="received")
    def received(self, receipt: Receipt) -> str:
        return moment(receipt.received_at)


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
    list_filter = (StatusFilter, "channel", "priority", TenantFilter)
    search_fields = ("pk",)
    search_help_text = "The whole id, recipient or idempotency key."
    actions = (retry_selected, cancel_selected)
    inlines = (AttemptInline, ReceiptInline)
    fieldsets = (
        (None, {"fields": ("id", "status", "waiting", "error_code", "error_detail")}),
        (
            "Message",
            {
                "fields": (
                    "channel",
                    "to",
                    "content_shown",
                    "attachments",
                    "source",
                    "metadata_shown",
                )
            },
        ),
        ("Timeline", {"fields": ("timeline",)}),
        (
            "Delivery",
            {
                "fields": (
                    "attempt_count",
                    "provider",
                    "provider_message_id",
                    "receipt_state",
                    "may_be_duplicate",
                    "to_be_cancelled",
                )
            },
        ),
        (
            "Origin",
            {
                "fields": (
                    "tenant",
                    "template",
                    "category",
                    "priority",
                    "batch",
                    "in_digest",
                    "idempotency_key",
                )
            },
        ),
    )

    class Media:
        css = {"all": ("notifications/admin.css",)}

    @admin.display(description="status")
    def status(self, notification: Notification) -> SafeString:
        return badge(notification.status)

    @admin.display(description="id")
    def short_id(self, notification: Notification) -> SafeString:
        return short_id(notification.pk)

    @admin.display(description="created")
    def created(self, notification: Notification) -> str:
        return moment(notification.created_at, "seconds")

    @admin.display(description="times")
    def timeline(self, notification: Notification) -> SafeString:
        times = {name: moment(getattr(notification, field)) for name, field in TIMES.items()}
        return listed({name: time for name, time in times.items() if time})

    @admin.display(description="may be a duplicate")
    def may_be_duplicate(self, notification: Notification) -> str:
        return "yes" if notification.duplicate_risk else "no"

    @admin.display(description="cancellation asked for")
    def to_be_cancelled(self, notification: Notification) -> str:
        return "yes" if notification.cancel_requested else "no"

    @admin.display(description="digest")
    def in_digest(self, notification: Notification) -> str:
        """Which notification sends the digest, or that it is open."""
        digest = notification.digest
        if digest is None:
            return "-"
        sent_by = "sends it" if digest.notification_id == notification.pk else "is sent by"
        return f"{digest.key}: {sent_by} {digest.notification_id or 'none yet'}"

    @admin.display(description="recipient")
    def recipient(self, notification: Notification) -> str:
        to = notification.to
        if len(to) <= RECIPIENT_SHOWN:
            return to
        return format_html('<span title="{}">{}…</span>', to, to[:RECIPIENT_SHOWN])

    @admin.display(description="attempts")
    def attempts(self, notification: Notification) -> int:
        return notification.attempt_count

    @admin.display(description="waiting for")
    def waiting(self, notification: Notification) -> str:
        return in_words(explain.waiting(notification))

    @admin.display(description="content")
    def content_shown(self, notification: Notification) -> SafeString:
        return pretty({n: v for n, v in notification.content.items() if n not in SHOWN_APART})

    @admin.display(description="source")
    def source(self, notification: Notification) -> SafeString:
        """A whole e-mail, where it is in its row."""
        return format_html("<pre>{}</pre>", notification.content.get("mime") or "")

    @admin.display(description="attachments")
    def attachments(self, notification: Notification) -> str:
        files = notification.content.get("attachments", ())
        return ", ".join(f"{file['filename']} ({filesizeformat(file['size'])})" for file in files)

    @admin.display(description="metadata")
    def metadata_shown(self, notification: Notification) -> SafeString:
        return pretty(notification.metadata)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Who may retry and cancel: whoever has the permission to change notifications."""
        name = get_permission_codename("change", self.opts)
        return bool(request.user.has_perm(f"{self.opts.app_label}.{name}"))

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
        return rows.defer("content", "metadata") if is_list else rows

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        operations = {"Retry": retry_selected.__name__, "Cancel": cancel_selected.__name__}
        context = {
            **(extra_context or {}),
            "operations": operations if self.has_operate_permission(request) else {},
            "checkbox": admin.helpers.ACTION_CHECKBOX_NAME,
        }
        return super().change_view(request, object_id, form_url, context)

    @property
    def _list_url(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_changelist"


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin):
    list_display = ("id", "tenant", "created_at", "notifications")
    list_select_related = ("tenant",)
    search_fields = ("pk__exact",)
    search_help_text = "The whole id."
    fields = ("id", "tenant", "created_at", "idempotency_key", "statuses", "notifications")

    class Media:
        css = {"all": ("notifications/admin.css",)}

    @admin.display(description="notifications")
    def notifications(self, batch: Batch) -> SafeString:
        address = reverse(f"{self.admin_site.name}:notifications_notification_changelist")
        return format_html(
            '<a href="{}?{}">show them</a>', address, urlencode({"batch__exact": str(batch.pk)})
        )

    @admin.display(description="by status")
    def statuses(self, batch: Batch) -> SafeString:
        rows = batch.notification_set.values_list("state", "receipt_state")
        counts: dict[str, int] = {}
        for state, receipt_state, count in rows.annotate(Count("pk")).order_by():
            status = status_of(State(state), ReceiptState(receipt_state))
            counts[status] = counts.get(status, 0) + count
        shown = ((badge(status), count) for status, count in sorted(counts.items()))
        return format_html_join(" ", "{} {}", shown)
