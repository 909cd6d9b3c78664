"""What an e-mail may have beside its text: who it is from, goes to and answers to, headers, files.

Each function returns the value to store, or raises ContentError; in what has several parts,
ContentErrors with all that is wrong.
"""

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from email.headerregistry import Address
from mimetypes import guess_type
from typing import Any, TypeVar

from .addresses import UNSAFE_TEXT, AddressError, parse_email
from .conf import get_settings
from .exceptions import ContentError, ContentErrors
from .messages import Attachment

T = TypeVar("T")

NAME_MAX = 78
REPLY_TO_MAX = 5
COPIES_MAX = 10
HEADERS_MAX = 20
HEADER_MAX = 870
ATTACHMENTS_MAX = 20
FILENAME_MAX = 255
CONTENT_TYPE_MAX = 127

OPEN_HEADERS = frozenset(
    {
        "auto-submitted",
        "comments",
        "feedback-id",
        "importance",
        "in-reply-to",
        "keywords",
        "list-archive",
        "list-help",
        "list-id",
        "organization",
        "precedence",
        "priority",
        "references",
        "sensitivity",
    }
)
"""What may be set beside `X-…`; all others are ours, the server's, or make the message's form."""

OUR_HEADERS = ("x-notification-", "x-ses-")

IN_BRACKETS = re.compile(r"[^<>\x00-\x1f\x7f]+")
"""What an address must be to stand in SMTP at all."""

MAILBOX = re.compile(r'(?:\s*"(?P<quoted>[^"\\]*)"\s*|(?P<name>[^"<>\\]*))<(?P<address>[^<>]*)>\s*')
HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
TOKEN = r"[a-z0-9!#$&^_.+-]+"  # noqa: S105 - a grammar's
CONTENT_TYPE = re.compile(rf"{TOKEN}/{TOKEN}")
CONTENT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}(@[A-Za-z0-9._-]{1,64})?")
SURROGATE = re.compile("[\ud800-\udfff]")

ATTACHMENT_FIELDS = ("filename", "content_type", "content", "content_id")
OCTETS = "application/octet-stream"


def parse_mailbox(value: Any) -> str:
    """An address, with a name before it or without: `Shop <shop@example.com>`."""
    text = _text(value)
    found = MAILBOX.fullmatch(text)
    if found is None:
        return _address(text)
    address = _address(found["address"])
    name = (found["quoted"] or found["name"] or "").strip()
    if len(name) > NAME_MAX or "@" in name or not _is_clean(name):
        detail = f"a name has at most {NAME_MAX} characters, and no @ or control character"
        raise ContentError("invalid_name", detail)
    return str(Address(display_name=name, addr_spec=address)) if name else address


def address_of(mailbox: str) -> str:
    """The address alone, of what `parse_mailbox` returned."""
    return mailbox.rpartition("<")[2].removesuffix(">")


def parse_reply_to(value: Any) -> list[str]:
    """One address or several, with names or without."""
    values = [value] if isinstance(value, str) else value
    return _each(values, parse_mailbox, REPLY_TO_MAX)


def parse_copies(value: Any) -> list[str]:
    """The bare addresses of others who get the same e-mail."""
    return _each(value, lambda each: _address(_text(each)), COPIES_MAX)


def parse_headers(value: Any) -> dict[str, str]:
    """Further headers: any that begins with `X-`, and those of OPEN_HEADERS."""
    if not isinstance(value, Mapping):
        raise ContentError("invalid_type", "must be an object of strings")
    if len(value) > HEADERS_MAX:
        raise ContentError("too_many", f"at most {HEADERS_MAX} headers")
    found: dict[tuple[str, ...], ContentError] = {}
    seen: set[str] = set()
    for name, text in value.items():
        if error := _header_error(name, text, seen):
            found[(str(name),)] = error
        seen.add(str(name).lower())
    if found:
        raise ContentErrors(found)
    return dict(value)


def parse_attachments(value: Any) -> tuple[Attachment, ...]:
    """Files; from Python their `content` may be bytes, in JSON it is base64."""
    if not isinstance(value, list | tuple):
        raise ContentError("invalid_type", "must be a list")
    if len(value) > ATTACHMENTS_MAX:
        raise ContentError("too_many", f"at most {ATTACHMENTS_MAX} attachments")
    found: dict[tuple[str, ...], ContentError] = {}
    files = [_attachment(each, (str(index),), found) for index, each in enumerate(value)]
    if found:
        raise ContentErrors(found)
    whole = tuple(file for file in files if file)
    most = get_settings().mail.max_bytes
    if sum(len(file.data) for file in whole) > most:
        raise ContentError("too_large", f"at most {most:,} bytes altogether; send a link instead")
    return whole


