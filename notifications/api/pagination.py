"""Pages by position: newest first, at the same price however deep, unmoved by what is added.

A cursor names the row a page starts behind, and is signed for its tenant: it opens
nothing, and one of another tenant is as good as made up.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.core.signing import BadSignature, Signer
from django.db.models import QuerySet
from django.http import QueryDict
from rest_framework.request import Request

from ..exceptions import FieldError
from ..models import Tenant
from .problems import Refused, invalid
from .query import PAGE_SIZE


class Direction(StrEnum):
    OLDER = "o"
    NEWER = "n"


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the list, and which way to go from there."""

    direction: Direction
    id: UUID


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of the list with the cursors of its neighbours; None at either end."""

    rows: Sequence[Any]
    next: Cursor | None
    previous: Cursor | None


def page_of(rows: QuerySet[Any], tenant: Tenant, values: Mapping[str, Any]) -> Page:
    """The page that `values` (cursor, page_size) asks for."""
    size: int = values.get("page_size", PAGE_SIZE)
    cursor = _unsign(values["cursor"], tenant) if "cursor" in values else None
    if cursor and cursor.direction is Direction.NEWER:
        return _newer(rows, cursor, size)
    return _older(rows, cursor, size)


def link(cursor: Cursor | None, tenant: Tenant, request: Request, query: QueryDict) -> str | None:
    """The absolute URL of the page behind `cursor`, with the filters of this one."""
    if cursor is None:
        return None
    query = query.copy()
    query["cursor"] = _signer(tenant).sign(f"{cursor.direction}{cursor.id.hex}")
    return f"{request.build_absolute_uri(request.path)}?{query.urlencode()}"


def _older(rows: QuerySet[Any], cursor: Cursor | None, size: int) -> Page:
    if cursor:
        rows = rows.filter(pk__lt=cursor.id)
    found = list(rows.order_by("-pk")[: size + 1])
    page, more = found[:size], len(found) > size
    return Page(
        page,
        next=Cursor(Direction.OLDER, page[-1].pk) if more else None,
        previous=Cursor(Direction.NEWER, page[0].pk) if cursor and page else None,
    )


def _newer(rows: QuerySet[Any], cursor: Cursor, size: int) -> Page:
    found = list(rows.filter(pk__gt=cursor.id).order_by("pk")[: size + 1])
    page, more = found[:size][::-1], len(found) > size
    return Page(
        page,
        next=Cursor(Direction.OLDER, page[-1].pk) if page else None,
        previous=Cursor(Direction.NEWER, page[0].pk) if more else None,
    )


def _signer(tenant: Tenant) -> Signer:
    return Signer(salt=f"notifications.cursor.{tenant.pk}")


def _unsign(text: str, tenant: Tenant) -> Cursor:
    try:
        value = _signer(tenant).unsign(text)
    except BadSignature as error:
        wrong = FieldError("/cursor", "invalid_value", "is no cursor of this list")
        raise Refused(invalid([wrong], "invalid_query")) from error
    return Cursor(Direction(value[0]), UUID(value[1:]))
