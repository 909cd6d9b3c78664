"""Tenants and their API keys; a key's secret is shown in one answer and kept nowhere."""

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.text import capfirst

from .. import api_keys
from ..enums import KeyScope
from ..fields import utc
from ..labels import counted, label, say, words
from ..models import APIKey, Tenant
from .lists import ModelAdmin, ModelForm
from .policy import EffectiveAtOnce


@admin.register(Tenant)
class TenantAdmin(EffectiveAtOnce, ModelAdmin):
    list_display = ("name", "is_active", "created_at")
    list_filter = ("is_active",)
    search_fields = ("name",)
    fields = ("name", "is_active", "senders", "api_rate_limit", "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        # Limits, pauses and the keys of rate buckets name the tenant: it keeps its name.
        return ("name", "created_at") if obj else ("created_at",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class APIKeyForm(ModelForm):
    def clean_expires_at(self) -> Any:
        expires_at = self.cleaned_data["expires_at"]
        if expires_at and utc(expires_at) <= datetime.now(UTC):
            raise forms.ValidationError(say("This time has passed; the key would never work."))
        return expires_at


@admin.register(APIKey)
class APIKeyAdmin(ModelAdmin):
    form = APIKeyForm
    list_display = (
        "public_id",
        "tenant",
        "name",
        "allowed",
        "state",
        "created_at",
        "expires_at",
        "last_used_at",
    )
    list_select_related = ("tenant",)
    search_fields = ("public_id", "name", "tenant__name")
    actions = ("revoke",)
    fields = ("tenant", "name", "scopes", "expires_at")
    shown = (
        "public_id",
        "tenant",
        "allowed",
        "state",
        "created_at",
        "expires_at",
        "revoked_at",
        "last_used_at",
    )

    @admin.display(description=label("scopes"))
    def allowed(self, key: APIKey) -> str:
        return ", ".join(key.scopes)

    @admin.display(description=label("state"))
    def state(self, key: APIKey) -> str:
        if key.revoked_at:
            return say("revoked")
        expired = key.expires_at and key.expires_at <= datetime.now(UTC)
        return say("expired") if expired else say("live")

    @admin.action(description=label("Revoke selected API keys"), permissions=["change"])
    def revoke(self, request: HttpRequest, keys: QuerySet[APIKey]) -> None:
        """Refuse the keys from now on, for good."""
        live = list(keys.filter(revoked_at=None))
        APIKey.objects.filter(pk__in=[key.pk for key in live]).update(revoked_at=Now())
        for key in live:
            self.log_change(request, key, "Revoked.")
        text = counted("{number} API key revoked.", "{number} API keys revoked.", len(live))
        self.message_user(request, text, messages.SUCCESS)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("name", *self.shown) if obj else self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return self.shown if obj else ()

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name != "scopes":
            return super().formfield_for_dbfield(db_field, request, **kwargs)
        return forms.MultipleChoiceField(
            label=capfirst(db_field.verbose_name),
            choices=words(KeyScope.choices),
            initial=KeyScope.values,
            widget=forms.CheckboxSelectMultiple,
            help_text=label("What it may be used for; this cannot be changed afterwards."),
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: APIKey, form: Any, change: bool) -> None:
        if not change:
            key = api_keys.make_key()
            obj.public_id, obj.digest = key.public_id, key.digest
            request.new_token = key.token  # type: ignore[attr-defined]  # only for the answer
        super().save_model(request, obj, form, change)

    def response_add(
        self, request: HttpRequest, obj: APIKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """The page with the secret itself: a message would put it into a cookie or a session."""
        context = {
            **self.admin_site.each_context(request),
            "title": say("API key created"),
            "opts": self.opts,
            "original": obj,
            "token": request.new_token,  # type: ignore[attr-defined]  # by save_model
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/notifications/apikey/created.html", context)
