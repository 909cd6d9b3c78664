"""Hours in which a recipient is left alone, by the clock on the recipient's own wall."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Every day from `start` until before `end`, over midnight where `end` is the earlier one.

    Where the clock of `zone` skips or repeats a time, the reading counts that is quiet for longer.
    """

    start: time
    end: time
    zone: str

    def until(self, now: datetime) -> datetime | None:
        """When the hours end that `now`, an aware time, is in; None while there are none."""
        zone = _zone(self.zone)
        today = now.astimezone(zone).date()
        days = (today + timedelta(days=n) for n in (-1, 0, 1))
        ends = [end for start, end in (self._of(day, zone) for day in days) if start <= now < end]
        return max(ends, default=None)

    def _of(self, day: date, zone: Any) -> tuple[datetime, datetime]:
        last = day + timedelta(days=1) if self.end < self.start else day
        return _instant(min, day, self.start, zone), _instant(max, last, self.end, zone)


@cache
def zones() -> frozenset[str]:
    """The names of all time zones that this host knows."""
    return frozenset(available_timezones())


def _instant(
    choose: Callable[[Iterable[datetime]], datetime], day: date, at: time, zone: Any
) -> datetime:
    wall = datetime.combine(day, at, tzinfo=zone)
    return choose(wall.replace(fold=fold).astimezone(UTC) for fold in (0, 1))


@cache
def _zone(name: str) -> Any:
    """The zone; UTC for one that was stored by a host which knows more of them."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC
