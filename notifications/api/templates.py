"""The endpoints of templates: kept by name, never sent from here."""

from collections.abc import Mapping
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from ..channels import CHANNELS
from ..enums import Channel, KeyScope
from ..exceptions import FieldError
from ..models import Template, TemplateVersion
from ..pipeline import template_store
from ..pipeline.templates import preview
from ..rendering import Part
from ..segments import count_segments
from ..template_validation import PARTS, parse_template
from ..times import rfc3339
from ..validation import parse_context, parse_template_name
from .base import TenantView
from .pagination import link, page_of
from .parsers import ONE, read_optional_json
from .problems import NOT_FOUND, Refused, invalid
from .query import PAGE_PARAMETERS, parse_list
from .views import refuse_fields


class TemplateBaseView(TenantView):
    """A view of the templates of a tenant that are not archived."""

    def version(self, name: str) -> TemplateVersion:
        """The version in use of the template of this name."""
        try:
            parse_template_name(name)
        except ValueError as error:
            raise Refused(NOT_FOUND) from error
        rows = TemplateVersion.objects.current()
        found = rows.filter(template__tenant=self.tenant, template__name=name)
        return self._found(found.first())


class TemplateListView(TemplateBaseView):
    """`GET /templates`"""

    scopes = {"get": KeyScope.READ}
    reads_query = True

    def get(self, request: Request) -> Response:
        values = parse_list(self.query, PAGE_PARAMETERS)
        rows = Template.objects.live().filter(tenant=self.tenant)
        page = page_of(rows, self.tenant, values)
        return Response(
            {
                "results": [represent(template, request) for template in page.rows],
                "next": link(page.next, self.tenant, request, self.query),
                "previous": link(page.previous, self.tenant, request, self.query),
            }
        )


class TemplateView(TemplateBaseView):
    """`GET|PUT|DELETE /templates/{name}`"""

    scopes = {"get": KeyScope.READ, "put": KeyScope.MANAGE, "delete": KeyScope.MANAGE}

    def get(self, request: Request, name: str) -> Response:
        return Response(represent_detail(self.version(name), request))

    def put(self, request: Request, name: str) -> Response:
        draft = parse_template(self.json(ONE))
        version, is_new = template_store.put(self.tenant, _name(name), draft)
        body = represent_detail(version, request)
        if not is_new:
            return Response(body)
        return Response(body, status=201, headers={"Location": body["url"]})

    def delete(self, request: Request, name: str) -> Response:
        refuse_fields(read_optional_json(request._request))
        template_store.archive(self.version(name).template)
        return Response(status=204)


class PreviewView(TemplateBaseView):
    """`POST /templates/{name}/preview`"""

    scopes = {"post": KeyScope.READ}

    def post(self, request: Request, name: str) -> Response:
        data = read_optional_json(request._request)
        refuse_fields(data, {"context"})
        version = self.version(name)
        content = preview(version, _context(data))
        return Response({**_parts(content), **_segments(version.template, content)})


def represent(template: Template, request: Request) -> dict[str, Any]:
    """The template as the list shows it."""
    return {
        "name": template.name,
        "url": reverse("notifications:template", (template.name,), request=request),
        "channel": template.channel,
        "is_transactional": template.is_transactional,
        "category": template.category or None,
        "version": template.version,
        "created_at": rfc3339(template.created_at),
        "updated_at": rfc3339(template.updated_at),
    }


def represent_detail(version: TemplateVersion, request: Request) -> dict[str, Any]:
    """The template with what it says now."""
    return {**represent(version.template, request), **_parts(version.content)}


def _parts(content: Mapping[str, str]) -> dict[str, str | None]:
    return {name: content.get(name) for name in sorted(PARTS)}


def _segments(template: Template, content: Mapping[str, str]) -> dict[str, Any]:
    parts = CHANNELS[Channel(template.channel)].parts
    texts = [text for name, text in content.items() if parts[name] is Part.SMS]
    found = [count_segments(text) for text in texts]
    return {
        "segments": found[0].count if found else None,
        "encoding": found[0].encoding if found else None,
    }


def _name(text: str) -> str:
    try:
        return parse_template_name(text)
    except ValueError as error:
        wrong = FieldError("", "invalid_name", f"the name in the path: {error}")
        raise Refused(invalid([wrong])) from error


def _context(data: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return parse_context(data.get("context") or {})
    except ValueError as error:
        wrong = FieldError("/context", "invalid_type", str(error))
        raise Refused(invalid([wrong])) from error
