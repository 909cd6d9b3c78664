"""Every route of the package with its methods, read from the URL configuration."""

import re
from typing import Any, NamedTuple

from django.urls import URLPattern

from notifications import urls
from notifications.api.base import TenantView

METHODS = ("get", "post", "put", "patch", "delete")


class Route(NamedTuple):
    """One method of one path; `path` has its parameters as `{id}`."""

    name: str
    path: str
    method: str
    view: Any

    @property
    def of_tenant(self) -> bool:
        return issubclass(self.view, TenantView)

    @property
    def body(self) -> Any:
        """None where a body is not looked at, otherwise one that is refused as such."""
        return {"nonsense": True} if self.method in ("post", "put", "patch") else None

    def at(self, value: object) -> str:
        return re.sub(r"{\w+}", str(value), self.path)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def routes() -> list[Route]:
    return [
        Route(
            pattern.name, "/" + re.sub(r"<\w+:(\w+)>", r"{\1}", str(pattern.pattern)), method, view
        )
        for pattern in urls.urlpatterns
        if isinstance(pattern, URLPattern) and pattern.name
        for view in [pattern.callback.cls]  # type: ignore[attr-defined]  # DRF sets it
        for method in METHODS
        if hasattr(view, method)
    ]


def tenant_routes() -> list[Route]:
    return [route for route in routes() if route.of_tenant]
