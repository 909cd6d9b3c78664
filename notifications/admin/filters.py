"""Filters and search of the notification list; each is answered from an index or a small table."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest

from ..enums import Status
from ..labels import label, words
from ..models import Notification, Tenant
from ..querysets import NotificationQuerySet

TENANTS_OFFERED = 100
"""How many tenants the filter lists; any other is reached by `?tenant=<name>`."""


class StatusFilter(admin.SimpleListFilter):
    """By what the outside is told, which two columns decide together."""

    title = label("status")
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        return words((s.value, s.value) for s in Status)

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.value()
        return queryset.with_status(Status(value)) if value in Status.values else queryset


class LaneFilter(admin.ChoicesFieldListFilter):
    """By channel or priority, also one that hardly any row has."""

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        rows: Any = super().queryset(request, queryset)
        return rows.by_lane() if self.used_parameters else rows


class OpenFilter(admin.SimpleListFilter):
    """Digests that can still be joined; there are few of them, and an index of their own."""

    title = label("state")
    parameter_name = "open"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, Any]]:
        return [("yes", label("open"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.open() if self.value() == "yes" else queryset


class TenantFilter(admin.SimpleListFilter):
    title = label("tenant")
    parameter_name = "tenant"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Iterable[tuple[str, str]]:
        names = Tenant.objects.order_by("name").values_list("name", flat=True)
        return [(name, name) for name in names[:TENANTS_OFFERED]]

    def has_output(self) -> bool:
        # Also with fewer than two tenants: a link that names one must keep its meaning.
        return True

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if not self.value():
            return queryset
        # By its id, PostgreSQL knows how many rows it has, and takes the index or leaves it.
        named = Tenant.objects.filter(name=self.value())
        return queryset.filter(tenant__in=list(named.values_list("pk", flat=True)))


def search(rows: NotificationQuerySet, term: str) -> NotificationQuerySet:
    """The rows whose id, recipient or idempotency key is exactly `term`; never a scan."""
    return rows.filter(Q(pk__in=_ids_named(term)) | Q(to=term))


def _ids_named(term: str) -> list[UUID]:
    # The key's index begins with the tenant: naming the tenants makes it one probe for each.
    keyed = Notification.objects.filter(
        tenant__in=Tenant.objects.values("pk"), idempotency_key=term
    )
    return [*keyed.values_list("pk", flat=True), *as_id(term)]


def as_id(term: str) -> list[UUID]:
    """The id that `term` is; none where it is something else."""
    try:
        return [UUID(term)]
    except ValueError:
        return []
