"""Suppressions as values: what one is, whom it holds, which of two is the stronger."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .addresses import AddressError
from .channels import CHANNELS
from .enums import Channel, SuppressionReason
from .exceptions import ContentError, FieldError
from .labels import Phrase, a_word, phrase
from .validation import SURROGATE_OR_NUL, parse_time, pointer_part

ERROR_CODE = "suppressed"
"""The error of a notification that is not sent for it."""

NOTE_MAX = 200
FIELDS = frozenset({"channel", "recipient", "reason", "note", "expires_at"})
FOREVER = datetime.max.replace(tzinfo=UTC)

Strength = tuple[datetime, bool]


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be put on a tenant's list; `recipient` is folded, None never expires."""

    channel: Channel
    recipient: str
    reason: SuppressionReason = SuppressionReason.MANUAL
    note: str = ""
    expires_at: datetime | None = None


def holds_for(reason: SuppressionReason, *, is_transactional: bool) -> bool:
    """Whether it keeps such a message back: who unsubscribes from news still gets the receipt."""
    return reason != SuppressionReason.UNSUBSCRIBE or not is_transactional


def strength(reason: str, expires_at: datetime | None) -> Strength:
    """Of two suppressions of a recipient the greater one stays: it lasts longer, or holds more."""
    return expires_at or FOREVER, reason != SuppressionReason.UNSUBSCRIBE


def detail_of(reason: SuppressionReason) -> Phrase:
    """The sentence for a notification that is not sent for it."""
    return phrase(
        "nothing is sent to this recipient; the reason is {reason}", reason=a_word(reason.value)
    )


def fold(channel: str, to: str) -> str:
    """The recipient as suppressions have it, of an address that was found valid."""
    return CHANNELS[Channel(channel)].fold(to)


def parse_entry(data: Mapping[str, Any], now: datetime) -> Entry | list[FieldError]:
    """The entry in `data`, or everything that is wrong with it."""
    parser = _Parser(data, now)
    entry = parser.parse()
    return parser.errors or entry


class _Parser:
    """Collects errors while it reads the fields one after the other."""

    def __init__(self, data: Mapping[str, Any], now: datetime) -> None:
        self.data = data
        self.now = now
        self.errors = [
            FieldError(f"/{pointer_part(name)}", "unknown_field", "is not a known field")
            for name in data
            if name not in FIELDS
        ]

    def parse(self) -> Entry:
        """Only to be used when there are no errors."""
        if "channel" not in self.data:
            self._error("channel", "required", "is required")
        channel = Channel(self._choice("channel", Channel.values, Channel.EMAIL))
        reason = self._choice("reason", SuppressionReason.values, SuppressionReason.MANUAL)
        recipient = self._recipient(channel)
        note, expires_at = self._note(), self._expires_at()
        return Entry(channel, recipient, SuppressionReason(reason), note, expires_at)

    def _choice(self, name: str, words: list[str], default: str) -> str:
        value = self.data.get(name, default)
        if value in words:
            return str(value)
        self._error(name, "invalid_choice", f"must be one of: {', '.join(words)}")
        return default

    def _recipient(self, channel: Channel) -> str:
        value = self._text("recipient")
        if not value and not any(error.pointer == "/recipient" for error in self.errors):
            self._error("recipient", "required", "is required")
        elif value and not any(error.pointer == "/channel" for error in self.errors):
            try:
                return fold(channel, CHANNELS[channel].parse_to(value))
            except AddressError as error:
                self._error("recipient", error.code, error.detail)
        return ""

    def _note(self) -> str:
        note = self._text("note")
        if len(note) > NOTE_MAX:
            self._error("note", "too_long", f"at most {NOTE_MAX} characters")
        return note

    def _expires_at(self) -> datetime | None:
        value = self.data.get("expires_at")
        if value is None:
            return None
        try:
            time = parse_time(value)
        except ContentError as error:
            self._error("expires_at", error.code, error.detail)
            return None
        if time <= self.now:
            self._error("expires_at", "already_expired", "is in the past")
        return time

    def _text(self, name: str) -> str:
        value = self.data.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            self._error(name, "invalid_type", "must be a string")
        elif SURROGATE_OR_NUL.search(value):
            self._error(name, "invalid_character", "holds a NUL or half of a surrogate pair")
        else:
            return value
        return ""

    def _error(self, name: str, code: str, detail: str) -> None:
        self.errors.append(FieldError(f"/{name}", code, detail))
