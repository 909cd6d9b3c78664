"""From anybody's data to a `Draft`, or to every reason why not, at once.

Used alike by HTTP (parsed JSON) and by Python callers (who may also give aware datetimes).
"""

import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from django.conf import settings as django_settings

from .addresses import AddressError
from .channels import CHANNELS, CONTENT_FIELDS, ChannelRow
from .email_content import address_of
from .enums import Channel, Priority
from .exceptions import ContentError, ContentErrors, FieldError, InvalidNotification
from .idempotency import parse_key
from .messages import DigestRule, Draft
from .senders import may_send_as

TERMS = frozenset({"priority", "send_at", "expires_at", "idempotency_key", "metadata"})
"""How a notification is to be sent, whatever it says."""

COMMON_FIELDS = TERMS | {"channel", "to", "template", "context", "category", "digest"}
KNOWN_FIELDS = COMMON_FIELDS | CONTENT_FIELDS
CHANNEL_OF = {channel.value: channel for channel in Channel}
PRIORITY_OF = {priority.label: priority for priority in Priority}
TEMPLATE_NAME_MAX = 100
CATEGORY_MAX = 50
DIGEST_WINDOW_MAX = 7 * 86400
DIGEST_COUNT_MAX = 200
METADATA_MAX = 50
POINTER_PART_MAX = 64
METADATA_KEY_MAX = 64
METADATA_VALUE_MAX = 1024
DEPTH_MAX = 20
NUMBER_MAX = 10**300

RFC3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})?", re.ASCII
)
TEMPLATE_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
DIGEST_KEY = re.compile("[!-~]{1,100}")
PLAIN_NAME = re.compile(rf"[\w.-]{{1,{POINTER_PART_MAX}}}", re.ASCII)
SURROGATE_OR_NUL = re.compile("[\x00\ud800-\udfff]")


def parse_notification(data: object, *, senders: Collection[str] | None = None) -> Draft:
    """The draft in `data`; raises InvalidNotification with all errors of all fields.

    `senders` are those that `from` may name; without them, anybody.
    """
    if not isinstance(data, Mapping):
        raise InvalidNotification([FieldError("", "invalid_type", "must be a JSON object")])
    return _Parser(data, KNOWN_FIELDS, senders).parse()


def parse_terms(data: object) -> dict[str, Any]:
    """Fields of a draft, of those in TERMS alone; raises InvalidNotification."""
    if not isinstance(data, Mapping):
        raise InvalidNotification([FieldError("", "invalid_type", "must be a mapping")])
    return _Parser(data, TERMS).parse_terms()


def pointer_part(name: str) -> str:
    """A key as a part of a JSON pointer (RFC 6901), printable and cut."""
    if PLAIN_NAME.fullmatch(name):
        return name
    safe = name.encode("ascii", "backslashreplace").decode("ascii")
    printable = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in safe)
    return printable[:POINTER_PART_MAX].replace("~", "~0").replace("/", "~1")


