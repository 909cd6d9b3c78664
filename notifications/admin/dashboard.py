"""The dashboard's page, the part of it that is fetched anew every few seconds, and its switches."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.timezone import localtime

from ..dashboard import charts, findings
from ..dashboard.overview import Overview, gather
from ..dashboard.show import sections
from ..labels import say
from ..models import Dashboard
from . import log, switches
from .lists import ModelAdmin, ReadOnly

PAGE = "admin/notifications/dashboard/page.html"
LIVE = "admin/notifications/dashboard/live.html"

REFRESH_SECONDS = {1: 5, 6: 15, 24: 60}
"""By the hours that are shown: longer ranges cost more, and change less."""


@admin.register(Dashboard)
class DashboardAdmin(ReadOnly, ModelAdmin):
    """Takes the place of the list that a model would have."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_urls(self) -> list[Any]:
        live = self.admin_site.admin_view(self.live_view)
        root = self.admin_site.admin_view(self.changelist_view)
        return [
            path("", root, name="notifications_dashboard_changelist"),
            path("live/", live, name="notifications_dashboard_live"),
            *switches.urls_of(self),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            **self._seen(request),
            "title": say("Dashboard"),
            "opts": self.opts,
            "is_nav_sidebar_enabled": False,
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, PAGE, context)

    def live_view(self, request: HttpRequest) -> HttpResponse:
        """What the page's script puts in place of what it shows."""
        text = render_to_string(LIVE, self._seen(request), request)
        return HttpResponse(text)

    def _seen(self, request: HttpRequest) -> dict[str, Any]:
        if not self.has_view_permission(request):
            raise PermissionDenied
        hours = _hours(request)
        seen = gather(hours)
        return {
            "seen": seen,
            "hours": hours,
            "ranges": [(h, f"?hours={h}", h == hours) for h in charts.RANGES],
            "live_url": f"{reverse('admin:notifications_dashboard_live')}?hours={hours}",
            "refresh": REFRESH_SECONDS[hours],
            "switches": switches.allowed(request),
            "log": log.latest(),
            "offset": round(
                (localtime(datetime.now(UTC)).utcoffset() or timedelta()).total_seconds()
            ),
            **_judged(seen, request),
            **sections(seen),
        }


def _hours(request: HttpRequest) -> int:
    text = request.GET.get("hours", "")
    hours = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 1
    return hours if hours in charts.RANGES else 1


def _judged(seen: Overview, request: HttpRequest) -> dict[str, Any]:
    found = findings.findings(seen)
    level, text = findings.verdict(found)
    linked = [(finding, _link(finding, request)) for finding in found]
    return {"findings": linked, "level": level.value, "verdict": text}


def _link(finding: findings.Finding, request: HttpRequest) -> tuple[str, str] | None:
    """The words and the address of what can be done about it, by this user."""
    match finding.act:
        case findings.Act.RESUME:
            query = urlencode({"scope": finding.scope, "subject": finding.subject})
            url = switches.allowed(request).get("resume")
            return (say("Resume"), f"{url}?{query}") if url else None
        case findings.Act.LIST:
            url = reverse("admin:notifications_notification_changelist")
            may = request.user.has_perm("notifications.view_notification")
            return (say("Show them"), f"{url}?status={finding.subject}") if may else None
        case findings.Act.ERRORS:
            return (say("Top errors"), "#errors")
    return None
