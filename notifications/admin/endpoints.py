"""The endpoints of tenants: how they fare, and a switch; their secrets are never shown here."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from ..enums import DisabledReason
from ..models import Endpoint
from ..pipeline import endpoints
from .lists import ModelAdmin


@admin.register(Endpoint)
class EndpointAdmin(ModelAdmin):
    list_display = ("shown_url", "tenant", "is_active", "reason", "failing_since", "created_at")
    list_display_links = ("shown_url",)
    list_filter = ("is_active", "disabled_reason")
    list_select_related = ("tenant",)
    search_fields = ("url", "description", "tenant__name")
    actions = ("enable", "disable")
    fields = readonly_fields = (
        "id",
        "tenant",
        "shown_url",
        "description",
        "events",
        "is_active",
        "reason",
        "failing_since",
        "previous_until",
        "created_at",
    )

    @admin.display(description="URL", ordering="url")
    def shown_url(self, endpoint: Endpoint) -> str:
        return endpoint.url or "(all that are not registered)"

    @admin.display(description="why it is off")
    def reason(self, endpoint: Endpoint) -> str:
        return endpoint.get_disabled_reason_display() or "-"

    @admin.action(description="Send to selected endpoints again", permissions=["change"])
    def enable(self, request: HttpRequest, rows: QuerySet[Endpoint]) -> None:
        """As `POST /endpoints/{id}/enable` does."""
        off = rows.filter(is_active=False)
        self._each(request, off, "enabled", lambda endpoint: bool(endpoints.enable(endpoint)))

    @admin.action(description="Send nothing more to selected endpoints", permissions=["change"])
    def disable(self, request: HttpRequest, rows: QuerySet[Endpoint]) -> None:
        """What is sent to them fails until they are enabled; a default cannot be disabled."""
        registered = rows.exclude(url="")
        reason = DisabledReason.REQUESTED
        self._each(request, registered, "disabled", lambda e: endpoints.disable(e, reason))

    def _each(
        self,
        request: HttpRequest,
        rows: QuerySet[Endpoint],
        word: str,
        move: Callable[[Endpoint], bool],
    ) -> None:
        moved = [endpoint for endpoint in rows.select_related("tenant") if move(endpoint)]
        for endpoint in moved:
            self.log_change(request, endpoint, f"{word.capitalize()}.")
        noun = "endpoint" if len(moved) == 1 else "endpoints"
        self.message_user(request, f"{len(moved)} {noun} {word}.", messages.SUCCESS)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
