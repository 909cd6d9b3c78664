"""The endpoints of a tenant's suppressions."""

from typing import Any

from django.db.models import Q
from rest_framework.request import Request
from rest_framework.response import Response

from ..channels import CHANNELS
from ..enums import KeyScope
from ..models import Suppression
from ..pipeline import database
from ..pipeline.suppressions import add
from ..querysets import SuppressionQuerySet
from ..suppression import Entry, parse_entry
from ..times import rfc3339
from .base import TenantView
from .pagination import link, page_of
from .parsers import ONE
from .problems import NOT_FOUND, Refused, invalid
from .query import SUPPRESSION_PARAMETERS, check, check_names, parse_list


class SuppressionListView(TenantView):
    """`GET /suppressions` and `POST /suppressions`"""

    scopes = {"get": KeyScope.READ, "post": KeyScope.MANAGE}
    reads_query = True

    def get(self, request: Request) -> Response:
        values = parse_list(self.query, SUPPRESSION_PARAMETERS)
        live = Suppression.objects.filter(tenant=self.tenant).live()
        page = page_of(_filtered(live, values), self.tenant, values)
        return Response(
            {
                "results": [_represent(row) for row in page.rows],
                "next": link(page.next, self.tenant, request, self.query),
                "previous": link(page.previous, self.tenant, request, self.query),
            }
        )

    def post(self, request: Request) -> Response:
        check(check_names(self.query, known=()))
        entry = parse_entry(self.json(ONE), database.now())
        if not isinstance(entry, Entry):
            raise Refused(invalid(entry))
        suppression, created = add(self.tenant, entry)
        return Response(_represent(suppression), status=201 if created else 200)


class SuppressionView(TenantView):
    """`DELETE /suppressions/{id}`"""

    scopes = {"delete": KeyScope.MANAGE}

    def delete(self, request: Request, id: str) -> Response:
        row = Suppression.objects.filter(tenant=self.tenant, pk=self._id(id))
        deleted, _ = row.delete()
        if not deleted:
            raise Refused(NOT_FOUND)
        return Response(status=204)


def _filtered(rows: SuppressionQuerySet, values: Any) -> SuppressionQuerySet:
    given = {name: values[name] for name in ("channel", "reason") if name in values}
    if "recipient" in values:
        # Each channel compares in its own way, and no two of them have an address in common.
        folded = {row.fold(values["recipient"]) for row in CHANNELS.values()}
        rows = rows.filter(recipient__in=folded)
    return rows.filter(Q(**given))


def _represent(row: Suppression) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "channel": row.channel,
        "recipient": row.recipient,
        "reason": row.reason,
        "note": row.note,
        "created_at": rfc3339(row.created_at),
        "expires_at": rfc3339(row.expires_at),
    }
