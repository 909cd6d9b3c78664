"""How values read in the admin: statuses, times, contents, the reason of a wait."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.timezone import localtime

from .. import preference, suppression
from ..addresses import SCHEME_AND_HOST
from ..enums import SuppressionReason
from ..labels import say, spoken, word
from ..models import Notification
from ..pipeline.explain import Waiting


def badge(status: str) -> SafeString:
    """The status as a coloured word; the word alone says everything the colour does."""
    return format_html(
        '<span class="notification-status notification-status-{}">{}</span>', status, word(status)
    )


def moment(when: datetime | None, timespec: str = "milliseconds") -> str:
    """To the millisecond: what happened first is often the question."""
    return localtime(when).replace(tzinfo=None).isoformat(" ", timespec) if when else ""


def short_id(id: UUID) -> SafeString:
    """The beginning (when) and the end (which one); the whole stands in its title."""
    text = str(id)
    return format_html(
        '<span class="notification-id" title="{}">{}…{}</span>', id, text[:8], text[-6:]
    )


def link_to_list(site: str, **lookups: Any) -> SafeString:
    """Leads to the notifications that the lookups find, in the admin site of this name."""
    address = reverse(f"{site}:notifications_notification_changelist")
    return format_html('<a href="{}?{}">{}</a>', address, urlencode(lookups), say("show them"))


def masked(recipient: str) -> str:
    """Enough of a recipient to recognise it, and not enough to write to it."""
    local, at, domain = recipient.rpartition("@")
    if at:
        return f"{local[:1]}…@{domain}"
    if host := SCHEME_AND_HOST.match(recipient):
        return f"{host[0]}/…"
    return f"{recipient[:5]}…{recipient[-2:]}"


def in_words(waiting: Waiting | None) -> str:
    """One sentence: why it has not gone yet, and until when."""
    if waiting is None:
        return say("nothing")
    if waiting.until is None:
        return str(spoken(waiting.detail))
    detail, time = spoken(waiting.detail), moment(waiting.until, "seconds")
    return say("{detail}, until {time}", detail=detail, time=time)


def error_in_words(notification: Notification) -> str:
    """What is said of its error: ours in the language of the reader, a provider's as it said it."""
    detail = notification.error_detail
    match notification.error_code:
        case suppression.ERROR_CODE:
            known = [suppression.detail_of(reason) for reason in SuppressionReason]
        case preference.ERROR_CODE:
            known = [preference.detail_of(notification.category)]
        case _:
            return str(word(detail)) if detail else ""
    return next((str(spoken(text)) for text in known if text == detail), detail)


def listed(values: Mapping[str, str]) -> SafeString:
    """Names with their values, one line each."""
    rows = format_html_join("", "<tr><th>{}</th><td>{}</td></tr>", values.items())
    return format_html('<table class="notification-times">{}</table>', rows)


def pretty(values: Mapping[str, Any]) -> SafeString:
    """Each key with its value: text as it reads, the rest as JSON; all of it escaped."""
    items = ((key, v if isinstance(v, str) else _json(v)) for key, v in values.items())
    rows = format_html_join("", "<dt>{}</dt><dd><pre>{}</pre></dd>", items)
    return format_html('<dl class="notification-content">{}</dl>', rows)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
