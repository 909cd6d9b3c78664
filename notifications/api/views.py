"""The endpoints of a tenant: parse, call one function, answer."""

from collections.abc import Collection, Mapping
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from ..enums import KeyScope, Status
from ..exceptions import FieldError, InvalidNotification
from ..idempotency import digest, parse_key
from ..messages import Draft
from ..models import Tenant
from ..pipeline import control
from ..pipeline.accept import accept_batch, accept_one
from ..pipeline.rehearse import rehearse
from ..senders import parse_senders
from ..validation import parse_notification, pointer_part
from . import rehearsals
from .base import TenantView, View
from .pagination import link, page_of
from .parsers import BATCH, ONE, read_optional_json
from .problems import NOT_FOUND, Refused, invalid
from .query import LIST_PARAMETERS, filtered, parse_list
from .representation import (
    represent,
    represent_batch,
    represent_batch_answer,
    represent_detail,
)

BATCH_MAX = 1000
REPLAYED = {"Idempotent-Replayed": "true"}


class NotifyView(TenantView):
    """`POST /notify`"""

    scopes = {"post": KeyScope.NOTIFY}
    reads_query = True

    def post(self, request: Request) -> Response:
        values = parse_list(self.query, rehearsals.PARAMETERS) if self.query else {}
        data = self.json(ONE)
        key = request.headers.get("Idempotency-Key")
        draft = _draft(data, key, _senders(self.tenant))
        if values.get("dry_run"):
            found = rehearse(self.tenant, draft)
            return Response(rehearsals.represent_rehearsal(found, request))
        accepted = accept_one(self.tenant, draft)
        body = represent(accepted.notification, request)
        return _accepted(body, accepted.replayed)


class NotifyBatchView(TenantView):
    """`POST /notify/batch`"""

    scopes = {"post": KeyScope.NOTIFY}

    def post(self, request: Request) -> Response:
        key = _header_key(request.headers.get("Idempotency-Key"))
        items, senders = _items(self.json(BATCH)), _senders(self.tenant)
        answer = accept_batch(
            self.tenant,
            [_draft_or_errors(item, senders) for item in items],
            idempotency_key=key,
            fingerprint=digest(items) if key else "",
        )
        body = represent_batch_answer(answer, request)
        return _accepted(body, answer.replayed)


class NotificationListView(TenantView):
    """`GET /notifications`"""

    scopes = {"get": KeyScope.READ}
    reads_query = True

    def get(self, request: Request) -> Response:
        values = parse_list(self.query, LIST_PARAMETERS)
        rows = filtered(self.notifications.with_template(), values)
        if "template" in values:
            rows = rows.of_template(self.tenant, values["template"])
        page = page_of(rows, self.tenant, values)
        return Response(
            {
                "results": [represent(row, request) for row in page.rows],
                "next": link(page.next, self.tenant, request, self.query),
                "previous": link(page.previous, self.tenant, request, self.query),
            }
        )


class NotificationView(TenantView):
    """`GET /notifications/{id}`"""

    scopes = {"get": KeyScope.READ}

    def get(self, request: Request, id: str) -> Response:
        return Response(represent_detail(self.notification(id), request))


class CancelView(TenantView):
    """`POST /notifications/{id}/cancel`"""

    scopes = {"post": KeyScope.NOTIFY}

    def post(self, request: Request, id: str) -> Response:
        refuse_fields(read_optional_json(request._request))
        notification = control.cancel(self.notification(id))
        body = represent(notification, request)
        if notification.status == Status.CANCELLED:
            return Response(body)
        return Response({**body, "cancel_requested": True}, status=202)


class RetryView(TenantView):
    """`POST /notifications/{id}/retry`"""

    scopes = {"post": KeyScope.NOTIFY}

    def post(self, request: Request, id: str) -> Response:
        risk = _accepts_risk(read_optional_json(request._request))
        notification = control.retry(self.notification(id), accept_duplicate_risk=risk)
        body = represent(notification, request)
        return Response(body, status=202, headers={"Location": body["url"]})


