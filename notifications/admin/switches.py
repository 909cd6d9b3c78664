"""Pages that ask why before they pause, resume, drain or limit, and write it into the log."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.models import ADDITION, DELETION
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.http import url_has_allowed_host_and_scheme

from ..enums import Scope
from ..labels import label, name_fields, say, spoken, word, words
from ..models import Pause, RateLimit
from ..pipeline import switches
from ..pipeline.scopes import in_words
from ..validators import validate_rates
from .lists import DjangoModelAdmin
from .log import log
from .subjects import check_subject

PAGE = "admin/notifications/dashboard/switch.html"

DASHBOARD = "admin:notifications_dashboard_changelist"


class NamedForm(forms.Form):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        name_fields(self.fields)


class ReasonForm(NamedForm):
    reason = forms.CharField(
        max_length=200,
        help_text=label("It is shown to all operators, and kept in the log with your name."),
        widget=forms.TextInput({"class": "vTextField", "autofocus": True}),
    )


class SubjectForm(ReasonForm):
    scope = forms.ChoiceField(choices=words(Scope.choices))
    subject = forms.CharField(
        max_length=200,
        help_text=label(
            "The name of the channel, provider or tenant; of a template as tenant/name."
        ),
        widget=forms.TextInput({"class": "vTextField"}),
    )

    field_order = ("scope", "subject", "rates", "reason")

    def clean_subject(self) -> str:
        return check_subject(self.cleaned_data.get("scope"), self.cleaned_data["subject"])


class LimitForm(SubjectForm):
    scope = forms.ChoiceField(choices=words(c for c in Scope.choices if c[0] != Scope.TEMPLATE))
    rates = forms.CharField(
        max_length=100,
        required=False,
        validators=[validate_rates],
        help_text=label(
            "Such as 50/s, or 100/s, 5000/d: all of them hold, over the whole cluster. "
            "Leave it empty to go back to what the settings say."
        ),
        widget=forms.TextInput({"class": "vTextField"}),
    )


class Switch:
    """One page: its form, the permission that it takes, what it does, and how it says so."""

    def __init__(
        self,
        name: str,
        title: Any,
        button: Any,
        form: type[forms.Form],
        permissions: tuple[str, ...],
        explained: Any,
        act: Callable[[HttpRequest, dict[str, Any]], str],
    ) -> None:
        self.name, self.title, self.button = name, title, button
        self.form, self.permissions, self.explained, self.act = form, permissions, explained, act

    @property
    def url(self) -> str:
        return reverse(f"admin:notifications_{self.name}")

    def is_allowed(self, request: HttpRequest) -> bool:
        return all(request.user.has_perm(f"notifications.{name}") for name in self.permissions)


def _pause(request: HttpRequest, values: dict[str, Any]) -> str:
    row = switches.pause(Scope(values["scope"]), values["subject"], values["reason"])
    log(request, [row], "Paused", values["reason"], ADDITION)
    return say(
        "{subject} is paused. What is with a provider already is finished; nothing is lost.",
        subject=_of(row),
    )


def _resume(request: HttpRequest, values: dict[str, Any]) -> str:
    row = Pause.objects.filter(scope=values["scope"], subject=values["subject"]).first()
    if row is None:
        return say("{scope} {subject} was not paused.", **_named(values))
    switches.resume(Scope(row.scope), row.subject)
    log(request, [row], "Resumed", values["reason"], DELETION)
    return say("{subject} goes on.", subject=_of(row))


def _drain(request: HttpRequest, values: dict[str, Any]) -> str:
    rows = switches.drain(values["reason"])
    log(request, rows, "Paused to drain", values["reason"], ADDITION)
    return say("All channels are paused. Wait until nothing is in flight, then stop the workers.")


def _resume_all(request: HttpRequest, values: dict[str, Any]) -> str:
    rows = list(Pause.objects.filter(scope=Scope.CHANNEL))
    for row in rows:
        switches.resume(Scope.CHANNEL, row.subject)
    log(request, rows, "Resumed", values["reason"], DELETION)
    return say("All channels go on.")


def _limit(request: HttpRequest, values: dict[str, Any]) -> str:
    scope, subject, named = Scope(values["scope"]), values["subject"], _named(values)
    if values["rates"]:
        row = switches.limit(scope, subject, values["rates"])
        log(request, [row], f"Limited to {row.rates}", values["reason"])
        return say("{scope} {subject} is limited to {rates}.", rates=row.rates, **named)
    found = RateLimit.objects.filter(scope=scope, subject=subject).first()
    if found is None:
        return say("Nothing else was set: {scope} {subject} keeps to the settings.", **named)
    switches.unlimit(scope, subject)
    log(request, [found], "Back to the settings", values["reason"], DELETION)
    return say("{scope} {subject} keeps to the settings again.", **named)


def _named(values: dict[str, Any]) -> dict[str, str]:
    return {"scope": word(values["scope"]), "subject": values["subject"]}


def _of(row: Pause) -> str:
    return str(spoken(in_words(f"{row.scope}:{row.subject}")))


SWITCHES = (
    Switch(
        "pause",
        label("Pause"),
        label("Pause"),
        SubjectForm,
        ("add_pause",),
        label(
            "Nothing more of it is sent until it is resumed. What is with a provider already is "
            "finished. Notifications are still accepted, and wait."
        ),
        _pause,
    ),
    Switch(
        "resume",
        label("Resume"),
        label("Resume"),
        SubjectForm,
        ("delete_pause",),
        label("What has waited goes at once, within the limits."),
        _resume,
    ),
    Switch(
        "drain",
        label("Drain"),
        label("Pause all channels"),
        ReasonForm,
        ("add_pause",),
        label(
            "All channels are paused, and what is in flight comes to its end. The dashboard says "
            "when nothing is with a provider any more: then workers can be stopped without a trace."
        ),
        _drain,
    ),
    Switch(
        "resume_all",
        label("Resume all channels"),
        label("Resume all channels"),
        ReasonForm,
        ("delete_pause",),
        label("Ends the pause of every channel. Pauses of providers, tenants and templates stay."),
        _resume_all,
    ),
    Switch(
        "limit",
        label("Change a limit"),
        label("Change"),
        LimitForm,
        ("add_ratelimit", "change_ratelimit", "delete_ratelimit"),
        label(
            "It holds within a second, for all workers together, instead of what the settings say."
        ),
        _limit,
    ),
)


def urls_of(page: DjangoModelAdmin) -> list[Any]:
    """A path for each switch, below those of `page`."""

    def view_of(switch: Switch) -> Callable[..., HttpResponse]:
        def view(request: HttpRequest) -> HttpResponse:
            return _show(page, switch, request)

        wrapped: Callable[..., HttpResponse] = page.admin_site.admin_view(view)
        return wrapped

    return [
        path(
            f"{switch.name.replace('_', '-')}/",
            view_of(switch),
            name=f"notifications_{switch.name}",
        )
        for switch in SWITCHES
    ]


def allowed(request: HttpRequest) -> dict[str, str]:
    """The addresses of the switches that the user may use, by their names."""
    return {switch.name: switch.url for switch in SWITCHES if switch.is_allowed(request)}


def _show(page: DjangoModelAdmin, switch: Switch, request: HttpRequest) -> HttpResponse:
    if not switch.is_allowed(request):
        raise PermissionDenied
    form = switch.form(request.POST or None, initial=request.GET.dict())
    if request.method == "POST" and form.is_valid():
        messages.success(request, _capitalised(switch.act(request, form.cleaned_data)))
        return HttpResponseRedirect(_next(request))
    context = {
        **page.admin_site.each_context(request),
        "title": switch.title,
        "opts": page.opts,
        "switch": switch,
        "form": form,
        "next": _next(request),
    }
    request.current_app = page.admin_site.name
    return TemplateResponse(request, PAGE, context)


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _next(request: HttpRequest) -> str:
    """Where the user came from, as long as it is a page of this host; else the dashboard."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    hosts = {request.get_host()}
    if url_has_allowed_host_and_scheme(wanted, hosts, require_https=request.is_secure()):
        return wanted
    return reverse(DASHBOARD)
