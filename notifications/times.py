"""How times are written for other programs."""

from datetime import UTC, datetime


def rfc3339(time: datetime | None) -> str | None:
    """The time in UTC, such as 2030-01-31T08:00:00.123456Z; None without one."""
    return None if time is None else time.astimezone(UTC).isoformat().replace("+00:00", "Z")
