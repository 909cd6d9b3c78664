"""What a test says of notifications: that there is one, or none, such as this."""

import re
from typing import Any

from ..enums import Priority
from ..models import Notification

CONTENT = ("subject", "body", "html", "event", "payload")
SHOWN = 20


def assert_notified(
    channel: str | None = None, *, count: int | None = None, **fields: Any
) -> Notification:
    """There is a notification such as this; the newest of them.

    `fields` are those of `notify`, and `tenant` and `status`; each is a value to be equal to, or a
    compiled pattern to be found in it. With `count` there are exactly so many. It looks at what was
    accepted, delivered or not: `status="delivered"` asks for more.
    """
    there = _all()
    found = [row for row in there if _matches(row, channel, fields)]
    if not found or count not in (None, len(found)):
        wanted = "a notification" if count is None else f"{count} notifications"
        raise AssertionError(
            f"There should be {wanted} with {_wish(channel, fields)}; "
            f"there are {len(found)}, among these:\n{_listing(there)}"
        )
    return found[0]


def assert_not_notified(channel: str | None = None, **fields: Any) -> None:
    """There is no notification such as this; without arguments, none at all."""
    there = _all()
    found = [row for row in there if _matches(row, channel, fields)]
    if found:
        raise AssertionError(
            f"There should be no notification with {_wish(channel, fields)}; "
            f"there are {len(found)}:\n{_listing(found)}"
        )


def _all() -> list[Notification]:
    rows = Notification.objects.select_related("tenant", "template_version__template")
    return list(rows.order_by("-pk"))


def _matches(row: Notification, channel: str | None, fields: dict[str, Any]) -> bool:
    if channel is not None and row.channel != channel:
        return False
    return all(_agrees(wanted, _value(row, name)) for name, wanted in fields.items())


def _agrees(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, re.Pattern):
        return isinstance(found, str) and wanted.search(found) is not None
    return bool(wanted == found)


def _value(row: Notification, name: str) -> Any:
    if name in CONTENT:
        return row.content.get(name)
    match name:
        case "tenant":
            return row.tenant.name
        case "priority":
            return Priority(row.priority).label
        case "status":
            return row.status.value
        case "to" | "template" | "metadata" | "idempotency_key" | "send_at" | "expires_at":
            return getattr(row, name)
    raise TypeError(f"a notification has no field {name!r} to ask for")


def _wish(channel: str | None, fields: dict[str, Any]) -> str:
    wishes = {"channel": channel, **fields} if channel else fields
    return ", ".join(f"{name}={wanted!r}" for name, wanted in wishes.items()) or "anything"


def _listing(rows: list[Notification]) -> str:
    lines = [
        f"  {row.channel} to {row.to}, template {row.template}, "
        f"subject {row.content.get('subject')!r}: {row.status.value}"
        for row in rows[:SHOWN]
    ]
    if len(rows) > SHOWN:
        lines.append(f"  … and {len(rows) - SHOWN} more")
    return "\n".join(lines) or "  (none at all)"
