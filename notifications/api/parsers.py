"""From bytes to a JSON object, or to a problem; nothing a client can send gets further than that.

Django's and DRF's own parsing is not used: it reads what it is sent, believes the declared length
and the declared charset, and keeps the last of two equal keys.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol, cast

from django.http import HttpRequest

from ..exceptions import FieldError
from ..validation import is_fine_text, pointer_part
from .problems import Problem, Refused, invalid

CHUNK_BYTES = 64 * 1024
DIGITS_MAX = 309  # as many as the largest double has
KEYS_MAX = 200
ERRORS_MAX = 100
SURROGATE_OR_NUL = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Limits:
    """How large a body may be: in bytes, in levels of nesting, in values altogether."""

    max_bytes: int
    max_depth: int
    max_values: int


ONE = Limits(max_bytes=256 * 1024, max_depth=20, max_values=10_000)
BATCH = Limits(max_bytes=4 * 1024 * 1024, max_depth=22, max_values=250_000)


def read_json(request: HttpRequest, limits: Limits = ONE) -> dict[str, Any]:
    """The JSON object in the body of `request`; raises Refused with 400, 413 or 415."""
    _check_headers(request)
    return _object(read_body(request, limits.max_bytes), limits)


def read_optional_json(request: HttpRequest) -> dict[str, Any]:
    """As `read_json`, but no body at all is an empty object, whatever its declared type."""
    body = read_body(request, ONE.max_bytes)
    if not body:
        return {}
    _check_headers(request)
    return _object(body, ONE)


def read_body(request: HttpRequest, max_bytes: int) -> bytes:
    """The body, in bounded steps; the declared length is a reason to refuse, never to believe."""
    declared = request.META.get("CONTENT_LENGTH") or "0"
    if not (declared.isascii() and declared.isdigit()):
        raise _invalid_json("the Content-Length is no number")
    if len(declared) > 18 or int(declared) > max_bytes:
        raise _too_large(max_bytes)
    stream, chunks, size = _stream(request), [], 0
    while chunk := stream.read(min(CHUNK_BYTES, max_bytes + 1 - size)):
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
    return b"".join(chunks)


def _check_headers(request: HttpRequest) -> None:
    media, *parameters = request.META.get("CONTENT_TYPE", "").split(";")
    if media.strip().lower() != "application/json" or not all(map(_is_fine, parameters)):
        detail = "Send JSON in UTF-8: Content-Type: application/json."
        raise Refused(Problem(415, "unsupported_media_type", detail))
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        detail = "Send the body as it is, without a Content-Encoding."
        raise Refused(Problem(415, "unsupported_encoding", detail))


def _is_fine(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    return name.strip().lower() != "charset" or value.strip(' \t"').lower() in ("utf-8", "utf8")


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _stream(request: HttpRequest) -> _Stream:
    """Where the body is read from; Django itself takes one without a length (chunked) for empty."""
    chunked = not request.META.get("CONTENT_LENGTH") and request.META.get("wsgi.input_terminated")
    return cast(_Stream, request.META["wsgi.input"]) if chunked else request


def _object(body: bytes, limits: Limits) -> dict[str, Any]:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _invalid_json(f"byte {error.start} is not UTF-8") from error
    value = _parse(text)
    if not isinstance(value, dict):
        raise _invalid_json("the body must be a JSON object")
    flaws = list(islice(_flaws(value, limits), ERRORS_MAX))
    if flaws:
        raise Refused(invalid(flaws, "invalid_json"))
    return value


class _Repeated(dict[str, Any]):
    """An object in which a key was given twice."""


class _Number:
    """A number that no double can hold."""


def _parse(text: str) -> Any:
    if text.startswith("\ufeff"):
        raise _invalid_json("the body starts with a byte order mark")
    try:
        return json.loads(
            text,
            object_pairs_hook=_pairs,
            parse_int=_integer,
            parse_constant=lambda _: _Number(),
        )
    except json.JSONDecodeError as error:
        raise _invalid_json(f"at character {error.pos}: {error.msg}") from error
    except RecursionError as error:
        raise _invalid_json("it is nested too deeply") from error


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Repeated(found)


def _integer(text: str) -> int | _Number:
    return int(text) if len(text) <= DIGITS_MAX else _Number()


def _flaws(root: Any, limits: Limits) -> Iterator[FieldError]:
    """What JSON allows and we do not, each with its place; without recursion."""
    stack: list[tuple[Any, str, int]] = [(root, "", 1)]
    count = 1
    while stack:
        value, pointer, depth = stack.pop()
        count += len(value) if isinstance(value, dict | list) else 0
        if count > limits.max_values:  # told by its length, before a huge list is walked
            yield FieldError("", "too_many_values", f"at most {limits.max_values:,} values in all")
            return
        flaw = _flaw(value, depth, limits)
        if flaw:
            yield FieldError(pointer, *flaw)
        elif isinstance(value, dict):
            stack.extend(
                (v, f"{pointer}/{pointer_part(k)}", depth + 1)
                for k, v in reversed(value.items())
                if not is_fine_text(v)
            )
        elif isinstance(value, list):
            stack.extend(
                (v, f"{pointer}/{i}", depth + 1) for i, v in _reversed(value) if not is_fine_text(v)
            )


def _reversed(values: list[Any]) -> Iterator[tuple[int, Any]]:
    return zip(range(len(values) - 1, -1, -1), reversed(values), strict=True)


def _flaw(value: Any, depth: int, limits: Limits) -> tuple[str, str] | None:
    match value:
        case str():
            if SURROGATE_OR_NUL.search(value):
                return "invalid_character", "holds a NUL or half of a surrogate pair"
        case _Number():
            return "invalid_number", "is no number, or one out of range"
        case float():
            if not math.isfinite(value):
                return "invalid_number", "is a number out of range"
        case dict() | list():
            return _flaw_of_container(value, depth, limits)
    return None


def _flaw_of_container(
    value: dict[str, Any] | list[Any], depth: int, limits: Limits
) -> tuple[str, str] | None:
    if depth > limits.max_depth:
        return "too_deep", "is nested too deeply"
    if isinstance(value, list):
        return None
    if isinstance(value, _Repeated):
        return "duplicate_key", "gives a key twice"
    if len(value) > KEYS_MAX:
        return "too_many_keys", f"has more than {KEYS_MAX} keys"
    if any(SURROGATE_OR_NUL.search(key) for key in value):
        return "invalid_character", "has a key with a NUL or half of a surrogate pair"
    return None


def _invalid_json(detail: str) -> Refused:
    error = FieldError("", "invalid_json", detail)
    return Refused(Problem(400, "invalid_json", f"The body is not valid: {detail}.", (error,)))


def _too_large(max_bytes: int) -> Refused:
    return Refused(
        Problem(413, "body_too_large", f"The body may have {max_bytes // 1024} KiB at most.")
    )
