"""`GET /metrics`, for those on this host and for those who hold the token."""

from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request

from ..observability.access import may_read
from ..observability.metrics import CONTENT_TYPE, scrape
from .base import View
from .problems import Problem, Refused

FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")

NO_TOKEN = Problem(
    401,
    "unauthenticated",
    "Show the METRICS_TOKEN as a bearer, or ask from the same host.",
    headers={"WWW-Authenticate": "Bearer"},
)


class MetricsView(View):
    """Prometheus text of this host's processes, but for workers that serve their own."""

    def get(self, request: Request) -> HttpResponse:
        shown = request._request.META.get("HTTP_AUTHORIZATION", "")
        if not may_read(_address(request._request), shown):
            raise Refused(NO_TOKEN)
        return HttpResponse(scrape(), content_type=CONTENT_TYPE)


def _address(request: HttpRequest) -> str:
    """Who calls; nobody in particular behind a proxy on this host, where all come from loopback."""
    if any(name in request.META for name in FORWARDED):
        return ""
    return str(request.META.get("REMOTE_ADDR", ""))
