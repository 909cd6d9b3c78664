"""Retry or cancel many: a form that finds them, and a page that shows how far it has come."""

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.models import ADDITION
from django.http import HttpRequest

from ..dashboard.words import amount
from ..enums import Channel, JobKind, Priority, Status
from ..labels import label, name_fields, say, word, words
from ..models import Job, Template, Tenant
from ..pipeline import jobs
from .background import Act, BackgroundAdmin
from .log import log

PERMISSIONS = {JobKind.RETRY: "retry_notification", JobKind.CANCEL: "cancel_notification"}

ANY = [("", label("any"))]


class JobForm(forms.Form):
    kind = forms.ChoiceField(label=label("What to do"))
    status = forms.MultipleChoiceField(
        required=False,
        choices=words((s.value, s.value) for s in Status),
        widget=forms.CheckboxSelectMultiple,
        help_text=label("None for all that can be retried or cancelled."),
    )
    channel = forms.ChoiceField(required=False, choices=[*ANY, *words(Channel.choices)])
    priority = forms.ChoiceField(
        required=False, choices=[*ANY, *words((str(p.value), p.label) for p in Priority)]
    )
    tenant = forms.CharField(required=False, help_text=label("Its name."))
    template = forms.CharField(
        required=False, help_text=label("Its name; the tenant is needed too.")
    )
    provider = forms.CharField(required=False, help_text=label("The last one that had it."))
    error_code = forms.CharField(required=False, help_text=label("Such as connect_timeout."))
    created_after = forms.DateTimeField(
        required=False, help_text=label("Such as 2026-11-22 03:00.")
    )
    created_before = forms.DateTimeField(required=False)
    accept_duplicate_risk = forms.BooleanField(
        required=False,
        label=label("Retry what is unknown too: recipients may get it twice"),
    )
    reason = forms.CharField(
        max_length=200,
        help_text=label("It stands in the history of every notification that is changed."),
    )

    def __init__(self, kinds: list[JobKind], *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice: Any = self.fields["kind"]
        choice.choices = words((kind.value, kind.label) for kind in kinds)
        name_fields(self.fields)
        for field in self.fields.values():
            if isinstance(field.widget, forms.TextInput | forms.DateTimeInput):
                field.widget.attrs["class"] = "vTextField"

    def clean_tenant(self) -> str:
        name = str(self.cleaned_data["tenant"])
        if name and not Tenant.objects.filter(name=name).exists():
            raise forms.ValidationError(say("There is no tenant of this name."))
        return name

    def clean(self) -> Any:
        values = super().clean() or self.cleaned_data
        name, tenant = values.get("template"), values.get("tenant")
        if name and not Template.objects.filter(name=name, tenant__name=tenant).exists():
            self.add_error("template", say("This tenant has no template of this name."))
        wanted, kind = values.get("status"), values.get("kind")
        if kind and wanted:
            possible = [s for s in wanted if s in jobs.STATUSES[JobKind(kind)]]
            if not possible:
                self.add_error(
                    "status", say("There is nothing to {kind} in these.", kind=word(kind))
                )
            only_unknown = possible == [Status.UNKNOWN] and kind == JobKind.RETRY
            if only_unknown and not values.get("accept_duplicate_risk"):
                text = say(
                    "What is unknown may have been delivered: accept the risk below to retry it."
                )
                self.add_error("status", text)
        return values

    @property
    def filters(self) -> dict[str, Any]:
        """What was filled in, as the job keeps it."""
        named = (*jobs.FILTERS, "status", "template")
        values: dict[str, Any] = {
            name: self.cleaned_data[name] for name in named if self.cleaned_data.get(name)
        }
        for name in ("created_after", "created_before"):
            if when := self.cleaned_data.get(name):
                values[name] = when.isoformat()
        if "priority" in values:
            values["priority"] = int(values["priority"])
        return values


@admin.register(Job)
class JobAdmin(BackgroundAdmin):
    add_title = label("Retry or cancel many")
    add_form_template = "admin/notifications/job/form.html"
    change_form_template = "admin/notifications/job/page.html"
    acts = {
        "stop": Act(jobs.stop, "Stopped", label("Stopped.")),
        "go-on": Act(jobs.go_on, "Taken up again", label("Taken up again.")),
    }
    list_display = ("kind", "progress", "state", "changed", "by", "reason", "created_at")
    list_filter = ("state", "kind")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may start a job, and do to one notification what it does to many."""
        return request.user.has_perm("notifications.add_job") and bool(_kinds(request))

    def may_act(self, request: HttpRequest, job: Job) -> bool:
        return self.has_add_permission(request) and job.kind in _kinds(request)

    def form_for(self, request: HttpRequest) -> JobForm:
        return JobForm(_kinds(request), request.POST or None, initial=_initial(request))

    def start(self, request: HttpRequest, form: JobForm) -> Job:
        values = form.cleaned_data
        job = jobs.start(
            JobKind(values["kind"]),
            form.filters,
            reason=values["reason"],
            by=request.user.get_username(),
            user=str(request.user.pk),
            accept_duplicate_risk=values["accept_duplicate_risk"],
        )
        log(request, [job], "Started", job.reason, ADDITION)
        return job

    def share_done(self, job: Job) -> float:
        return jobs.share_done(job)

    def shown(self, request: HttpRequest, job: Job) -> dict[str, Any]:
        title = say("Retry many") if job.kind == JobKind.RETRY else say("Cancel many")
        return {"title": title, "facts": _facts(job)}


def _kinds(request: HttpRequest) -> list[JobKind]:
    return [k for k, name in PERMISSIONS.items() if request.user.has_perm(f"notifications.{name}")]


def _initial(request: HttpRequest) -> dict[str, Any]:
    """What the list of notifications was narrowed to, where one came from there."""
    asked = request.GET
    found = {name: asked.get(name) or asked.get(f"{name}__exact") for name in JobForm.base_fields}
    return {**{n: v for n, v in found.items() if v}, "status": asked.getlist("status")}


def _facts(job: Job) -> dict[str, str]:
    filters = {str(word(name.replace("_", " "))): _said(name, v) for name, v in job.filters.items()}
    facts = {
        **filters,
        say("reason"): job.reason,
        say("started by"): job.by,
        say("looked at"): amount(job.looked_at),
        say("retried") if job.kind == JobKind.RETRY else say("cancelled"): amount(job.changed),
    }
    if job.asked:
        facts[say("may be with a provider, no further attempt")] = amount(job.asked)
    return facts


def _said(name: str, value: Any) -> str:
    if name == "priority":
        return str(word(Priority(value).label))
    if name in ("status", "channel"):
        return ", ".join(str(word(each)) for each in ([value] if isinstance(value, str) else value))
    return ", ".join(value) if isinstance(value, list) else str(value)
