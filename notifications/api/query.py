"""What may stand behind the question mark; everything else is a 400, with all reasons at once."""

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.http import QueryDict

from ..enums import Channel, Priority, Status, SuppressionReason
from ..exceptions import FieldError
from ..idempotency import parse_key
from ..querysets import NotificationQuerySet
from ..validation import parse_template_name, parse_time, pointer_part
from .problems import Refused, invalid

PAGE_SIZE = 50
PAGE_SIZE_MAX = 250
TEXT_MAX = 2048
CURSOR_MAX = 200

Parameters = Mapping[str, Callable[[str], Any]]
"""What may be asked for, and how each of it is read."""

ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


def check_names(query: QueryDict, known: Collection[str]) -> list[FieldError]:
    """Errors for parameters nobody knows, and for those given twice."""
    unknown = [
        FieldError(f"/{pointer_part(name)}", "unknown_parameter", "is not a known parameter")
        for name in query
        if name not in known
    ]
    repeated = [
        FieldError(f"/{name}", "duplicate_parameter", "is given more than once")
        for name in known
        if len(query.getlist(name)) > 1
    ]
    return unknown + repeated


def check(errors: Collection[FieldError]) -> None:
    """Refuse the request when there are errors in its query."""
    if errors:
        raise Refused(invalid(list(errors), "invalid_query"))


def parse_list(query: QueryDict, known: Parameters) -> Mapping[str, Any]:
    """The parameters of the list, read; raises Refused with everything wrong with them."""
    errors = check_names(query, known)
    values: dict[str, Any] = {}
    for name, read in known.items():
        if name in query:
            try:
                values[name] = read(str(query[name]))
            except ValueError as error:
                errors.append(FieldError(f"/{name}", "invalid_value", str(error)))
    check(errors)
    return values


def filtered(rows: NotificationQuerySet, values: Mapping[str, Any]) -> NotificationQuerySet:
    """`rows` narrowed down by every filter in `values`."""
    if "status" in values:
        rows = rows.with_status(values["status"])
    return rows.filter(*(Q(**{LOOKUPS[name]: values[name]}) for name in values if name in LOOKUPS))


def parse_id(text: str) -> UUID:
    """The UUID in its usual form; Python alone takes braces, prefixes and more."""
    if not ID.fullmatch(text):
        raise ValueError("is no id")
    return UUID(text)


def _page_size(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3):
        raise ValueError(f"must be a number from 1 to {PAGE_SIZE_MAX}")
    size = int(text)
    if not 1 <= size <= PAGE_SIZE_MAX:
        raise ValueError(f"must be a number from 1 to {PAGE_SIZE_MAX}")
    return size


def _text(text: str) -> str:
    if len(text) > TEXT_MAX or not text.isprintable():
        raise ValueError(f"must be printable, {TEXT_MAX} characters at most")
    return text


def _cursor(text: str) -> str:
    if len(text) > CURSOR_MAX or not (text.isascii() and text.isprintable()):
        raise ValueError("is no cursor of this list")
    return text


def _choice(values: Mapping[str, Any]) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        if text not in values:
            raise ValueError(f"must be one of: {', '.join(values)}")
        return values[text]

    return read


def _time(text: str) -> datetime:
    # A plus sign that was not escaped arrives as a space.
    return parse_time(text.replace(" ", "+"))


PAGE_PARAMETERS: Parameters = {"page_size": _page_size, "cursor": _cursor}

LIST_PARAMETERS: Parameters = {
    "status": _choice({status.value: status for status in Status}),
    "channel": _choice({channel.value: channel for channel in Channel}),
    "priority": _choice({priority.label: priority for priority in Priority}),
    "to": _text,
    "batch": parse_id,
    "digest": parse_id,
    "template": parse_template_name,
    "idempotency_key": parse_key,
    "created_after": _time,
    "created_before": _time,
    **PAGE_PARAMETERS,
}

LOOKUPS = {
    "channel": "channel",
    "priority": "priority",
    "to": "to",
    "batch": "batch",
    "digest": "digest",
    "idempotency_key": "idempotency_key",
    "created_after": "created_at__gte",
    "created_before": "created_at__lt",
}
"""Filters that compare a column; `status` is a function of two, `template` is the view's."""

PREFERENCE_PARAMETERS: Parameters = {
    "channel": LIST_PARAMETERS["channel"],
    "recipient": _text,
    **PAGE_PARAMETERS,
}

SUPPRESSION_PARAMETERS: Parameters = {
    "channel": LIST_PARAMETERS["channel"],
    "recipient": _text,
    "reason": _choice({reason.value: reason for reason in SuppressionReason}),
    **PAGE_PARAMETERS,
}
