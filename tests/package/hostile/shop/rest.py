"""What the shop has set for its own API; used for ours, it would break every answer."""

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer
from rest_framework.schemas.inspectors import ViewInspector
from rest_framework.throttling import BaseThrottle


class NotForUs(Exception):
    """Raised where the configuration of the shop is used for what is not the shop's."""


class Renderer(BaseRenderer):
    media_type, format = "application/x-shop", "shop"

    def render(self, *args: Any, **kwargs: Any) -> bytes:
        raise NotForUs


class Authentication(BaseAuthentication):
    def authenticate(self, request: Any) -> None:
        raise NotForUs


class Nobody(BasePermission):
    def has_permission(self, request: Any, view: Any) -> bool:
        raise NotForUs


class Throttle(BaseThrottle):
    def allow_request(self, request: Any, view: Any) -> bool:
        raise NotForUs


class Negotiation(BaseContentNegotiation):
    def select_parser(self, request: Any, parsers: Any) -> Any:
        raise NotForUs

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        raise NotForUs


class Schema(ViewInspector):
    pass


def handle(error: Exception, context: Any) -> Any:
    raise NotForUs
