"""The endpoints of operators: is it alive, is it ready."""

from rest_framework.request import Request
from rest_framework.response import Response

from ..observability.readiness import check_all
from .base import View


class HealthView(View):
    """`GET /healthz`: this process answers."""

    def get(self, request: Request) -> Response:
        return Response({"status": "ok"})


class ReadyView(View):
    """`GET /readyz`: what is accepted here will be sent."""

    def get(self, request: Request) -> Response:
        parts = check_all()
        ready = all(part.ok for part in parts)
        body = {
            "status": "ready" if ready else "not_ready",
            "checks": {part.name: {"ok": part.ok, "detail": part.detail} for part in parts},
        }
        return Response(body, status=200 if ready else 503)
