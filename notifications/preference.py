"""Preferences as values: what a recipient wants to have, and when."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from typing import Any

from .addresses import AddressError
from .channels import CHANNELS
from .enums import Channel
from .exceptions import ContentError, FieldError, InvalidNotification
from .labels import Phrase, phrase
from .quiet_hours import QuietHours, zones
from .validation import CHANNEL_OF, parse_category, parse_string, pointer_part

ERROR_CODE = "opted_out"
"""The error of a notification whose recipient does not want its category."""

OPT_OUTS_MAX = 100
FIELDS = frozenset({"channel", "recipient", "opt_outs", "quiet_hours"})
QUIET_FIELDS = frozenset({"start", "end", "time_zone"})
CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a recipient, folded, of a channel wants of a tenant."""

    channel: Channel
    recipient: str
    opt_outs: frozenset[str] = frozenset()
    quiet_hours: QuietHours | None = None


def detail_of(category: str) -> Phrase:
    """The sentence for a notification that is not sent for it."""
    return phrase("the recipient does not want {category}", category=category)


def parse_wish(data: Mapping[str, Any]) -> Wish:
    """The wish in `data`; raises InvalidNotification with all errors of all fields."""
    return _Parser(data).parse()


class _Parser:
    """Collects errors while it reads the fields one after the other."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.data = data
        self.errors: list[FieldError] = []

    def parse(self) -> Wish:
        self._refuse_unknown("", self.data, FIELDS)
        channel = self._channel()
        recipient = self._recipient(channel)
        opt_outs, quiet_hours = self._opt_outs(), self._quiet_hours()
        if self.errors or channel is None:
            raise InvalidNotification(self.errors)
        return Wish(channel, recipient, opt_outs, quiet_hours)

    def _channel(self) -> Channel | None:
        value = self.data.get("channel")
        if isinstance(value, str) and value in CHANNEL_OF:
            return CHANNEL_OF[value]
        if value is None:
            self._error("/channel", "required", "is required")
        else:
            self._error("/channel", "invalid_choice", f"must be one of: {', '.join(CHANNEL_OF)}")
        return None

    def _recipient(self, channel: Channel | None) -> str:
        value = self.data.get("recipient")
        if value is None:
            self._error("/recipient", "required", "is required")
            return ""
        try:
            text = parse_string(value)
            row = CHANNELS[channel] if channel else None
            return row.fold(row.parse_to(text)) if row else ""
        except (AddressError, ContentError) as error:
            self._error("/recipient", error.code, error.detail)
        return ""

    def _opt_outs(self) -> frozenset[str]:
        value = self.data.get("opt_outs")
        if value is None:
            return frozenset()
        if not isinstance(value, list) or len(value) > OPT_OUTS_MAX:
            detail = f"must be a list of at most {OPT_OUTS_MAX} categories"
            self._error("/opt_outs", "invalid_type", detail)
            return frozenset()
        return frozenset(
            self._read(f"/opt_outs/{n}", parse_category, item) for n, item in enumerate(value)
        )

    def _quiet_hours(self) -> QuietHours | None:
        value = self.data.get("quiet_hours")
        if value is None:
            return None
        if not isinstance(value, Mapping):
            self._error("/quiet_hours", "invalid_type", "must be an object, or null")
            return None
        self._refuse_unknown("/quiet_hours", value, QUIET_FIELDS)
        start, end, zone = (
            self._read(f"/quiet_hours/{name}", read, value.get(name))
            for name, read in (("start", _clock), ("end", _clock), ("time_zone", _zone))
        )
        if start is not None and start == end:
            detail = "must not be the start: to send nothing at all, suppress the recipient"
            self._error("/quiet_hours/end", "same_as_start", detail)
        return QuietHours(start, end, zone)

    def _read(self, pointer: str, read: Any, value: Any) -> Any:
        try:
            return read(value)
        except ContentError as error:
            self._error(pointer, error.code, error.detail)
        return None

    def _refuse_unknown(self, place: str, data: Mapping[str, Any], known: frozenset[str]) -> None:
        for name in data:
            if name not in known:
                pointer = f"{place}/{pointer_part(str(name))}"
                self._error(pointer, "unknown_field", "is not a known field")

    def _error(self, pointer: str, code: str, detail: str) -> None:
        self.errors.append(FieldError(pointer, code, detail))


def _clock(value: Any) -> time:
    if not isinstance(value, str) or not CLOCK.fullmatch(value):
        raise ContentError("invalid_time", "write hours and minutes: 22:00")
    return time.fromisoformat(value)


def _zone(value: Any) -> str:
    if not isinstance(value, str) or value not in zones():
        raise ContentError("unknown_zone", "write a time zone's name, such as Europe/Berlin")
    return value
