"""Digests: what is being gathered for whom, until when, and what was sent of it."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ..channels import CHANNELS
from ..labels import label, say
from ..models import Digest
from .filters import OpenFilter, TenantFilter, as_id
from .lists import ReadOnlyAdmin
from .words import link_to_list, masked, moment, short_id


@admin.register(Digest)
class DigestAdmin(ReadOnlyAdmin):
    list_display = (
        "short_id", "to", "key", "state", "count", "closes", "sent_as", "channel", "tenant"
    )  # fmt: skip
    list_select_related = ("tenant",)
    list_filter = (OpenFilter, TenantFilter)
    search_fields = ("pk",)
    search_help_text = label("The whole id, or the recipient of an open one.")
    fields = (
        "id", "tenant", "channel", "to", "key", "template", "state", "count", "max_count",
        "window", "is_sliding", "created", "closes", "closed", "sent_as", "notifications",
    )  # fmt: skip

    @admin.display(description=label("id"))
    def short_id(self, digest: Digest) -> SafeString:
        return short_id(digest.pk)

    @admin.display(description=label("recipient"))
    def to(self, digest: Digest) -> str:
        return masked(digest.recipient)

    @admin.display(description=label("state"))
    def state(self, digest: Digest) -> str:
        if digest.closed_at:
            return say("closed")
        return say("open") if digest.is_open else say("full")

    @admin.display(description=label("created at"))
    def created(self, digest: Digest) -> str:
        return moment(digest.created_at, "seconds")

    @admin.display(description=label("closes at"))
    def closes(self, digest: Digest) -> str:
        return moment(digest.closes_at, "seconds")

    @admin.display(description=label("closed at"))
    def closed(self, digest: Digest) -> str:
        return moment(digest.closed_at, "seconds") or "-"

    @admin.display(description=label("sent as"))
    def sent_as(self, digest: Digest) -> SafeString | str:
        if digest.notification_id is None:
            return "-"
        name = f"{self.admin_site.name}:notifications_notification_change"
        address = reverse(name, args=[digest.notification_id])
        return format_html('<a href="{}">{}</a>', address, short_id(digest.notification_id))

    @admin.display(description=label("notifications"))
    def notifications(self, digest: Digest) -> SafeString:
        return link_to_list(self.admin_site.name, digest__exact=digest.pk)

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        """Only what the filters ask for: anything else could scan."""
        return lookup in ("open", "tenant")

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        folded = {row.fold(term) for row in CHANNELS.values()}
        of_recipient = Digest.objects.open().filter(recipient__in=folded)
        ids = [*as_id(term), *of_recipient.values_list("pk", flat=True)]
        return queryset.filter(pk__in=ids), False
