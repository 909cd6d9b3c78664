"""The endpoints of tenants: how they fare, and a switch; their secrets are never shown here."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from ..enums import DisabledReason
from ..labels import counted, label, say
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

    @admin.display(description=label("URL"), ordering="url")
    def shown_url(self, endpoint: Endpoint) -> str:
        return endpoint.url or say("(all that are not registered)")

    @admin.display(description=label("why it is off"))
    def reason(self, endpoint: Endpoint) -> str:
        return endpoint.get_disabled_reason_display() or "-"

    @admin.action(description=label("Send to selected endpoints again"), permissions=["change"])
    def enable(self, request: HttpRequest, rows: QuerySet[Endpoint]) -> None:
        """As `POST /endpoints/{id}/enable` does."""
        off = rows.filter(is_active=False)
        number = self._each(request, off, "Enabled.", lambda e: bool(endpoints.enable(e)))
        text = counted("{number} endpoint enabled.", "{number} endpoints enabled.", number)
        self.message_user(request, text, messages.SUCCESS)

    @admin.action(
        description=label("Send nothing more to selected endpoints"), permissions=["change"]
    )
    def disable(self, request: HttpRequest, rows: QuerySet[Endpoint]) -> None:
        """What is sent to them fails until they are enabled; a default cannot be disabled."""
        registered = rows.exclude(url="")
        reason = DisabledReason.REQUESTED
        number = self._each(
            request, registered, "Disabled.", lambda e: endpoints.disable(e, reason)
        )
        text = counted("{number} endpoint disabled.", "{number} endpoints disabled.", number)
        self.message_user(request, text, messages.SUCCESS)

    def _each(
        self,
        request: HttpRequest,
        rows: QuerySet[Endpoint],
        what: str,
        move: Callable[[Endpoint], bool],
    ) -> int:
        """How many were moved; the history of each says `what`."""
        moved = [endpoint for endpoint in rows.select_related("tenant") if move(endpoint)]
        for endpoint in moved:
            self.log_change(request, endpoint, what)
        return len(moved)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