class _Parser:
    """Collects errors while it reads the fields one after the other."""

    def __init__(
        self,
        data: Mapping[str, Any],
        known: frozenset[str],
        senders: Collection[str] | None = None,
    ) -> None:
        self.data = data
        self.known = known
        self.senders = senders
        self.errors: list[FieldError] = []

    def parse(self) -> Draft:
        self._refuse_unknown()
        self._refuse_unstorable()
        channel = self._field("channel", _channel, required=True)
        row = CHANNELS[channel] if channel else None
        to = self._field("to", _to(row), required=True)
        template = self._template(row)
        context = self._field("context", parse_context) if template else None
        content = self._content(row, template) if row else {}
        self._check_sender(content.get("from"))
        category = self._category(template)
        digest = self._digest(row)
        terms = self._terms()
        if self.errors or channel is None or to is None:
            raise InvalidNotification(self.errors)
        if attachments := content.pop("attachments", ()):
            content["attachments"] = [file.described() for file in attachments]
        return Draft(
            channel=channel,
            to=to,
            content=content,
            template=template,
            context=context or {},
            attachments=attachments,
            is_transactional=not category,
            category=category,
            digest=digest,
            **terms,
        )

    def parse_terms(self) -> dict[str, Any]:
        self._refuse_unknown()
        self._refuse_unstorable()
        terms = self._terms()
        if self.errors:
            raise InvalidNotification(self.errors)
        return terms

    def _terms(self) -> dict[str, Any]:
        priority = self._field("priority", _priority)
        send_at = self._field("send_at", parse_time)
        expires_at = self._field("expires_at", parse_time)
        if send_at and expires_at and expires_at <= send_at:
            self._error("/expires_at", "expires_before_send", "must be later than send_at")
        return {
            "priority": Priority.NORMAL if priority is None else priority,
            "send_at": send_at,
            "expires_at": expires_at,
            "idempotency_key": self._field("idempotency_key", _key),
            "metadata": self._field("metadata", _metadata) or {},
        }

    def _check_sender(self, mailbox: str | None) -> None:
        if not mailbox or self.senders is None or may_send_as(self.senders, address_of(mailbox)):
            return
        detail = "is no sender of this tenant; whoever runs this can add it to the tenant"
        self._error("/from", "sender_not_allowed", detail)

    def _refuse_unknown(self) -> None:
        if self.known.issuperset(self.data):
            return
        for name in self.data:
            if name not in self.known:
                self._error(f"/{pointer_part(str(name))}", "unknown_field", "is not a known field")

    def _refuse_unstorable(self) -> None:
        """Stop at what no database could hold or no answer could repeat, wherever it stands."""
        for name, value in list(self.data.items()):
            fine = is_fine_text(value) or name == "attachments"  # which is stored as bytes
            problem = None if fine else _unstorable(value, DEPTH_MAX)
            if problem:
                self._error(f"/{pointer_part(str(name))}", *problem)
                self.data = {k: v for k, v in self.data.items() if k != name}

    def _template(self, row: ChannelRow | None) -> str | None:
        """The name of a template, empty for one that is none; own content is refused beside it."""
        if self.data.get("template") is None:
            if self.data.get("context") is not None:
                self._error("/context", "without_template", "belongs to a template; name one")
            return None
        if row and not row.parts:
            self._error("/template", "not_for_channel", f"{row.channel.label} takes no template")
        extras = row.extras if row else CONTENT_FIELDS
        for name in sorted(CONTENT_FIELDS.intersection(self.data).difference(extras)):
            self._error(f"/{name}", "not_with_template", "comes from the template; leave it out")
        return self._field("template", parse_template_name) or ""

    def _category(self, template: str | None) -> str:
        if template is not None and self.data.get("category") is not None:
            self._error("/category", "not_with_template", "comes from the template; leave it out")
        return self._field("category", parse_category) or ""

    def _digest(self, row: ChannelRow | None) -> DigestRule | None:
        value = self.data.get("digest")
        if value is None:
            return None
        if row and not row.parts:
            self._error("/digest", "not_for_channel", f"{row.channel.label} takes no template")
        for name, detail in NOT_WITH_DIGEST.items():
            if self.data.get(name) is not None:
                self._error(f"/{name}", "not_with_digest", f"{detail}; leave it out")
        if not isinstance(value, Mapping):
            self._error("/digest", "invalid_type", "must be an object")
            return None
        return self._rule(value)

    def _rule(self, value: Mapping[str, Any]) -> DigestRule | None:
        before = len(self.errors)
        for name in value:
            if name not in DIGEST_FIELDS:
                pointer = f"/digest/{pointer_part(str(name))}"
                self._error(pointer, "unknown_field", "is not a known field")
        found: dict[str, Any] = {}
        for name, check in DIGEST_FIELDS.items():
            try:
                if value.get(name) is not None:
                    found[name] = check(value[name])
                elif name in DIGEST_REQUIRED:
                    self._required(f"digest/{name}")
            except ContentError as error:
                self._error(f"/digest/{name}", error.code, error.detail)
        return DigestRule(**found) if len(self.errors) == before else None

    def _content(self, row: ChannelRow, template: str | None) -> dict[str, Any]:
        """The channel's own content; beside a template, what does not come from it."""
        content: dict[str, Any] = {}
        for name, field in (row.content if template is None else row.extras).items():
            if name in self.data:
                content[name] = self._field(name, field.check, nullable=name == "payload")
            elif field.required:
                self._required(name)
        if template is not None:
            return content
        for name in sorted(CONTENT_FIELDS.intersection(self.data).difference(row.content)):
            self._error(f"/{name}", "not_for_channel", f"is not a field of {row.channel.label}")
        if row.one_of and not any(name in self.data for name in row.one_of):
            self._required(row.one_of[0], f"give {' or '.join(row.one_of)}, or both")
        return content

    def _field(
        self,
        name: str,
        check: Callable[[Any], Any],
        *,
        required: bool = False,
        nullable: bool = False,
    ) -> Any:
        value = self.data.get(name)
        if value is None and not nullable:
            if required:
                self._required(name)
            elif name in self.data and name in CONTENT_FIELDS:
                self._error(f"/{name}", "invalid_type", "must not be null")
            return None
        try:
            return check(value)
        except ContentErrors as errors:
            for path, error in errors.found.items():
                pointer = "/".join(["", name, *map(pointer_part, path)])
                self._error(pointer, error.code, error.detail)
        except (AddressError, ContentError) as error:
            self._error(f"/{name}", error.code, error.detail)
        return None

    def _required(self, name: str, detail: str = "is required") -> None:
        if not any(error.pointer == f"/{name}" for error in self.errors):
            self._error(f"/{name}", "required", detail)

    def _error(self, pointer: str, code: str, detail: str) -> None:
        self.errors.append(FieldError(pointer, code, detail))


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise ContentError("invalid_type", "must be a string")
    return value


