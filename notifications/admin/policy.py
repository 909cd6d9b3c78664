"""What can be changed while running: limits and pauses; and the workers that obey them."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.timesince import timesince

from ..labels import label, say
from ..models import Pause, RateLimit, Worker
from ..pipeline import policy
from . import switches
from .lists import ModelAdmin, ReadOnlyAdmin


class EffectiveAtOnce(ModelAdmin):
    """Forgets the cached policy with the commit; other processes follow within a second."""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        transaction.on_commit(policy.forget)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        super().delete_model(request, obj)
        transaction.on_commit(policy.forget)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        super().delete_queryset(request, queryset)
        transaction.on_commit(policy.forget)


class BySwitch(ModelAdmin):
    """A list whose rows are made, changed and ended on the pages of `switches`, which ask why."""

    switch_to_add = ""
    switch_to_change = ""

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return self._redirect(request, self.switch_to_add, request.GET.dict())

    def change_view(
        self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        values = {"scope": row.scope, "subject": row.subject} if row else {}
        more = {"rates": row.rates} if isinstance(row, RateLimit) else {}
        return self._redirect(request, self.switch_to_change, {**values, **more})

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def _redirect(
        self, request: HttpRequest, switch: str, values: dict[str, str]
    ) -> HttpResponseRedirect:
        url = switches.allowed(request).get(switch)
        if url is None:
            raise PermissionDenied
        back = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        return HttpResponseRedirect(f"{url}?{urlencode({**values, 'next': back})}")


@admin.register(RateLimit)
class RateLimitAdmin(BySwitch):
    list_display = ("scope", "subject", "rates")
    list_display_links = ("scope", "subject")
    list_filter = ("scope",)
    search_fields = ("subject",)
    switch_to_add = switch_to_change = "limit"


@admin.register(Pause)
class PauseAdmin(BySwitch):
    list_display = ("scope", "subject", "reason", "created_at")
    list_display_links = ("scope", "subject")
    list_filter = ("scope",)
    search_fields = ("subject",)
    switch_to_add, switch_to_change = "pause", "resume"


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    list_display = ("name", "seen_at", "seen")
    ordering = ("-seen_at", "pk")
    fields = ("name", "seen_at")

    @admin.display(description=label("last seen"))
    def seen(self, worker: Worker) -> str:
        return say("{time} ago", time=timesince(worker.seen_at))
