"""`GET /metrics`, for those on this host and for those who hold the token."""

import hmac
from ipaddress import ip_address

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request

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
    """Prometheus text of this host's processes."""

    def get(self, request: Request) -> HttpResponse:
        if not (_is_local(request._request) or _has_token(request._request)):
            raise Refused(NO_TOKEN)
        return HttpResponse(scrape(), content_type=CONTENT_TYPE)


def _is_local(request: HttpRequest) -> bool:
    # Behind a proxy on this host everybody comes from loopback.
    if any(name in request.META for name in FORWARDED):
        return False
    try:
        return ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False  # a Unix socket, behind which stands a proxy


def _has_token(request: HttpRequest) -> bool:
    token = getattr(settings, "METRICS_TOKEN", "") or ""
    shown = request.META.get("HTTP_AUTHORIZATION", "")
    return bool(token) and hmac.compare_digest(shown.encode(), f"Bearer {token}".encode())
