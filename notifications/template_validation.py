"""From anybody's data to a `TemplateDraft`, or to every reason why not, at once."""

from collections.abc import Mapping
from typing import Any

from .channels import CHANNELS, ChannelRow
from .enums import Channel
from .exceptions import ContentError, FieldError, InvalidNotification
from .messages import TemplateDraft
from .rendering import Part, TemplateError, compile_part
from .validation import SURROGATE_OR_NUL, parse_category, pointer_part

CHANNEL_OF = {row.channel.value: row for row in CHANNELS.values() if row.parts}
PARTS = frozenset(name for row in CHANNEL_OF.values() for name in row.parts)
FIELDS = PARTS | {"channel", "is_transactional", "category"}


def parse_template(data: Mapping[str, Any]) -> TemplateDraft:
    """The template in `data`; raises InvalidNotification with all errors of all fields."""
    errors = [
        FieldError(f"/{pointer_part(str(name))}", "unknown_field", "is not a known field")
        for name in data
        if name not in FIELDS
    ]
    row = CHANNEL_OF.get(data["channel"]) if isinstance(data.get("channel"), str) else None
    is_transactional = data.get("is_transactional", True)
    if row is None:
        errors.append(_channel_error(data))
    if not isinstance(is_transactional, bool):
        errors.append(FieldError("/is_transactional", "invalid_type", "must be true or false"))
    category = _category(data, is_transactional, errors)
    content = _content(row, data, errors) if row else {}
    if errors or row is None:
        raise InvalidNotification(errors)
    return TemplateDraft(row.channel, content, is_transactional, category)


def _category(data: Mapping[str, Any], is_transactional: bool, errors: list[FieldError]) -> str:
    if not data.get("category"):
        return ""
    try:
        category = parse_category(data["category"])
    except ContentError as error:
        errors.append(FieldError("/category", error.code, error.detail))
        return ""
    if is_transactional:
        detail = "what is transactional has none; set is_transactional to false"
        errors.append(FieldError("/category", "transactional", detail))
    return category


def _channel_error(data: Mapping[str, Any]) -> FieldError:
    if "channel" not in data:
        return FieldError("/channel", "required", "is required")
    if data["channel"] == Channel.WEBHOOK:
        detail = "webhooks take no template; their payload is data already"
        return FieldError("/channel", "not_for_channel", detail)
    return FieldError("/channel", "invalid_choice", f"must be one of: {', '.join(CHANNEL_OF)}")


def _content(row: ChannelRow, data: Mapping[str, Any], errors: list[FieldError]) -> dict[str, str]:
    given = {name: data[name] for name in PARTS if data.get(name) is not None}
    for name in sorted(set(given) - set(row.parts)):
        detail = f"is not a field of {row.channel.label}"
        errors.append(FieldError(f"/{name}", "not_for_channel", detail))
    content = {name: given[name] for name in row.parts if name in given}
    for name, text in content.items():
        errors.extend(_flaws(name, text, row.parts[name]))
    missing = [name for name in row.parts if row.content[name].required and name not in content]
    if row.one_of and not any(name in content for name in row.one_of):
        missing.append(row.one_of[0])
    errors.extend(FieldError(f"/{name}", "required", "is required") for name in missing)
    return content


def _flaws(name: str, text: Any, part: Part) -> list[FieldError]:
    flaw = None
    if not isinstance(text, str):
        flaw = "invalid_type", "must be a string"
    elif not text:
        flaw = "blank", "must not be empty"
    elif SURROGATE_OR_NUL.search(text):
        flaw = "invalid_character", "holds a NUL or half of a surrogate pair"
    if flaw:
        return [FieldError(f"/{name}", *flaw)]
    try:
        compile_part(text, part)
    except TemplateError as error:
        return [FieldError(f"/{name}", flaw.code, flaw.detail) for flaw in error.flaws]
    return []
