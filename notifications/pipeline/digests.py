"""Digests are closed when their time has come: what they have gathered becomes one notification.

It is stored in the transaction that closes the digest and ends its members, so that a crash repeats
none and loses none. Any number of processes may close at once: each takes what no other holds.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from typing import Any
from uuid import UUID

from ..channels import CHANNELS
from ..enums import Channel, Priority, Status
from ..exceptions import InvalidNotification
from ..messages import Draft
from ..models import Digest, Notification, Tenant
from . import database
from .accept import Accepted, accept_many
from .told import Settled, tell_settled

logger = logging.getLogger(__name__)

ROUND_DIGESTS = 50
ROUND_MEMBERS = 1000
"""How much one transaction closes at most."""

ROUNDS = 10
"""How many of them there are in one go, so that a worker also gets to the rest of its work."""

Members = Mapping[Digest, Sequence[Notification]]


def close_due() -> bool:
    """Close the digests whose time has come; whether there may be more of them."""
    return all(_close_round() for _ in range(ROUNDS))


def _close_round() -> bool:
    if not Digest.objects.due().exists():
        return False
    with database.atomic():
        digests = _take()
        members = _members(digests)
        sent = _send({d: rows for d, rows in members.items() if len(rows) > 1})
        gathered = [row for digest in sent for row in members[digest]]
        alone = [row for d, rows in members.items() if d not in sent for row in rows]
        Notification.objects.digest([row.pk for row in gathered])
        Notification.objects.disband([row.pk for row in alone])
        _close(digests, sent)
        database.on_commit(lambda: _tell(gathered))
    return bool(digests)


def _take() -> list[Digest]:
    """Some of those that are due, locked; the first of them, however large it is."""
    due = Digest.objects.due().order_by("closes_at").lock(wait=False)
    taken: list[Digest] = []
    for digest in due[:ROUND_DIGESTS]:
        if taken and sum(d.count for d in taken) + digest.count > ROUND_MEMBERS:
            break
        taken.append(digest)
    return taken


def _members(digests: Sequence[Digest]) -> Members:
    """What is still to be sent of each; locked, so that none is cancelled meanwhile."""
    found: dict[UUID, list[Notification]] = defaultdict(list)
    for row in Notification.objects.gathered_in([d.pk for d in digests]).lock_in_order():
        if row.digest_id is not None:
            found[row.digest_id].append(row)
    return {digest: found[digest.pk] for digest in digests}


def _send(members: Members) -> Mapping[Digest, Notification]:
    """Accept a notification for each digest; those are missing whose template cannot say it."""
    by_tenant: dict[int, list[Digest]] = defaultdict(list)
    for digest in members:
        by_tenant[digest.tenant_id].append(digest)
    tenants = Tenant.objects.in_bulk(list(by_tenant))
    sent: dict[Digest, Notification] = {}
    for id in sorted(by_tenant):
        drafts = [_draft(digest, members[digest]) for digest in by_tenant[id]]
        answers = accept_many(tenants[id], drafts)
        for digest, answer in zip(by_tenant[id], answers, strict=True):
            if isinstance(answer, Accepted):
                sent[digest] = answer.notification
            elif isinstance(answer, InvalidNotification):
                codes = ", ".join(error.code for error in answer.errors)
                logger.warning("digest %s is sent one by one: %s", digest.pk, codes)
            else:
                raise answer
    return sent


def _draft(digest: Digest, rows: Sequence[Notification]) -> Draft:
    extras = CHANNELS[Channel(digest.channel)].extras
    return Draft(
        channel=Channel(digest.channel),
        to=rows[0].to,
        content={name: value for name, value in rows[0].content.items() if name in extras},
        priority=Priority(min(row.priority for row in rows)),
        idempotency_key=f"digest:{digest.pk}",
        template=digest.template,
        context={"count": len(rows), "items": [_item(row) for row in rows]},
        digest_id=digest.pk,
    )


def _item(row: Notification) -> dict[str, Any]:
    parts = CHANNELS[Channel(row.channel)].parts
    said = {name: text for name, text in row.content.items() if name in parts}
    created_at = row.created_at.astimezone(UTC).isoformat()
    return {**said, "metadata": row.metadata, "created_at": created_at}


def _close(digests: Sequence[Digest], sent: Mapping[Digest, Notification]) -> None:
    now = database.now()
    for digest in digests:
        digest.is_open, digest.closed_at, digest.notification = False, now, sent.get(digest)
    Digest.objects.bulk_update(digests, ["is_open", "closed_at", "notification"])


def _tell(rows: Iterable[Notification]) -> None:
    tell_settled(Settled(row.pk, Channel(row.channel), Status.DIGESTED) for row in rows)