class BatchView(TenantView):
    """`GET /batches/{id}`"""

    scopes = {"get": KeyScope.READ}

    def get(self, request: Request, id: str) -> Response:
        return Response(represent_batch(self.batch(id), request))


class CancelBatchView(TenantView):
    """`POST /batches/{id}/cancel`"""

    scopes = {"post": KeyScope.NOTIFY}

    def post(self, request: Request, id: str) -> Response:
        refuse_fields(read_optional_json(request._request))
        batch = self.batch(id)
        cancelled = control.cancel_batch(batch)
        return Response({**represent_batch(batch, request), "cancelled": cancelled})


class NothingView(View):
    """Whatever else is asked for below our paths: a problem, not a project's page."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise Refused(NOT_FOUND)


def _accepted(body: Mapping[str, Any], replayed: bool) -> Response:
    location = {"Location": body["url"]}
    if replayed:
        return Response(body, headers=REPLAYED | location)
    return Response(body, status=202, headers=location)


def _senders(tenant: Tenant) -> Collection[str]:
    return parse_senders(tenant.senders) if tenant.senders else ()


def _draft(data: dict[str, Any], header: str | None, senders: Collection[str]) -> Draft:
    """The draft of a body and its `Idempotency-Key` header, which say the key between them."""
    errors: list[FieldError] = []
    if header is not None:
        data, errors = _with_key(data, header)
    try:
        draft = parse_notification(data, senders=senders)
    except InvalidNotification as error:
        raise InvalidNotification([*error.errors, *errors]) from error
    if errors:
        raise InvalidNotification(errors)
    return draft


def _with_key(data: dict[str, Any], header: str) -> tuple[dict[str, Any], list[FieldError]]:
    try:
        key = parse_key(header)
    except ValueError as error:
        return data, [_key_error("invalid_key", f"the Idempotency-Key header: {error}")]
    given = data.get("idempotency_key")
    if given is None or given == key:
        return {**data, "idempotency_key": key}, []
    differs = "is not the same as the Idempotency-Key header"
    return data, [_key_error("conflicting_keys", differs)]


def _header_key(header: str | None) -> str | None:
    try:
        return header if header is None else parse_key(header)
    except ValueError as error:
        detail = f"the Idempotency-Key header: {error}"
        raise InvalidNotification([_key_error("invalid_key", detail)]) from error


def _key_error(code: str, detail: str) -> FieldError:
    return FieldError("/idempotency_key", code, detail)


def _items(data: Mapping[str, Any]) -> list[Any]:
    errors = _unknown_fields(data, {"notifications"})
    items = data.get("notifications")
    if not isinstance(items, list):
        errors.append(FieldError("/notifications", "invalid_type", "must be a list"))
    elif not 1 <= len(items) <= BATCH_MAX:
        detail = f"must hold 1 to {BATCH_MAX:,} notifications"
        errors.append(FieldError("/notifications", "invalid_length", detail))
    if errors or not isinstance(items, list):
        raise Refused(invalid(errors))
    return items


def _draft_or_errors(item: Any, senders: Collection[str]) -> Draft | InvalidNotification:
    try:
        return parse_notification(item, senders=senders)
    except InvalidNotification as error:
        return error


def _accepts_risk(data: Mapping[str, Any]) -> bool:
    errors = _unknown_fields(data, {"accept_duplicate_risk"})
    risk = data.get("accept_duplicate_risk", False)
    if not isinstance(risk, bool):
        detail = "must be true or false"
        errors.append(FieldError("/accept_duplicate_risk", "invalid_type", detail))
    if errors:
        raise Refused(invalid(errors))
    return bool(risk)


def refuse_fields(data: Mapping[str, Any], known: Collection[str] = ()) -> None:
    """Refuse whatever is in the body that is not known."""
    errors = _unknown_fields(data, known)
    if errors:
        raise Refused(invalid(errors))


def _unknown_fields(data: Mapping[str, Any], known: Collection[str]) -> list[FieldError]:
    return [
        FieldError(f"/{pointer_part(name)}", "unknown_field", "is not a known field")
        for name in data
        if name not in known
    ]
