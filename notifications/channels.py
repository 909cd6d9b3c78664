"""One row for each channel: all in which the channels differ."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from .addresses import (
    UNSAFE_TEXT,
    fold_email,
    fold_phone,
    fold_url,
    parse_email,
    parse_phone,
    parse_url,
)
from .email_content import (
    parse_attachments,
    parse_copies,
    parse_headers,
    parse_mailbox,
    parse_reply_to,
)
from .enums import Channel, SuppressionReason
from .exceptions import ContentError
from .rendering import Part
from .segments import count_segments

SUBJECT_MAX = 998
SMS_MAX = 1600
SEGMENTS_MAX = 10
EVENT_MAX = 100


@dataclass(frozen=True, slots=True)
class ContentField:
    """A key of a channel's content; `check` returns the value to store or raises ContentError.

    With a `part`, a template can have it; `check_rendered` judges what became of one.
    """

    check: Callable[[Any], Any]
    required: bool = False
    part: Part | None = None
    check_rendered: Callable[[Any], Any] | None = None


@dataclass(frozen=True, slots=True)
class ChannelRow:
    """What makes a channel: its address and its content.

    `fold` makes the same text of all addresses that `parse_to` returns for one recipient;
    `opt_out` is what a recipient means who has told the provider to stop.
    """

    channel: Channel
    parse_to: Callable[[str], str]
    fold: Callable[[str], str]
    opt_out: SuppressionReason
    content: Mapping[str, ContentField]
    one_of: tuple[str, ...] = ()
    address_of: Callable[[Any], str | None] | None = None
    """Where an object of the project has its address, unless RECIPIENT says it."""
    signed: bool = False
    """Whether its recipients are endpoints, with secrets to sign with."""

    @property
    def extras(self) -> Mapping[str, ContentField]:
        """What can be given beside a template; nothing, where it takes none."""
        own = {name: field for name, field in self.content.items() if not field.part}
        return own if self.parts else {}

    @property
    def parts(self) -> Mapping[str, Part]:
        """What a template of this channel consists of; nothing, where it takes none."""
        return {name: field.part for name, field in self.content.items() if field.part}

    def check_rendered(self, content: Mapping[str, str]) -> None:
        """Raise ContentError for what a template came to and cannot be sent."""
        for name, text in content.items():
            field = self.content[name]
            try:
                (field.check_rendered or field.check)(text)
            except ContentError as error:
                detail = f"with this context, the {name} {error.detail}"
                raise ContentError(error.code, detail) from error


def email_of(user: Any) -> str | None:
    """The e-mail address of a user of any model, or of whatever else has an `email`."""
    name = user.get_email_field_name() if hasattr(user, "get_email_field_name") else "email"
    return getattr(user, name, None)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ContentError("invalid_type", "must be a string")
    if not value:
        raise ContentError("blank", "must not be empty")
    return value


def _header(value: Any) -> str:
    text = _text(value)
    if len(text) > SUBJECT_MAX:
        raise ContentError("too_long", f"at most {SUBJECT_MAX} characters")
    if UNSAFE_TEXT.search(text):
        raise ContentError("control_character", "must be one line without control characters")
    return text


def _sms_body(value: Any) -> str:
    text = _text(value)
    if len(text) > SMS_MAX:
        raise ContentError("too_long", f"at most {SMS_MAX:,} characters")
    return text


def _rendered_sms(value: Any) -> str:
    text = _sms_body(value)
    count = count_segments(text).count
    if count > SEGMENTS_MAX:
        raise ContentError("too_long", f"takes {count} segments, of at most {SEGMENTS_MAX}")
    return text


def _event(value: Any) -> str:
    text = _text(value)
    if len(text) > EVENT_MAX or not all(c.isascii() and (c.isalnum() or c in "._-:") for c in text):
        raise ContentError(
            "invalid_event", f"at most {EVENT_MAX} letters, digits and . _ - :, as order.shipped"
        )
    return text


def _any_json(value: Any) -> Any:
    return value


_ROWS = (
    ChannelRow(
        Channel.EMAIL,
        parse_to=parse_email,
        fold=fold_email,
        opt_out=SuppressionReason.UNSUBSCRIBE,
        content={
            "subject": ContentField(_header, required=True, part=Part.LINE),
            "body": ContentField(_text, part=Part.TEXT),
            "html": ContentField(_text, part=Part.HTML),
            "from": ContentField(parse_mailbox),
            "reply_to": ContentField(parse_reply_to),
            "cc": ContentField(parse_copies),
            "bcc": ContentField(parse_copies),
            "headers": ContentField(parse_headers),
            "attachments": ContentField(parse_attachments),
        },
        one_of=("body", "html"),
        address_of=email_of,
    ),
    ChannelRow(
        Channel.SMS,
        parse_to=parse_phone,
        fold=fold_phone,
        opt_out=SuppressionReason.STOP,
        content={
            "body": ContentField(
                _sms_body, required=True, part=Part.SMS, check_rendered=_rendered_sms
            )
        },
    ),
    ChannelRow(
        Channel.WEBHOOK,
        parse_to=parse_url,
        fold=fold_url,
        opt_out=SuppressionReason.UNSUBSCRIBE,
        content={
            "event": ContentField(_event),
            "payload": ContentField(_any_json, required=True),
        },
        signed=True,
    ),
)

CHANNELS: Mapping[Channel, ChannelRow] = MappingProxyType({row.channel: row for row in _ROWS})

CONTENT_FIELDS = frozenset(name for row in _ROWS for name in row.content)
"""Every content key of any channel: known, even where it is not for the channel at hand."""
