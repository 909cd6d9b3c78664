"""Upload a CSV file: judged first, then imported, on a page that shows how far it has come."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.models import ADDITION
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import path

from ..dashboard.words import amount
from ..enums import Channel, JobState, Priority
from ..labels import label, say, words
from ..models import Import, Template, Tenant
from ..pipeline import uploads
from ..pipeline.import_plan import DEFAULTS, Plan, parse_delimiter, parse_mapping, parse_rate
from ..tabular import Unreadable
from .background import Act, BackgroundAdmin
from .filters import TenantFilter
from .log import log

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
class ImportAdmin(BackgroundAdmin):
    add_title = label("Import a file")
    add_form_template = "admin/notifications/import/form.html"
    change_form_template = "admin/notifications/import/page.html"
    acts = {
        "stop": Act(uploads.stop, "Stopped", label("Stopped.")),
        "go-on": Act(uploads.go_on, "Taken up again", label("Taken up again.")),
        "confirm": Act(uploads.confirm, "Begun for real", label("It has begun.")),
        "discard": Act(uploads.discard, "File deleted", label("The file is deleted here.")),
    }
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

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may upload a file, and do with it whatever can be done."""
        return request.user.has_perm("notifications.add_import")

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.rejects_view)
        rejects = path("<uuid:id>/rejects/", view, name="notifications_import_rejects")
        return [rejects, *super().get_urls()]

    def form_for(self, request: HttpRequest) -> UploadForm:
        return UploadForm(request.POST or None, request.FILES or None)

    def start(self, request: HttpRequest, form: UploadForm) -> Import:
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

    def share_done(self, upload: Import) -> float:
        return uploads.share_done(upload)

    def shown(self, request: HttpRequest, upload: Import) -> dict[str, Any]:
        may, state = self.may_act(request, upload), upload.state
        may_read = may and uploads.has_file(upload)
        return {
            "title": _title(upload),
            "facts": _facts(upload),
            "may_go_on": may_read and state == JobState.STOPPED,
            "may_confirm": may_read and upload.dry_run and state == JobState.DONE,
            "may_discard": may_read and state != JobState.RUNNING,
            "may_download": may and upload.rejected,
            "batch": uploads.stored_in(upload),
        }

    def rejects_view(self, request: HttpRequest, id: Any) -> Any:
        """The rejected rows as they were; whoever takes them along stands in the log."""
        upload = self.permitted(request, id)
        log(request, [upload], "Rejected rows downloaded")
        headers = {
            "Content-Disposition": 'attachment; filename="rejected.csv"',
            "Cache-Control": "no-store",
        }
        parts = uploads.rejects_of(upload)
        return StreamingHttpResponse(parts, content_type="text/csv", headers=headers)


def _said(parse: Any, text: str) -> Any:
    """What `parse` makes of it; what it says against it is the form's."""
    try:
        return parse(text)
    except ValueError as error:
        raise forms.ValidationError(str(error)) from error


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
