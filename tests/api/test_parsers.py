"""What is JSON to us: stricter than Python, and never surprised."""

import json
import time
from io import BytesIO
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.test import RequestFactory
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.api.parsers import BATCH, ONE, read_json, read_optional_json
from notifications.api.problems import Refused


def request(body: bytes, content_type: str = "application/json", **meta: Any) -> WSGIRequest:
    found: WSGIRequest = RequestFactory().generic("POST", "/notify", body, content_type, **meta)
    found.META["CONTENT_TYPE"] = content_type  # which the factory drops when there is no body
    return found


def refused(body: bytes, content_type: str = "application/json", **meta: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        read_json(request(body, content_type, **meta))
    return caught.value


def errors(body: bytes) -> list[tuple[str, str]]:
    return [(error.pointer, error.code) for error in refused(body).problem.errors]


def nested(levels: int) -> bytes:
    """An object with `levels` levels of containers, itself one of them."""
    return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "application/json; version=1",
    ],
)
def test_json_in_utf_8_is_read(content_type: str) -> None:
    assert read_json(request('{"é": [1, 2.5, null]}'.encode(), content_type)) == {
        "é": [1, 2.5, None]
    }


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "application/json; charset=latin-1",
        "application/jsonp",
        "application/problem+json",
        "json",
    ],
)
def test_another_type_is_a_415(content_type: str) -> None:
    assert refused(b"{}", content_type).problem.status == 415


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "identity, gzip", "x"])
def test_an_encoded_body_is_a_415(encoding: str) -> None:
    assert refused(b"{}", HTTP_CONTENT_ENCODING=encoding).problem.status == 415


def test_identity_is_no_encoding() -> None:
    assert read_json(request(b"{}", HTTP_CONTENT_ENCODING="identity")) == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"{}{}",
        b"{'a': 1}",
        b'{"a": 1,}',
        b'{"a": 01}',
        b'{"a": "\x01"}',
        b'{"a": "\x00"}',
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        '{"a": 1}'.encode("utf-16"),
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\xc0\x80"}',
        b"[]",
        b"null",
        b'"text"',
        b"1",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"[" * 100_000 + b"]" * 100_000,
    ],
)
def test_what_is_no_json_object_is_a_400(body: bytes) -> None:
    problem = refused(body).problem
    assert (problem.status, problem.code) == (400, "invalid_json")


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b'{"a": {"b": NaN}}', [("/a/b", "invalid_number")]),
        (b'{"a": Infinity, "b": -Infinity}', [("/a", "invalid_number"), ("/b", "invalid_number")]),
        (b'{"a": 1e999}', [("/a", "invalid_number")]),
        (b'{"a": [0, ' + b"9" * 5000 + b"]}", [("/a/1", "invalid_number")]),
        (b'{"a": "x\\u0000y"}', [("/a", "invalid_character")]),
        (b'{"a": "\\ud800"}', [("/a", "invalid_character")]),
        (b'{"a": "\\udc00\\ud800"}', [("/a", "invalid_character")]),
        (b'{"a": {"\\u0000": 1}}', [("/a", "invalid_character")]),
        (b'{"a": 1, "a": 1}', [("", "duplicate_key")]),
        (b'{"x": [{"a": 1, "a": 2}]}', [("/x/0", "duplicate_key")]),
        (b'{"~/": "\\u0000"}', [("/~0~1", "invalid_character")]),
        (nested(21), [("/a" + "/0" * 19, "too_deep")]),
        (
            json.dumps({"a": dict.fromkeys(map(str, range(201)))}).encode(),
            [("/a", "too_many_keys")],
        ),
        (json.dumps({"a": [0] * 10_000}).encode(), [("", "too_many_values")]),
    ],
)
def test_what_json_allows_and_we_do_not_is_pointed_at(
    body: bytes, found: list[tuple[str, str]]
) -> None:
    assert errors(body) == found


