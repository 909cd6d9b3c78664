"""The endpoints of a tenant for webhooks; a secret is shown in the answer that made it."""

from collections.abc import Callable, Mapping
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from ..addresses import UNSAFE_TEXT, AddressError, parse_url
from ..enums import Event, KeyScope
from ..exceptions import ContentError, FieldError
from ..models import Endpoint
from ..pipeline import endpoints
from ..times import rfc3339
from ..validation import pointer_part
from .base import TenantView
from .parsers import ONE, read_optional_json
from .problems import Refused, invalid
from .views import refuse_fields

DESCRIPTION_MAX = 200
DEFAULT = "default"
"""Stands for an id where the tenant's default secret is meant."""

EVENT_NAMES = (*Event.values, Event.DELIVERED.family)


class OneTenantsEndpoints(TenantView):
    """What the views of endpoints have in common."""

    def endpoint(self, id: str) -> Endpoint:
        found = Endpoint.objects.registered(self.tenant).filter(pk=self._id(id))
        return self._found(found.first())


class EndpointListView(OneTenantsEndpoints):
    """`GET|POST /endpoints`"""

    scopes = {"get": KeyScope.READ, "post": KeyScope.MANAGE}

    def get(self, request: Request) -> Response:
        found = Endpoint.objects.registered(self.tenant)
        return Response({"results": [represent(endpoint) for endpoint in found]})

    def post(self, request: Request) -> Response:
        values = _parse(self.json(ONE), required=("url",))
        endpoint = endpoints.create(
            self.tenant, values["url"], values.get("description", ""), values.get("events", ())
        )
        location = reverse("notifications:endpoint", (endpoint.pk,), request=request)
        return Response(_revealed(endpoint), status=201, headers={"Location": str(location)})


class EndpointView(OneTenantsEndpoints):
    """`GET|PATCH|DELETE /endpoints/{id}`"""

    scopes = {"get": KeyScope.READ, "patch": KeyScope.MANAGE, "delete": KeyScope.MANAGE}

    def get(self, request: Request, id: str) -> Response:
        return Response(represent(self.endpoint(id)))

    def patch(self, request: Request, id: str) -> Response:
        values = _parse(self.json(ONE))
        return Response(represent(endpoints.change(self.endpoint(id), values)))

    def delete(self, request: Request, id: str) -> Response:
        endpoints.delete(self.endpoint(id))
        return Response(status=204)


class RotateView(OneTenantsEndpoints):
    """`POST /endpoints/{id}/rotate`"""

    scopes = {"post": KeyScope.MANAGE}

    def post(self, request: Request, id: str) -> Response:
        refuse_fields(read_optional_json(request._request))
        found = endpoints.default_of(self.tenant) if id == DEFAULT else self.endpoint(id)
        return Response(_revealed(endpoints.rotate(found)))


class EnableView(OneTenantsEndpoints):
    """`POST /endpoints/{id}/enable`"""

    scopes = {"post": KeyScope.MANAGE}

    def post(self, request: Request, id: str) -> Response:
        refuse_fields(read_optional_json(request._request))
        return Response(represent(endpoints.enable(self.endpoint(id))))


def represent(endpoint: Endpoint) -> dict[str, Any]:
    """The endpoint as every answer shows it; the default has neither an id nor a URL."""
    return {
        "id": str(endpoint.pk) if endpoint.url else DEFAULT,
        "url": endpoint.url or None,
        "description": endpoint.description,
        "events": endpoint.events,
        "is_active": endpoint.is_active,
        "disabled_reason": endpoint.disabled_reason or None,
        "failing_since": rfc3339(endpoint.failing_since),
        "former_secret_until": rfc3339(endpoint.previous_until),
        "created_at": rfc3339(endpoint.created_at),
    }


def _revealed(endpoint: Endpoint) -> dict[str, Any]:
    return {**represent(endpoint), "secret": endpoints.reveal(endpoint)}


def _parse(data: Mapping[str, Any], required: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields in `data`, checked; raises Refused with everything wrong with them."""
    values: dict[str, Any] = {}
    errors = [
        FieldError(f"/{name}", "required", "is required") for name in required if name not in data
    ]
    for name, value in data.items():
        try:
            values[name] = FIELDS.get(name, _unknown)(value)
        except (AddressError, ContentError) as error:
            errors.append(FieldError(f"/{pointer_part(name)}", error.code, error.detail))
    if errors:
        raise Refused(invalid(errors))
    return values


def _unknown(value: Any) -> Any:
    raise ContentError("unknown_field", "is not a known field")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ContentError("invalid_type", "must be a string")
    return value


def _url(value: Any) -> str:
    return parse_url(_text(value))


def _description(value: Any) -> str:
    text = _text(value)
    if len(text) > DESCRIPTION_MAX or UNSAFE_TEXT.search(text):
        detail = f"at most {DESCRIPTION_MAX} characters, without control characters"
        raise ContentError("invalid_description", detail)
    return text


def _events(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(name in EVENT_NAMES for name in value):
        raise ContentError("invalid_events", f"a list of: {', '.join(EVENT_NAMES)}")
    return sorted(set(value))


FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "url": _url,
    "description": _description,
    "events": _events,
}
