"""What recipients want, and when: looked up, written down, forgotten."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from ..channels import CHANNELS
from ..exceptions import InvalidNotification
from ..labels import label, name_fields, say
from ..models import Preference
from ..pipeline.preferences import put
from ..preference import Wish, parse_wish
from .filters import TenantFilter
from .lists import LongListAdmin, ModelForm
from .words import masked

FIELD_OF = {"start": "quiet_from", "end": "quiet_until", "time_zone": "time_zone"}
"""Where the quiet hours of a wish stand in the form."""


class PreferenceForm(ModelForm):
    """Judges a preference as the API does."""

    wish: Wish
    opt_outs = forms.CharField(
        required=False, help_text=label("The categories that are not sent, with spaces between.")
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        name_fields(self.fields)
        self.initial["opt_outs"] = " ".join(self.instance.opt_outs)

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        values["opt_outs"] = (values.get("opt_outs") or "").split()
        hours = {name: _text(values.get(field)) for name, field in FIELD_OF.items()}
        data = {name: values.get(name) for name in ("channel", "recipient", "opt_outs")}
        if not self.instance._state.adding:
            data |= {"channel": self.instance.channel, "recipient": self.instance.recipient}
        try:
            self.wish = parse_wish(data | {"quiet_hours": hours if any(hours.values()) else None})
        except InvalidNotification as error:
            for wrong in error.errors:
                place = wrong.pointer.split("/")
                name = FIELD_OF[place[2]] if place[1] == "quiet_hours" else place[1]
                self.add_error(name if name in self.fields else None, wrong.detail)
        return values

    def _get_validation_exclusions(self) -> set[str]:
        # One that is kept already is replaced and not refused: its constraint is not asked.
        excluded = super()._get_validation_exclusions()  # type: ignore[misc]  # not in the stubs
        return {*excluded, "recipient"}


def _text(value: Any) -> str:
    return value.isoformat("minutes") if hasattr(value, "isoformat") else value or ""


@admin.register(Preference)
class PreferenceAdmin(LongListAdmin):
    form = PreferenceForm
    list_display = ("to", "channel", "wanted", "quiet", "tenant", "created_at")
    list_select_related = ("tenant",)
    list_filter = ("channel", TenantFilter)
    search_fields = ("recipient",)
    search_help_text = label("The whole recipient.")
    fields = (
        "tenant", "channel", "recipient", "opt_outs", "quiet_from", "quiet_until", "time_zone"
    )  # fmt: skip

    @admin.display(description=label("recipient"))
    def to(self, preference: Preference) -> str:
        return masked(preference.recipient)

    @admin.display(description=label("opted out of"))
    def wanted(self, preference: Preference) -> str:
        return ", ".join(preference.opt_outs)

    @admin.display(description=label("quiet hours"))
    def quiet(self, preference: Preference) -> str:
        hours = preference.quiet_hours
        if not hours:
            return ""
        start, end = _text(hours.start), _text(hours.end)
        return say("{start} to {end}, {zone}", start=start, end=end, zone=hours.zone)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("tenant", "channel", "recipient") if obj else ()

    def get_search_results(
        self, request: HttpRequest, queryset: Any, search_term: str
    ) -> tuple[Any, bool]:
        folded = {row.fold(search_term.strip()) for row in CHANNELS.values()}
        return (queryset.filter(recipient__in=folded) if search_term else queryset), False

    def save_model(self, request: HttpRequest, obj: Preference, form: Any, change: bool) -> None:
        obj.pk = put(obj.tenant, form.wish).preference.pk
