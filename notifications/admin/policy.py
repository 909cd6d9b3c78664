"""What can be changed while running: limits and pauses; and the workers that obey them."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.timesince import timesince

from ..conf import get_settings
from ..enums import Channel, Scope
from ..models import Pause, RateLimit, Tenant, Worker
from ..pipeline import policy
from .lists import ModelAdmin, ModelForm, ReadOnlyAdmin

NAMES_SHOWN = 20


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


class SubjectForm(ModelForm):
    """Refuses a limit or a pause on something that does not exist: it would never hold."""

    def clean_subject(self) -> str:
        scope, subject = self.cleaned_data.get("scope"), self.cleaned_data["subject"].strip()
        if scope and not _exists(Scope(scope), subject):
            names = _names(Scope(scope))
            known = ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")
            raise forms.ValidationError(
                f"There is no {scope} of this name. There is: {known or 'none yet'}."
            )
        return str(subject)


@admin.register(RateLimit)
class RateLimitAdmin(EffectiveAtOnce):
    form = SubjectForm
    list_display = ("scope", "subject", "rates")
    list_display_links = ("scope", "subject")
    list_filter = ("scope",)
    search_fields = ("subject",)
    fields = ("scope", "subject", "rates")


@admin.register(Pause)
class PauseAdmin(EffectiveAtOnce):
    form = SubjectForm
    list_display = ("scope", "subject", "reason", "created_at")
    list_display_links = ("scope", "subject")
    list_filter = ("scope",)
    search_fields = ("subject",)
    fields = ("scope", "subject", "reason")


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    list_display = ("name", "seen_at", "seen")
    ordering = ("-seen_at", "pk")
    fields = ("name", "seen_at")

    @admin.display(description="last seen")
    def seen(self, worker: Worker) -> str:
        return f"{timesince(worker.seen_at)} ago"


def _exists(scope: Scope, subject: str) -> bool:
    if scope is Scope.TENANT:
        return Tenant.objects.filter(name=subject).exists()
    return subject in _names(scope)


def _names(scope: Scope) -> list[str]:
    if scope is Scope.CHANNEL:
        return [channel.value for channel in Channel]
    if scope is Scope.PROVIDER:
        return sorted(get_settings().providers)
    return list(Tenant.objects.values_list("name", flat=True)[: NAMES_SHOWN + 1])