def parse_string(value: Any) -> str:
    """Text that can be stored and repeated; raises ContentError."""
    text = _string(value)
    if problem := _unstorable(text, 0):
        raise ContentError(*problem)
    return text


def parse_category(value: Any) -> str:
    """The name of a category; raises ContentError."""
    text = _string(value)
    if len(text) > CATEGORY_MAX or not TEMPLATE_NAME.fullmatch(text):
        raise ContentError(
            "invalid_name",
            f"at most {CATEGORY_MAX} lower-case letters and digits, with single . _ - between",
        )
    return text


def _channel(value: Any) -> Channel:
    text = _string(value)
    if text not in CHANNEL_OF:
        raise ContentError("invalid_choice", f"must be one of: {', '.join(CHANNEL_OF)}")
    return CHANNEL_OF[text]


def _priority(value: Any) -> Priority:
    text = _string(value)
    if text not in PRIORITY_OF:
        raise ContentError("invalid_choice", f"must be one of: {', '.join(PRIORITY_OF)}")
    return PRIORITY_OF[text]


def _to(row: ChannelRow | None) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        text = _string(value)
        return row.parse_to(text) if row else text

    return check


def parse_template_name(value: Any) -> str:
    """The name of a template; raises ContentError."""
    text = _string(value)
    if len(text) > TEMPLATE_NAME_MAX or not TEMPLATE_NAME.fullmatch(text):
        raise ContentError(
            "invalid_name",
            f"at most {TEMPLATE_NAME_MAX} lower-case letters and digits, with single . _ - between",
        )
    return text


def parse_context(value: Any) -> dict[str, Any]:
    """What fills a template, as a copy in plain JSON; raises ContentError.

    What the caller does with its own afterwards changes nothing.
    """
    if not isinstance(value, Mapping):
        raise ContentError("invalid_type", "must be an object")
    try:
        copy: dict[str, Any] = json.loads(json.dumps(dict(value)))
    except (TypeError, ValueError) as error:
        raise ContentError("invalid_type", "must be plain JSON; write times as text") from error
    return copy


