"""The bytes that go with e-mails: attachments, and whole messages that are too large for their row.

They are in a table of their own, which costs what has none of them nothing: the content of a
notification tells whether there are any.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from ..messages import Attachment as File
from ..messages import Draft
from ..models import Attachment, Notification

INLINE_MAX = 32 * 1024
"""Up to so many bytes a whole message is in its row: they are read with it, without a query."""

Bytes = Mapping[UUID, Sequence[bytes]]


def content_of(draft: Draft) -> dict[str, Any]:
    """What is stored as the content of a notification."""
    content = dict(draft.content)
    if draft.mime:
        content |= {"size": len(draft.mime), "mime": _inline(draft.mime)}
    return content


def of_draft(draft: Draft) -> list[bytes]:
    """What is to be stored beside its row."""
    if draft.mime and _inline(draft.mime) is None:
        return [draft.mime]
    return [file.data for file in draft.attachments]


def store(stored: Iterable[tuple[UUID, Draft]]) -> None:
    """Write down what belongs to new notifications; in their transaction."""
    rows = [
        Attachment(notification_id=id, position=position, data=data)
        for id, draft in stored
        if draft.attachments or draft.mime
        for position, data in enumerate(of_draft(draft))
    ]
    if rows:
        Attachment.objects.bulk_create(rows, batch_size=ROWS_AT_ONCE)


def read(rows: Sequence[Notification]) -> Bytes:
    """The bytes that belong to `rows`, in one query; none at all where none has any."""
    having = [row.pk for row in rows if _has_bytes(row.content)]
    found: dict[UUID, list[bytes]] = defaultdict(list)
    if having:
        stored = Attachment.objects.filter(notification__in=having).order_by("position")
        for id, data in stored.values_list("notification_id", "data"):
            found[id].append(bytes(data))
    return found


def mime_of(content: Mapping[str, Any], stored: Sequence[bytes]) -> bytes:
    """The whole message of a notification that has one; nothing where its bytes are missing."""
    if "mime" not in content:
        return b""
    text = content["mime"]
    return text.encode() if text is not None else b"".join(stored)


def attachments_of(content: Mapping[str, Any], stored: Sequence[bytes]) -> tuple[File, ...]:
    """The attachments of a notification, as far as there are bytes for them."""
    return tuple(
        File(told["filename"], told["content_type"], data, told.get("content_id", ""))
        for told, data in zip(content.get("attachments", ()), stored, strict=False)
    )


ROWS_AT_ONCE = 20


def _has_bytes(content: Mapping[str, Any]) -> bool:
    return "attachments" in content or content.get("mime", "") is None


def _inline(mime: bytes) -> str | None:
    """A whole message as text, where it is small and nothing of it would be lost."""
    if len(mime) > INLINE_MAX or b"\0" in mime:
        return None
    try:
        return mime.decode()
    except UnicodeDecodeError:
        return None