def _attachment(
    value: Any, path: tuple[str, ...], found: dict[tuple[str, ...], ContentError]
) -> Attachment | None:
    """One file; what is wrong with it goes to `found`."""
    if not isinstance(value, Mapping):
        found[path] = ContentError("invalid_type", "must be an object")
        return None
    for name in value:
        if name not in ATTACHMENT_FIELDS:
            found[*path, str(name)] = ContentError("unknown_field", "is not a known field")

    def read(name: str, check: Callable[[Any], T], default: T) -> T:
        if value.get(name) is None:
            if name in ("filename", "content"):
                found[*path, name] = ContentError("required", "is required")
            return default
        try:
            return check(value[name])
        except ContentError as error:
            found[*path, name] = error
            return default

    filename = read("filename", _filename, "")
    content_type = read("content_type", _content_type, guess_type(filename)[0] or OCTETS)
    content_id = read("content_id", _content_id, "")
    return Attachment(filename, content_type, read("content", _data, b""), content_id)


def _filename(value: Any) -> str:
    text = _text(value)
    if not text or len(text) > FILENAME_MAX or not _is_clean(text) or set(text) & set("/\\"):
        detail = f"1 to {FILENAME_MAX} characters without control characters, / and \\"
        raise ContentError("invalid_filename", detail)
    return text


def _content_type(value: Any) -> str:
    text = _text(value).lower()
    if len(text) > CONTENT_TYPE_MAX or not CONTENT_TYPE.fullmatch(text):
        raise ContentError("invalid_content_type", "write a type such as application/pdf")
    if text.startswith(("multipart/", "message/")):
        detail = f"cannot be written as a file; send it as {OCTETS}"
        raise ContentError("invalid_content_type", detail)
    return text


def _content_id(value: Any) -> str:
    text = _text(value)
    if not CONTENT_ID.fullmatch(text):
        raise ContentError("invalid_content_id", "write a word such as logo, for src='cid:logo'")
    return text


def _data(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return b64decode(_text(value), validate=True)
    except (binascii.Error, ValueError) as error:
        if isinstance(error, ContentError):
            raise
        raise ContentError("invalid_base64", "must be base64, without line breaks") from error


def _header_error(name: Any, text: Any, seen: set[str]) -> ContentError | None:
    if not isinstance(name, str) or not HEADER_NAME.fullmatch(name):
        return ContentError("invalid_header", "a name is made of letters, digits and hyphens")
    lower = name.lower()
    if lower in seen:
        return ContentError("invalid_header", "is given twice")
    if lower.startswith(OUR_HEADERS) or not (lower.startswith("x-") or lower in OPEN_HEADERS):
        return ContentError("header_not_allowed", "cannot be set; those that begin with X- can")
    if not isinstance(text, str):
        return ContentError("invalid_type", "must be a string")
    if not text.strip() or len(text) > HEADER_MAX or not _is_clean(text):
        detail = f"1 to {HEADER_MAX} characters in one line, without control characters"
        return ContentError("invalid_header", detail)
    return None


def _each(values: Any, check: Callable[[Any], str], most: int) -> list[str]:
    if not isinstance(values, list | tuple):
        raise ContentError("invalid_type", "must be a list of addresses")
    if not 1 <= len(values) <= most:
        raise ContentError("invalid_length", f"1 to {most} addresses")
    good: list[str] = []
    found: dict[tuple[str, ...], ContentError] = {}
    for index, value in enumerate(values):
        try:
            good.append(check(value))
        except ContentError as error:
            found[(str(index),)] = error
    if found:
        raise ContentErrors(found)
    return good


def _address(text: str) -> str:
    try:
        return parse_email(text)
    except AddressError as error:
        raise ContentError(error.code, error.detail) from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ContentError("invalid_type", "must be a string")
    return value


def _is_clean(text: str) -> bool:
    return not UNSAFE_TEXT.search(text) and not SURROGATE.search(text)