def parse_time(value: Any) -> datetime:
    """The time in UTC of an aware datetime or RFC 3339 text; raises ContentError (a ValueError).

    In a project without USE_TZ datetimes are local time, as all of them are there.
    """
    if isinstance(value, datetime):
        return _aware(value if django_settings.USE_TZ else value.astimezone())
    if not RFC3339.fullmatch(_string(value)):
        raise ContentError("invalid_time", "write RFC 3339 with an offset: 2030-01-31T08:00:00Z")
    try:
        return _aware(datetime.fromisoformat(value.upper()))
    except ContentError:
        raise
    except ValueError as error:
        raise _no_such_time() from error


def _aware(value: datetime) -> datetime:
    if value.tzinfo is None or value.utcoffset() is None:
        raise ContentError("naive_time", "give an offset from UTC: 2030-01-31T08:00:00+01:00")
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise _no_such_time() from error


def _no_such_time() -> ContentError:
    return ContentError("invalid_time", "there is no such time")


def _key(value: Any) -> str:
    try:
        return parse_key(_string(value))
    except ContentError:
        raise
    except ValueError as error:
        raise ContentError("invalid_key", str(error)) from error


def _digest_key(value: Any) -> str:
    text = _string(value)
    if not DIGEST_KEY.fullmatch(text):
        raise ContentError("invalid_key", "write 1 to 100 visible ASCII characters")
    return text


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ContentError("invalid_type", "must be true or false")
    return value


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ContentError("invalid_type", "must be a whole number")
        if not least <= value <= most:
            raise ContentError("out_of_range", f"must be from {least} to {most:,}")
        return value

    return check


def _metadata(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ContentError("invalid_type", "must be an object of strings")
    if len(value) > METADATA_MAX:
        raise ContentError("too_many", f"at most {METADATA_MAX} entries")
    for key, text in value.items():
        problem = _metadata_problem(key, text)
        if problem:
            raise ContentErrors({(str(key),): ContentError(*problem)})
    return dict(value)


def _metadata_problem(key: Any, text: Any) -> tuple[str, str] | None:
    if not isinstance(text, str):
        return "invalid_type", "must be a string"
    if 1 <= len(str(key)) <= METADATA_KEY_MAX and len(text) <= METADATA_VALUE_MAX:
        return None
    limits = f"keys of 1 to {METADATA_KEY_MAX} and values of up to {METADATA_VALUE_MAX:,}"
    return "too_long", f"{limits} characters"


def is_fine_text(value: Any) -> bool:
    """Whether `value` is text that can be stored; most values are, and need no closer look."""
    return type(value) is str and not SURROGATE_OR_NUL.search(value)


def _unstorable(value: Any, depth: int) -> tuple[str, str] | None:
    """Why `value` cannot be kept: what PostgreSQL's jsonb, SQLite or JSON itself refuses."""
    if depth < 0:
        return "too_deep", f"is nested deeper than {DEPTH_MAX} levels"
    match value:
        case str():
            if SURROGATE_OR_NUL.search(value):
                return "invalid_character", "holds a NUL or half of a surrogate pair"
        case None | bool() | datetime():
            pass
        case int() | float():
            if not math.isfinite(value) if isinstance(value, float) else abs(value) > NUMBER_MAX:
                return "invalid_number", "holds a number out of range"
        case Mapping():
            return _first(_unstorable(v, depth - 1) for pair in value.items() for v in pair)
        case list() | tuple():
            return _first(_unstorable(v, depth - 1) for v in value)
        case _:
            return "invalid_type", "holds something that is no JSON"
    return None


def _first(problems: Any) -> tuple[str, str] | None:
    return next((problem for problem in problems if problem), None)


DIGEST_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "key": _digest_key,
    "template": parse_template_name,
    "window": _whole(1, DIGEST_WINDOW_MAX),
    "sliding": _flag,
    "max_count": _whole(2, DIGEST_COUNT_MAX),
}
DIGEST_REQUIRED = frozenset({"key", "template", "window"})
NOT_WITH_DIGEST: Mapping[str, str] = {
    **dict.fromkeys(("send_at", "expires_at"), "a digest is sent at a time of its own"),
    **dict.fromkeys(("cc", "bcc", "headers", "attachments"), "a digest takes nothing of it along"),
}
