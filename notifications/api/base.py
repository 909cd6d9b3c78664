"""What all our views have in common, whatever a project has set for its own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeVar, cast

from django.db import connections, transaction
from django.http import HttpRequest, QueryDict
from django.http.response import HttpResponseBase
from rest_framework.authentication import BaseAuthentication
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from ..context import Origin, within
from ..enums import KeyScope
from ..models import APIKey, Batch, Notification, Tenant
from ..querysets import NotificationQuerySet
from .authentication import KeyAuthentication, Principal
from .parsers import Limits, read_json
from .problems import (
    NOT_FOUND,
    REQUEST_ID_HEADER,
    Refused,
    handle,
    insufficient,
    request_id_of,
)
from .query import check, check_names, parse_id
from .request_limit import count_request

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class OnlyJSON(BaseContentNegotiation):
    """Answers in JSON whatever `Accept` says: there is nothing else, and no reason to refuse."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return None

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


def outside_of_transactions(view: Callable[P, R]) -> Callable[P, R]:
    """For `view`, ATOMIC_REQUESTS does not hold, on whatever database the notifications live."""
    for alias in connections:
        view = transaction.non_atomic_requests(alias)(view)
    return view


class View(APIView):
    """A view of this package: open to all, answering in JSON and in problems."""

    http_method_names = ["get", "head", "post", "put", "patch", "delete"]
    authentication_classes: Sequence[type[BaseAuthentication]] = ()
    permission_classes = ()
    throttle_classes = ()
    parser_classes = ()
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = OnlyJSON
    versioning_class = None
    metadata_class = None

    # Accepting commits before it answers: it must not wait for ATOMIC_REQUESTS to do so.
    @outside_of_transactions
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        origin = Origin(request_id_of(request), request.headers.get("traceparent", ""))
        with within(origin):
            return super().dispatch(request, *args, **kwargs)

    def get_exception_handler(self) -> Any:
        return handle

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # A Host that is not allowed is refused before anything is stored, not while linking to it.
        request.get_host()
        super().initial(request, *args, **kwargs)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        response[REQUEST_ID_HEADER] = request_id_of(request)
        response.setdefault("Cache-Control", "no-store")
        return response

    @property
    def query(self) -> QueryDict:
        """The parameters, in UTF-8 whatever charset the client has declared for its body."""
        return QueryDict(self.request.META.get("QUERY_STRING", ""), encoding="utf-8")


class TenantView(View):
    """A view of one tenant's things; what is another's is not there."""

    authentication_classes = (KeyAuthentication,)
    scopes: Mapping[str, KeyScope] = {}
    """What a key must be made for, by method; one that is not named is refused to every key."""

    reads_query = False
    """Whether the view judges the query itself; for all others any parameter is a mistake."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        count_request(self.tenant)
        self._check_scope(request)
        if not self.reads_query:
            check(check_names(self.query, known=()))

    def _check_scope(self, request: Request) -> None:
        method = "get" if request.method == "HEAD" else str(request.method).lower()
        if method not in self.http_method_names or not hasattr(self, method):
            return  # a 405
        scope = self.scopes.get(method, "")
        if scope not in cast(APIKey, request.auth).scopes:
            raise Refused(insufficient(scope))

    @property
    def tenant(self) -> Tenant:
        return cast(Principal, self.request.user).tenant

    @property
    def notifications(self) -> NotificationQuerySet:
        return Notification.objects.filter(tenant=self.tenant)

    def notification(self, id: str) -> Notification:
        found = self.notifications.with_template().select_related("tenant").filter(pk=self._id(id))
        return self._found(found.first())

    def batch(self, id: str) -> Batch:
        return self._found(Batch.objects.filter(tenant=self.tenant, pk=self._id(id)).first())

    def json(self, limits: Limits) -> dict[str, Any]:
        return read_json(self.request._request, limits)

    def _id(self, text: str) -> Any:
        try:
            return parse_id(text)
        except ValueError as error:
            raise Refused(NOT_FOUND) from error

    def _found(self, row: T | None) -> T:
        if row is None:
            raise Refused(NOT_FOUND)
        return row
