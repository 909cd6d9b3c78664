"""Upload a CSV file: judged first, then imported, on a page that shows how far it has come."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ..dashboard.words import amount
from ..enums import Channel, JobState, Priority
from ..labels import label, say, words
from ..models import Import, Template, Tenant
from ..pipeline import uploads
from ..pipeline.import_plan import DEFAULTS, Plan, parse_delimiter, parse_mapping, parse_rate
from ..tabular import Unreadable
from .filters import TenantFilter
from .lists import ReadOnlyAdmin
from .log import log

FORM = "admin/notifications/import/form.html"
PAGE = "admin/notifications/import/page.html"
REFRESH_SECONDS = 2

NONE = [("", label("none"))]


class UploadForm(forms.Form):
    tenant = forms.ModelChoiceField(
        Tenant.objects.filter(is_active=True),
        label=label("tenant"),
        help_text=label("Whose notifications they will be."),
    )
    file = forms.FileField(
        label=label("file"),
        help_text=label("CSV; the first line names the columns: to, body, context.name …"),
    )
    channel = forms.ChoiceField(
        required=False,
        label=label("channel"),
        choices=[*NONE, *words(Channel.choices)],
        help_text=label("Of rows that name none."),
    )
    template = forms.CharField(
        required=False,
        label=label("template"),
        max_length=100,
        help_text=label("The name of one, for rows that name none."),
    )
    priority = forms.ChoiceField(
        required=False,
        label=label("priority"),
        choices=[*NONE, *words((p.label, p.label) for p in Priority)],
        help_text=label("Of rows that name none."),
    )
    columns = forms.CharField(
        required=False,
        label=label("columns"),
        max_length=10_000,
        widget=forms.Textarea(attrs={"rows": 4, "placeholder": "Phone=to"}),
        help_text=label(
            "One COLUMN=FIELD on each line for columns that are called otherwise; COLUMN= leaves "
            "one out."
        ),
    )
    rate = forms.CharField(
        required=False,
        label=label("rate"),
        max_length=20,
        help_text=label("Accept no more, such as 100/s or 5000/h."),
    )
    encoding = forms.CharField(
        required=False,
        label=label("encoding"),
        max_length=40,
        help_text=label("Such as cp1252; UTF-8 if its first bytes say none."),
    )
    delimiter = forms.CharField(
        required=False,
        label=label("delimiter"),
        max_length=3,
        strip=False,
        help_text=label("Such as ; or the word tab; found out if it is not given."),
    )
    dry_run = forms.BooleanField(
        required=False,
        initial=True,
        label=label("Check first: judge every row, and store nothing"),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            if isinstance(field.widget, forms.TextInput):
                field.widget.attrs["class"] = "vTextField"

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > uploads.MAX_BYTES:
            raise forms.ValidationError(
                say(
                    "At most {number} MiB can be uploaded; the command import_notifications takes "
                    "a file of any size.",
                    number=uploads.MAX_BYTES // 1024**2,
                )
            )
        return file

    def clean_columns(self) -> dict[str, str]:
        lines = filter(None, map(str.strip, self.cleaned_data["columns"].splitlines()))
        return dict(_said(parse_mapping, line) for line in lines)

    def clean_rate(self) -> str:
        text = str(self.cleaned_data["rate"])
        return str(_said(parse_rate, text)) if text else ""

    def clean_delimiter(self) -> str:
        text = str(self.cleaned_data["delimiter"])
        return str(_said(parse_delimiter, text)) if text else ""

    def clean(self) -> Any:
        values = super().clean() or self.cleaned_data
        tenant, name = values.get("tenant"), values.get("template")
        if tenant and name and not Template.objects.live().filter(tenant=tenant, name=name):
            self.add_error("template", say("This tenant has no template of this name."))
        if not self.errors:
            self._check(uploads.plan_of(values["tenant"], **self.options))
        return values

    def _check(self, plan: Plan) -> None:
        try:
            uploads.check(self.cleaned_data["file"], plan)
        except Unreadable as error:
            self.add_error("file", say("This cannot be read: {error}.", error=error))

    @property
    def options(self) -> dict[str, Any]:
        """What was filled in, as the import keeps it."""
        values = self.cleaned_data
        found = {name: values[name] for name in ("columns", "encoding", "delimiter", "rate")}
        defaults = {name: values[name] for name in DEFAULTS if values.get(name)}
        return {name: value for name, value in {**found, "defaults": defaults}.items() if value}


@admin.register(Import)
class ImportAdmin(ReadOnlyAdmin):
    list_display = (
        "name",
        "tenant",
        "progress",
        "state",
        "dry_run",
        "accepted",
        "replayed",
        "rejected",
        "by",
        "created_at",
    )
    list_filter = ("state", "dry_run", TenantFilter)
    list_select_related = ("tenant",)

    class Media:
        css = {"all": ("notifications/admin.css", "notifications/dashboard.css")}

    @admin.display(description=label("done"))
    def progress(self, upload: Import) -> SafeString:
        return format_html("{} %", int(uploads.share_done(upload) * 100))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may upload a file, and do with it whatever can be done."""
        return request.user.has_perm("notifications.add_import")

    def get_urls(self) -> list[Any]:
        views = {
            "stop": self.stop_view,
            "go-on": self.go_on_view,
            "confirm": self.confirm_view,
            "discard": self.discard_view,
            "rejects": self.rejects_view,
        }
        mine = [
            path(
                f"<uuid:id>/{name}/",
                self.admin_site.admin_view(view),
                name=f"notifications_import_{name.replace('-', '_')}",
            )
            for name, view in views.items()
        ]
        return [*mine, *super().get_urls()]

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = UploadForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            upload = self._start(request, form)
            return HttpResponseRedirect(_page_of(upload))
        return self._answer(request, FORM, {"title": say("Import a file"), "form": form})

    def _start(self, request: HttpRequest, form: UploadForm) -> Import:
        values = form.cleaned_data
        upload = uploads.start(
            values["tenant"],
            values["file"].name,
            values["file"],
            form.options,
            dry_run=values["dry_run"],
            by=request.user.get_username(),
        )
        what = "Uploaded to be checked" if upload.dry_run else "Uploaded to be imported"
        log(request, [upload], what, flag=ADDITION)
        return upload

    def change_view(
        self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        upload = self.get_object(request, object_id)
        if upload is None or not self.has_view_permission(request, upload):
            return super().change_view(request, object_id, *args, **kwargs)
        may = self.has_add_permission(request)
        is_running, has_file = upload.state == JobState.RUNNING, uploads.has_file(upload)
        context = {
            "title": _title(upload),
            "job": upload,
            "percent": int(uploads.share_done(upload) * 100),
            "facts": _facts(upload),
            "is_running": is_running,
            "may_stop": may and is_running,
            "may_go_on": may and has_file and upload.state == JobState.STOPPED,
            "may_confirm": may and has_file and upload.dry_run and upload.state == JobState.DONE,
            "may_discard": may and has_file and not is_running,
            "may_download": may and upload.rejected,
            "batch": uploads.stored_in(upload),
            "refresh": REFRESH_SECONDS,
        }
        return self._answer(request, PAGE, context)

    def stop_view(self, request: HttpRequest, id: Any) -> HttpResponse:
        return self._act(request, id, uploads.stop, "Stopped", say("Stopped."))

    def go_on_view(self, request: HttpRequest, id: Any) -> HttpResponse:
        return self._act(request, id, uploads.go_on, "Taken up again", say("Taken up again."))

    def confirm_view(self, request: HttpRequest, id: Any) -> HttpResponse:
        return self._act(request, id, uploads.confirm, "Begun for real", say("It has begun."))

    def discard_view(self, request: HttpRequest, id: Any) -> HttpResponse:
        told = say("The file is deleted here.")
        return self._act(request, id, uploads.discard, "File deleted", told)

    def rejects_view(self, request: HttpRequest, id: Any) -> Any:
        """The rejected rows as they were; whoever takes them along stands in the log."""
        upload = self._permitted(request, id)
        log(request, [upload], "Rejected rows downloaded")
        headers = {
            "Content-Disposition": 'attachment; filename="rejected.csv"',
            "Cache-Control": "no-store",
        }
        parts = uploads.rejects_of(upload)
        return StreamingHttpResponse(parts, content_type="text/csv", headers=headers)

    def _act(self, request: HttpRequest, id: Any, act: Any, what: str, told: str) -> HttpResponse:
        upload = self._permitted(request, id)
        if request.method == "POST" and act(upload):
            log(request, [upload], what)
            messages.success(request, told)
        return HttpResponseRedirect(_page_of(upload))

    def _permitted(self, request: HttpRequest, id: Any) -> Import:
        upload: Import | None = self.get_object(request, str(id))
        if upload is None or not self.has_add_permission(request):
            raise PermissionDenied
        return upload

    def _answer(
        self, request: HttpRequest, template: str, context: dict[str, Any]
    ) -> TemplateResponse:
        shared = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media}
        request.current_app = self.admin_site.name
        return TemplateResponse(request, template, {**shared, **context})


