"""What goes on in the background: a form starts it, and a page shows how far it has come."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ..enums import JobState
from ..labels import label
from .lists import ReadOnlyAdmin
from .log import log

REFRESH_SECONDS = 2


@dataclass(frozen=True)
class Act:
    """What a button of the page does; `do` says whether there was anything to do."""

    do: Callable[[Any], bool]
    logged: str
    told: Any


class BackgroundAdmin(ReadOnlyAdmin):
    """Rows that workers go through; who may start one may stop it, and have it go on."""

    add_title: ClassVar[Any]
    add_form_template: ClassVar[str]
    change_form_template: ClassVar[str]
    acts: ClassVar[Mapping[str, Act]]
    """By their part of the address, such as `go-on`."""

    class Media:
        css = {"all": ("notifications/dashboard.css",)}

    def form_for(self, request: HttpRequest) -> forms.Form:
        """The form that starts one."""
        raise NotImplementedError

    def start(self, request: HttpRequest, form: Any) -> Any:
        """The row of what has been started, and logged."""
        raise NotImplementedError

    def share_done(self, row: Any) -> float:
        raise NotImplementedError

    def shown(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """What the page says of it, its title first."""
        raise NotImplementedError

    def may_act(self, request: HttpRequest, row: Any) -> bool:
        return self.has_add_permission(request)

    @admin.display(description=label("done"))
    def progress(self, row: Any) -> SafeString:
        return format_html("{} %", self._percent(row))

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.act_view)
        mine = [
            path(f"<uuid:id>/{part}/", view, {"act": act}, name=self._name(part.replace("-", "_")))
            for part, act in self.acts.items()
        ]
        return [*mine, *super().get_urls()]

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = self.form_for(request)
        if request.method == "POST" and form.is_valid():
            return self._to_page_of(self.start(request, form))
        context = {"title": self.add_title, "form": form}
        return self.answer(request, self.add_form_template, context)

    def change_view(
        self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None or not self.has_view_permission(request, row):
            return super().change_view(request, object_id, *args, **kwargs)
        may = self.may_act(request, row)
        context = {
            "job": row,
            "percent": self._percent(row),
            "is_running": row.state == JobState.RUNNING,
            "may_stop": may and row.state == JobState.RUNNING,
            "may_go_on": may and row.state == JobState.STOPPED,
            "refresh": REFRESH_SECONDS,
            **self.shown(request, row),
        }
        return self.answer(request, self.change_form_template, context)

    def act_view(self, request: HttpRequest, id: Any, act: Act) -> HttpResponse:
        row = self.permitted(request, id)
        if request.method == "POST" and act.do(row):
            log(request, [row], act.logged)
            messages.success(request, act.told)
        return self._to_page_of(row)

    def permitted(self, request: HttpRequest, id: Any) -> Any:
        """The row, for who may act on it."""
        row = self.get_object(request, str(id))
        if row is None or not self.may_act(request, row):
            raise PermissionDenied
        return row

    def _percent(self, row: Any) -> int:
        return int(self.share_done(row) * 100)

    def _to_page_of(self, row: Any) -> HttpResponseRedirect:
        return HttpResponseRedirect(reverse(f"admin:{self._name('change')}", args=[row.pk]))

    def _name(self, view: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{view}"
