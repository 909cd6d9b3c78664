"""The endpoints of what a tenant's recipients want."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from ..channels import CHANNELS
from ..enums import KeyScope
from ..models import Preference
from ..pipeline.preferences import put
from ..preference import parse_wish
from ..quiet_hours import QuietHours
from ..times import rfc3339
from .base import TenantView
from .pagination import link, page_of
from .parsers import ONE
from .problems import NOT_FOUND, Refused
from .query import PREFERENCE_PARAMETERS, check, check_names, parse_list


class PreferenceListView(TenantView):
    """`GET /preferences` and `PUT /preferences`"""

    scopes = {"get": KeyScope.READ, "put": KeyScope.MANAGE}
    reads_query = True

    def get(self, request: Request) -> Response:
        values = parse_list(self.query, PREFERENCE_PARAMETERS)
        rows = Preference.objects.filter(tenant=self.tenant)
        if "channel" in values:
            rows = rows.filter(channel=values["channel"])
        if "recipient" in values:
            folded = {row.fold(values["recipient"]) for row in CHANNELS.values()}
            rows = rows.filter(recipient__in=folded)
        page = page_of(rows, self.tenant, values)
        return Response(
            {
                "results": [_represent(row) for row in page.rows],
                "next": link(page.next, self.tenant, request, self.query),
                "previous": link(page.previous, self.tenant, request, self.query),
            }
        )

    def put(self, request: Request) -> Response:
        check(check_names(self.query, known=()))
        kept = put(self.tenant, parse_wish(self.json(ONE)))
        return Response(_represent(kept.preference), status=201 if kept.created else 200)


class PreferenceView(TenantView):
    """`DELETE /preferences/{id}`"""

    scopes = {"delete": KeyScope.MANAGE}

    def delete(self, request: Request, id: str) -> Response:
        row = Preference.objects.filter(tenant=self.tenant, pk=self._id(id))
        deleted, _ = row.delete()
        if not deleted:
            raise Refused(NOT_FOUND)
        return Response(status=204)


def _represent(row: Preference) -> dict[str, Any]:
    hours = row.quiet_hours
    return {
        "id": str(row.pk),
        "channel": row.channel,
        "recipient": row.recipient,
        "opt_outs": row.opt_outs,
        "quiet_hours": hours and _hours(hours),
        "created_at": rfc3339(row.created_at),
    }


def _hours(hours: QuietHours) -> dict[str, str]:
    return {
        "start": hours.start.isoformat("minutes"),
        "end": hours.end.isoformat("minutes"),
        "time_zone": hours.zone,
    }
