"""Templates: written, tried out with a preview, taken out of use; never deleted."""

import json
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ..enums import Channel, Scope
from ..exceptions import InvalidNotification
from ..labels import counted, label, name_fields, say, words
from ..messages import TemplateDraft
from ..models import Pause, Template, TemplateVersion
from ..pipeline import template_store
from ..pipeline.templates import preview
from ..template_validation import CHANNEL_OF, PARTS, parse_template
from ..validation import parse_context, parse_template_name
from . import switches
from .lists import ModelAdmin, ModelForm, PartOfPage
from .message import ALONE
from .words import moment, pretty

PREVIEW = "admin/notifications/template/preview.html"

PARTS_SHOWN = ("subject", "body", "html")


class TemplateForm(ModelForm):
    subject = forms.CharField(required=False, widget=forms.TextInput({"class": "vLargeTextField"}))
    body = forms.CharField(required=False, strip=False, widget=forms.Textarea)
    html = forms.CharField(required=False, strip=False, widget=forms.Textarea)
    channel = forms.ChoiceField(choices=words((name, Channel(name).label) for name in CHANNEL_OF))

    draft: TemplateDraft

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        name_fields(self.fields)
        if self.instance.version:
            self.initial.update(_current(self.instance).content)

    def clean_name(self) -> str:
        try:
            return parse_template_name(self.cleaned_data["name"])
        except ValueError as error:
            raise forms.ValidationError(f"Use {error}.") from error

    def clean(self) -> Any:
        values = super().clean() or self.cleaned_data
        data = {name: values[name].replace("\r\n", "\n") for name in PARTS if values.get(name)}
        for name in ("channel", "is_transactional"):
            data[name] = values.get(name, getattr(self.instance, name))
        data["category"] = values.get("category") or None
        try:
            self.draft = parse_template(data)
        except InvalidNotification as error:
            for wrong in error.errors:
                name = wrong.pointer.removeprefix("/")
                self.add_error(name if name in self.fields else None, wrong.detail)
        return values


class VersionInline(PartOfPage):
    model = TemplateVersion
    fields = ("number", "created", "shown")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[TemplateVersion]:
        return super().get_queryset(request).defer("content")

    @admin.display(description=label("made"))
    def created(self, version: TemplateVersion) -> str:
        return moment(version.created_at, "seconds")

    @admin.display(description=label("what it says"))
    def shown(self, version: TemplateVersion) -> SafeString:
        address = reverse(
            f"{self.admin_site.name}:notifications_template_preview", args=[version.template_id]
        )
        return format_html(
            '<a href="{}?version={}">{}</a>', address, version.number, say("preview")
        )


@admin.register(Template)
class TemplateAdmin(ModelAdmin):
    form = TemplateForm
    list_display = ("name", "tenant", "channel", "is_transactional", "version", "in_use")
    list_select_related = ("tenant",)
    list_filter = ("channel", "is_transactional", ("archived_at", admin.EmptyFieldListFilter))
    search_fields = ("name", "tenant__name")
    show_full_result_count = False
    ordering = ("name", "pk")
    actions = ("archive",)
    inlines = (VersionInline,)
    fields = ("tenant", "name", "channel", "is_transactional", "category", *PARTS_SHOWN)

    @admin.display(description=label("in use"), boolean=True)
    def in_use(self, template: Template) -> bool:
        return template.archived_at is None

    @admin.display(description=label("content"))
    def content_shown(self, template: Template) -> SafeString:
        return pretty(_current(template).content)

    @admin.action(description=label("Archive selected templates"), permissions=["change"])
    def archive(self, request: HttpRequest, templates: QuerySet[Template]) -> None:
        """Take them out of use; to save one again brings it back."""
        live = list(templates.filter(archived_at=None))
        for template in live:
            template_store.archive(template)
            self.log_change(request, template, "Archived.")
        text = counted("{number} template archived.", "{number} templates archived.", len(live))
        self.message_user(request, text, messages.SUCCESS)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        # Requests name the template, and its channel decides what they may send with it.
        return ("tenant", "name", "channel", "in_use", "content_shown") if obj else ()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None or self.has_change_permission(request, obj):
            return (*self.fields, "in_use") if obj else self.fields
        return ("tenant", "name", "channel", "is_transactional", "in_use", "content_shown")

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Template, form: Any, change: bool) -> None:
        version, _ = template_store.put(obj.tenant, obj.name, form.draft)
        obj.pk = version.template.pk
        obj.refresh_from_db()

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {**(extra_context or {}), "pause": self._pause(request, object_id)}
        return super().change_view(request, object_id, form_url, context)

    def _pause(self, request: HttpRequest, object_id: str) -> tuple[str, str] | None:
        """The words and the address to pause it, or to resume it."""
        template = self.get_object(request, object_id)
        if template is None:
            return None
        subject = f"{template.tenant.name}/{template.name}"
        is_paused = Pause.objects.filter(scope=Scope.TEMPLATE, subject=subject).exists()
        words, name = (say("Resume"), "resume") if is_paused else (say("Pause"), "pause")
        url = switches.allowed(request).get(name)
        query = urlencode({"scope": "template", "subject": subject, "next": request.path})
        return (words, f"{url}?{query}") if url else None

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.preview_view)
        shown = path("<uuid:id>/preview/", view, name="notifications_template_preview")
        return [shown, *super().get_urls()]

    def preview_view(self, request: HttpRequest, id: Any) -> HttpResponse:
        """What a version makes of a context that is typed in."""
        version = self._version(request, id)
        context = {
            "title": say(
                "Preview of {template}, {version}", template=version.template, version=version
            ),
            "original": version.template,
            "context": request.POST.get("context", "{}"),
            **(_shown(version, request.POST["context"]) if "context" in request.POST else {}),
        }
        return self.answer(request, PREVIEW, context)

    def _version(self, request: HttpRequest, id: Any) -> TemplateVersion:
        template = self.get_object(request, str(id))
        number = request.GET.get("version") or str(template.version if template else "")
        if template is None or not self.has_view_permission(request, template):
            raise Http404
        if not (number.isascii() and number.isdigit() and len(number) < 10):
            raise Http404
        found = TemplateVersion.objects.filter(template=template, number=int(number)).first()
        if found is None:
            raise Http404
        found.template = template
        return found


def _current(template: Template) -> TemplateVersion:
    return TemplateVersion.objects.get(template=template, number=template.version)


def _shown(version: TemplateVersion, text: str) -> dict[str, Any]:
    """The rendered parts for the page, or why there are none."""
    try:
        content = preview(version, parse_context(json.loads(text)))
    except InvalidNotification as error:
        return {"errors": [wrong.detail for wrong in error.errors]}
    except (ValueError, RecursionError):
        return {"errors": [say("The context must be a JSON object.")]}
    document = ALONE + content.pop("html") if "html" in content else ""
    return {"parts": content, "document": document}
