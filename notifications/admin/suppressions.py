"""The lists of suppressed recipients: looked up, added to, taken off, brought in and out."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from ..channels import CHANNELS
from ..labels import label, say
from ..models import Suppression, Tenant
from ..pipeline import database
from ..pipeline.suppressions import add
from ..suppression import Entry, parse_entry
from .exchange import COLUMNS, Imported, export_csv, import_csv
from .filters import TenantFilter
from .lists import LongListAdmin, ModelAdmin, ModelForm
from .switches import NamedForm
from .words import masked

UPLOAD_MAX = 10 * 1024 * 1024


class SuppressionForm(ModelForm):
    """Judges a new entry as the API does."""

    entry: Entry

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        names = [name for name in COLUMNS if values.get(name)]
        entry = parse_entry({name: values[name] for name in names}, database.now())
        if isinstance(entry, Entry):
            self.entry = entry
        for error in entry if isinstance(entry, list) else ():
            name = error.pointer.removeprefix("/")
            if name not in self.errors:
                self.add_error(name, error.detail)
        return values

    def _get_validation_exclusions(self) -> set[str]:
        # One that is on the list is found there and not refused: its constraint is not asked.
        excluded = super()._get_validation_exclusions()  # type: ignore[misc]  # not in the stubs
        return {*excluded, "recipient"}


class ImportForm(NamedForm):
    tenant = forms.ModelChoiceField(Tenant.objects.all())
    file = forms.FileField(
        required=False, help_text=label("CSV in UTF-8, as the export writes it.")
    )
    text = forms.CharField(
        required=False,
        strip=False,
        widget=forms.Textarea,
        help_text=label(
            "Or the same here. The first line names the columns: channel, recipient, reason, note, "
            "expires_at; channel and recipient are enough."
        ),
    )

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        file, text = values.get("file"), values.get("text")
        if bool(file) == bool(text):
            raise forms.ValidationError(say("Give either a file or a text."))
        if file and file.size > UPLOAD_MAX:
            raise forms.ValidationError(
                say("At most {number} MiB at once.", number=UPLOAD_MAX // 1024**2)
            )
        try:
            values["csv"] = file.read().decode("utf-8") if file else text
        except UnicodeDecodeError as error:
            raise forms.ValidationError(say("The file is not UTF-8.")) from error
        return values


@admin.action(description=label("Export selected suppressions as CSV"), permissions=["view"])
def export_selected(
    page: ModelAdmin, request: HttpRequest, rows: QuerySet[Suppression]
) -> StreamingHttpResponse:
    """A file that can be imported again."""
    lines = export_csv(rows.order_by("pk").iterator(chunk_size=1000))
    headers = {"Content-Disposition": 'attachment; filename="suppressions.csv"'}
    return StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8", headers=headers)


@admin.register(Suppression)
class SuppressionAdmin(LongListAdmin):
    form = SuppressionForm
    list_display = ("to", "channel", "reason", "tenant", "created_at", "expires_at", "note")
    list_select_related = ("tenant",)
    list_filter = ("channel", "reason", TenantFilter)
    search_fields = ("recipient",)
    search_help_text = label("The whole recipient.")
    actions = (export_selected,)
    fields = ("tenant", "channel", "recipient", "reason", "note", "expires_at")
    change_list_template = "admin/notifications/suppression/change_list.html"

    @admin.display(description=label("recipient"))
    def to(self, suppression: Suppression) -> str:
        return masked(suppression.recipient)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """An entry is made anew or deleted, so that it always says who is meant and why."""
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        folded = {row.fold(search_term.strip()) for row in CHANNELS.values()}
        return (queryset.filter(recipient__in=folded) if search_term else queryset), False

    def save_model(self, request: HttpRequest, obj: Suppression, form: Any, change: bool) -> None:
        obj.pk = add(obj.tenant, form.entry).suppression.pk

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.import_view)
        return [path("import/", view, name="notifications_suppression_import"), *super().get_urls()]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {**(extra_context or {}), "may_import": self.has_add_permission(request)}
        return super().changelist_view(request, context)

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """A file or a text comes on a tenant's list; what cannot is told by its line."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = ImportForm(request.POST or None, request.FILES or None)
        done = self._import(form) if form.is_valid() else None
        if done:
            text = say(
                "{read} recipients read, {added} of them new, {refused} refused.",
                read=done.read,
                added=done.added,
                refused=done.refused,
            )
            level = messages.WARNING if done.refused else messages.SUCCESS
            self.message_user(request, text, level)
            if not done.refused:
                return HttpResponseRedirect(reverse("admin:notifications_suppression_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "title": say("Import suppressions"),
            "opts": self.opts,
            "form": form,
            "done": done,
        }
        request.current_app = self.admin_site.name
        page = "admin/notifications/suppression/import.html"
        return TemplateResponse(request, page, context)

    def _import(self, form: ImportForm) -> Imported | None:
        try:
            return import_csv(form.cleaned_data["tenant"], form.cleaned_data["csv"], database.now())
        except ValueError as error:
            form.add_error(None, say("This cannot be read: {error}.", error=error))
            return None
