"""What was put off is written down, in the transaction that puts it off, for who asks afterwards.

Everything that is to be told stands in the rows themselves by then: one statement copies it.
"""

from collections.abc import Collection
from typing import Any
from uuid import UUID

from django.db import models
from django.db.models import Exists, OuterRef, QuerySet, Value
from django.db.models.functions import Now

from .. import prepared
from ..columns import Among, Column, InState, Slot
from ..enums import WaitReason
from ..labels import Phrase, phrase
from ..lifecycle import WAITING
from ..models import Notification, Wait
from . import database, scopes

MOST = 20
"""How many different ones of a notification are kept; those go on counting, no other is added."""

INTO = prepared.Target(
    Wait,
    ("notification", "after_attempt", "reason", "scope", "since", "last_at", "until", "count"),
    unique_fields=("notification", "after_attempt", "reason", "scope"),
    update_fields=("last_at", "until"),
    counter="count",
)


def record(ids: Collection[UUID], token: UUID) -> int:
    """Write down those of `ids` that the holder of `token` has put off; call in its transaction."""
    values = {"id": list(ids), "token": token}
    return prepared.insert_found(database.alias(), "waits", values, len(ids), _build, into=INTO)


def in_words(wait: Wait) -> Phrase:
    """Why it was put off, as half a sentence."""
    what, is_limit = scopes.in_words(wait.scope), wait.scope.count(":") > 1
    match wait.reason:
        case WaitReason.QUIET_HOURS:
            return phrase("its recipient had quiet hours")
        case WaitReason.CIRCUIT_OPEN if wait.scope.startswith("endpoint:"):
            return phrase("its endpoint failed, or its secret could not be read")
        case WaitReason.CIRCUIT_OPEN:
            return phrase("the circuit of {what} was open", what=what)
        case WaitReason.RATE_LIMIT if is_limit:
            return phrase("the limit {what} was used up", what=what)
        case WaitReason.RATE_LIMIT:
            return phrase("{what} refused to be sent so much so fast", what=what)
        case WaitReason.PAUSED if wait.scope.startswith("tenant:"):
            return phrase("{what} was paused or switched off", what=what)
        case WaitReason.PAUSED:
            return phrase("{what} was paused", what=what)
    return what


def _build(count: int) -> "QuerySet[Notification, Any]":
    known = Wait.objects.filter(notification=OuterRef("pk"))
    again = known.filter(
        after_attempt=OuterRef("attempt_count"),
        reason=OuterRef("wait_reason"),
        scope=OuterRef("wait_scope"),
    )
    put_off = Notification.objects.using(database.alias()).filter(
        Among(Column("id", models.UUIDField(), count)),
        InState(WAITING),
        ~Exists(known[MOST - 1 : MOST]) | Exists(again),
        lease_token=Slot("token", models.UUIDField()),
        lease_until__isnull=True,
    )
    return put_off.values_list(
        "pk", "attempt_count", "wait_reason", "wait_scope", Now(), Now(), "due_at", Value(1)
    )