def _said(parse: Any, text: str) -> Any:
    """What `parse` makes of it; what it says against it is the form's."""
    try:
        return parse(text)
    except ValueError as error:
        raise forms.ValidationError(str(error)) from error


def _page_of(upload: Import) -> str:
    return reverse("admin:notifications_import_change", args=[upload.pk])


def _title(upload: Import) -> str:
    if upload.dry_run:
        return say("Check of {file}", file=upload.name)
    return say("Import of {file}", file=upload.name)


def _facts(upload: Import) -> dict[str, str]:
    facts = {
        say("rows read"): amount(upload.rows),
        say("would be accepted") if upload.dry_run else say("accepted"): amount(upload.accepted),
        say("there already"): amount(upload.replayed),
        say("rejected"): amount(upload.rejected),
        say("tenant"): upload.tenant.name,
        say("options"): ", ".join(_options(upload)) or say("none"),
        say("started by"): upload.by,
    }
    if upload.error:
        facts[say("stopped by itself")] = upload.error
    return facts


def _options(upload: Import) -> list[str]:
    options = upload.options
    named = {**options.get("defaults", {}), **options}
    told = [name for name in (*DEFAULTS, "rate", "encoding", "delimiter") if name in named]
    return [
        *(f"{name} {named[name]}" for name in told),
        *(f"{column}={field}" for column, field in options.get("columns", {}).items()),
    ]