@pytest.mark.parametrize(
    "body",
    [
        nested(20),
        b'{"a": "\\ud83d\\ude00"}',
        b'{"a": ' + b"9" * 300 + b"}",
        b'{"a": 1e308, "b": 1e-999}',
        json.dumps({"a": dict.fromkeys(map(str, range(200)))}).encode(),
    ],
)
def test_what_is_just_within_the_limits_is_read(body: bytes) -> None:
    assert read_json(request(body)) == json.loads(body)


def test_no_body_at_all_is_an_empty_object_where_none_is_needed() -> None:
    assert read_optional_json(request(b"", "text/plain")) == {}
    assert read_optional_json(request(b'{"a": 1}')) == {"a": 1}
    with pytest.raises(Refused):
        read_optional_json(request(b'{"a": 1}', "text/plain"))


def test_a_body_of_the_largest_size_is_read() -> None:
    body = b'{"a": "' + b"x" * (ONE.max_bytes - 9) + b'"}'
    assert len(body) == ONE.max_bytes
    assert len(read_json(request(body))["a"]) == ONE.max_bytes - 9


@pytest.mark.parametrize("length", [str(ONE.max_bytes + 1), "9" * 18, "9" * 5000])
def test_a_declared_length_over_the_limit_is_a_413_before_a_byte_is_read(length: str) -> None:
    found = request(b"{}")
    found.META["CONTENT_LENGTH"] = length
    with pytest.raises(Refused) as caught:
        read_json(found)
    assert caught.value.problem.status == 413
    assert found.read() == b"{}"


@pytest.mark.parametrize("length", ["-1", "abc", "1.5", "٣", "1_0", " 1"])
def test_a_declared_length_that_is_no_number_is_a_400(length: str) -> None:
    found = request(b"{}")
    found.META["CONTENT_LENGTH"] = length
    with pytest.raises(Refused) as caught:
        read_json(found)
    assert caught.value.problem.status == 400


class Endless(BytesIO):
    """A body that never ends, and says how much was taken of it."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert 0 < size <= 64 * 1024
        self.taken += size
        return b" " * size


def test_a_chunked_body_is_read_no_further_than_the_limit() -> None:
    endless = Endless()
    found = request(b"")
    found.META.update({"wsgi.input": endless, "wsgi.input_terminated": True, "CONTENT_LENGTH": ""})
    with pytest.raises(Refused) as caught:
        read_json(found)
    assert caught.value.problem.status == 413
    assert endless.taken == ONE.max_bytes + 1


def test_a_chunked_body_is_read() -> None:
    found = request(b"")
    found.META.update({"wsgi.input": BytesIO(b'{"a": 1}'), "wsgi.input_terminated": True})
    found.META.pop("CONTENT_LENGTH", None)
    assert read_json(found) == {"a": 1}


def test_the_worst_of_bodies_is_refused_quickly() -> None:
    size = BATCH.max_bytes - 20
    bodies = [
        b'{"a":[' + b"[]," * (size // 3 - 2) + b"[]]}",
        b'{"a":[' + b"0," * (size // 2 - 2) + b"0]}",
        b'{"a":' + b"9" * (size - 8) + b"}",
        b'{"a":"' + b"\\u0000" * (size // 6) + b'"}',
        b"[" * size,
        b'{"a":{' + b",".join(b'"%d":0' % n for n in range(size // 12)) + b"}}",
    ]
    for body in bodies:
        started = time.process_time()  # others may use the machine
        with pytest.raises(Refused):
            read_json(request(body), BATCH)
        assert time.process_time() - started < 10


def read_or_refusal(body: bytes) -> dict[str, Any] | Refused:
    try:
        return read_json(request(body))
    except Refused as refusal:
        return refusal


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail(body: bytes) -> None:
    assert isinstance(read_or_refusal(body), dict | Refused)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(), JSON))
def test_what_is_read_can_be_written_again(value: dict[str, Any]) -> None:
    found = read_or_refusal(json.dumps(value).encode())
    if isinstance(found, dict):
        assert json.loads(json.dumps(found, allow_nan=False).encode("utf-8")) == found
