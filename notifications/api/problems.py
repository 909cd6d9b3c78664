"""Every answer that is not the wished-for one: RFC 9457 problems, from errors to bytes.

A problem never repeats a value of the request: it points at it. Whatever is unexpected is logged
by its type and place alone, because messages and frames may hold recipients and content.
"""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from django.http.request import UnreadablePostError
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.request import Request
from rest_framework.views import set_rollback

from ..discretion import describe
from ..exceptions import (
    Busy,
    FieldError,
    IdempotencyConflict,
    InvalidNotification,
    NotPossible,
    TenantUnavailable,
)

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
REQUEST_ID_HEADER = "X-Request-ID"
SAFE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)

DATABASE_RETRY_SECONDS = 5
BUSY_RETRY_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """What is told to the client; `code` is for programs, `detail` for people."""

    status: int
    code: str
    detail: str
    errors: tuple[FieldError, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self, request_id: str) -> dict[str, Any]:
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "errors": [error.as_dict() for error in self.errors],
            "request_id": request_id,
        }


class Refused(Exception):
    """Raised by a view, a parser or the authentication: answer with this problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.code)
        self.problem = problem


UNAUTHENTICATED = Problem(
    401,
    "unauthenticated",
    "Show a valid API key: Authorization: Bearer nk_…",
    headers={"WWW-Authenticate": "Bearer"},
)
NOT_FOUND = Problem(404, "not_found", "There is nothing here.")
BAD_REQUEST = Problem(400, "bad_request", "The request cannot be understood.")
BODY_TOO_LARGE = Problem(413, "body_too_large", "The body is larger than any that is taken.")
FORBIDDEN = Problem(403, "forbidden", "This is not allowed.")
TENANT_DISABLED = Problem(403, "tenant_disabled", "The tenant of this key is disabled.")
SERVER_ERROR = Problem(500, "internal_error", "Something went wrong on our side.")
DATABASE_UNAVAILABLE = Problem(
    503,
    "database_unavailable",
    "The database cannot be reached; nothing was stored.",
    headers={"Retry-After": str(DATABASE_RETRY_SECONDS)},
)


def invalid(errors: Sequence[FieldError], code: str = "invalid_request") -> Problem:
    """A 400 that lists everything wrong with the request."""
    return Problem(400, code, "The request is not valid; see errors.", tuple(errors))


def insufficient(scope: str) -> Problem:
    """A 403 for a key that was not made for this."""
    return Problem(
        403,
        "insufficient_scope",
        f'This key has not the scope "{scope}". Use one that has it; a new one is made in the '
        f"admin, or by: manage.py create_api_key TENANT --scopes {scope}",
        headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
    )


def refused_by_server(status: int) -> tuple[int, str, bytes]:
    """What a server refuses before there is a request: status, id, body.

    It is always the request's fault: what a server cannot do, such as a strange
    Transfer-Encoding, is a 400 too.
    """
    problem = BODY_TOO_LARGE if status == BODY_TOO_LARGE.status else BAD_REQUEST
    id = str(uuid4())
    return problem.status, id, json.dumps(problem.as_dict(id)).encode()


def handle(error: Exception, context: Mapping[str, Any]) -> JsonResponse:
    """The exception handler of our views: any error becomes a problem."""
    set_rollback()
    problem = problem_of(error)
    request: Request = context["request"]
    if problem is SERVER_ERROR:
        _log_unexpected(error, request)
    return answer(problem, request)


def answer(problem: Problem, request: Request | HttpRequest) -> JsonResponse:
    """The problem as a response to `request`."""
    id = request_id_of(request)
    response = JsonResponse(problem.as_dict(id), status=problem.status, content_type=MEDIA_TYPE)
    for name, value in problem.headers.items():
        response[name] = value
    response[REQUEST_ID_HEADER] = id
    return response


def problem_of(error: Exception) -> Problem:
    """What the client is told about `error`."""
    match error:
        case Refused():
            return error.problem
        case InvalidNotification():
            return invalid(error.errors)
        case IdempotencyConflict():
            detail = "This idempotency key was used before, with other content."
            pointed = FieldError("/idempotency_key", "idempotency_key_reused", detail)
            return Problem(422, "idempotency_key_reused", detail, (pointed,))
        case Busy():
            detail = "Another request with this idempotency key is being stored; try again."
            return Problem(409, "busy", detail, headers=_retry_after(BUSY_RETRY_SECONDS))
        case NotPossible():
            return Problem(409, "not_possible", str(error))
        case TenantUnavailable():
            return TENANT_DISABLED
        case _:
            return _problem_of_framework(error)


def request_id_of(request: Request | HttpRequest) -> str:
    """The id of this request: the client's own where it is safe to repeat, otherwise a new one."""
    http = request._request if isinstance(request, Request) else request
    id: str | None = getattr(http, "notifications_request_id", None)
    if id is None:
        given = http.headers.get(REQUEST_ID_HEADER, "")
        id = given if SAFE_REQUEST_ID.fullmatch(given) else str(uuid4())
        http.notifications_request_id = id  # type: ignore[attr-defined]  # our own
    return id


def _problem_of_framework(error: Exception) -> Problem:
    match error:
        case Http404():
            return NOT_FOUND
        case MethodNotAllowed():
            return Problem(405, "method_not_allowed", "See the Allow header for what is possible.")
        case PermissionDenied():
            return FORBIDDEN
        case SuspiciousOperation() | UnreadablePostError():
            return BAD_REQUEST
        case OperationalError() | InterfaceError():
            return DATABASE_UNAVAILABLE
        case _:
            return SERVER_ERROR


def _retry_after(seconds: int) -> dict[str, str]:
    return {"Retry-After": str(seconds)}


def _log_unexpected(error: Exception, request: Request) -> None:
    logger.error("unexpected %s (request %s)", describe(error), request_id_of(request))
