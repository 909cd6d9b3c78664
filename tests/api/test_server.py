"""Raw bytes to a real server: what no client library would send, and what comes of it."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from waitress.server import create_server

from notifications.api.parsers import ONE
from notifications.models import Tenant
from project.wsgi import application
from tests.api.conftest import API, EMAIL, new_key

pytestmark = pytest.mark.django_db(transaction=True)

BODY = json.dumps(EMAIL).encode()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = create_server(application, host="127.0.0.1", port=0, threads=2)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield server.effective_port
    server.close()
    thread.join(5)


@pytest.fixture
def key(tenant: Tenant) -> str:
    return new_key(tenant).token


def raw(port: int, data: bytes) -> tuple[int, bytes]:
    """Send `data`, read all that comes back; the status and the rest."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before it was all sent
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return int(answer.split(b" ", 2)[1]), answer


def post(
    port: int, key: str, body: bytes, *headers: str, path: str = "/notify"
) -> tuple[int, bytes]:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Connection: close",
        f"Authorization: Bearer {key}",
        *headers,
    ]
    if not any(header.lower().startswith("content-type") for header in headers):
        lines.append("Content-Type: application/json")
    return raw(port, "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)


def chunked(body: bytes, size: int = 10_000) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def test_a_request_is_accepted(port: int, key: str) -> None:
    assert post(port, key, BODY, f"Content-Length: {len(BODY)}")[0] == 202


def test_a_chunked_body_is_accepted(port: int, key: str) -> None:
    assert post(port, key, chunked(BODY, 7), "Transfer-Encoding: chunked")[0] == 202


def test_a_body_over_the_limit_is_a_413_problem(port: int, key: str) -> None:
    body = b'{"a": "' + b"x" * ONE.max_bytes + b'"}'
    for status, answer in (
        post(port, key, body, f"Content-Length: {len(body)}"),
        post(port, key, chunked(body), "Transfer-Encoding: chunked"),
    ):
        assert status == 413
        assert b"application/problem+json" in answer


def test_a_batch_has_a_larger_limit(port: int, key: str) -> None:
    items = [{**EMAIL, "body": "x" * 2000}] * 200
    body = json.dumps({"notifications": items}).encode()
    assert len(body) > ONE.max_bytes
    length = f"Content-Length: {len(body)}"
    assert post(port, key, body, length, path="/notify/batch")[0] == 202


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain; x*=nonsense''y",
        "application/json; charset*=nonsense''utf-8",
        "application/json; charset=hex",
        "application/json; charset=utf-8",
        "application/json; charset*=utf-8''utf-8",
        'multipart/form-data; boundary="; charset=utf-8; x="',
        "application/json; charset=utf-16",
        "application/json; charset=\xe9",
        "application/json; " + "a=b; " * 2000,
        ";;;===",
        'application/json; charset="',
    ],
)
def test_a_content_type_that_django_cannot_read_is_no_5xx(
    port: int, key: str, content_type: str
) -> None:
    length = f"Content-Length: {len(BODY)}"
    status, _ = post(port, key, BODY, length, f"Content-Type: {content_type}")
    assert status in (202, 415)


@pytest.mark.parametrize(
    "line",
    [
        "GET /notifications?to=%41 HTTP/1.1\r\nContent-Type: text/plain; charset=hex",
        "GET /notifications/%ff%fe HTTP/1.1",
        f"GET /notifications?{'a&' * 2000} HTTP/1.1\r\nContent-Type: text/plain; charset=utf-8",
        "GET /notifications/%00 HTTP/1.1",
        "GET /static/%00 HTTP/1.1",
        "GET /static/%2e%2e/%2e%2e/manage.py HTTP/1.1",
        "GET //notifications HTTP/1.1",
        "GET /%ff?%ff=%ff HTTP/1.1",
        "GET /admin/%ff?_=%00 HTTP/1.1",
        "GET /notifications HTTP/1.1\r\nCookie: sessionid=%00; \xff=\xff",
        "GET /notifications HTTP/1.1\r\nHost: evil.example",
        "GET /notifications HTTP/1.1\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b",
        "GET /notifications HTTP/1.1\r\nAuthorization: Bearer \xff\xfe",
        "GET /notifications HTTP/1.1\r\nAuthorization: Bearer " + "x" * 10_000,
        "GET /notifications HTTP/1.1\r\nAccept: */*;q=nonsense, ,;",
        "GET /notifications HTTP/1.1\r\nX-Request-ID: \xff",
        "POST /notify HTTP/1.1\r\nContent-Length: -1",
        "POST /notify HTTP/1.1\r\nContent-Length: abc",
        "POST /notify HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6",
        "POST /notify HTTP/1.1\r\nTransfer-Encoding: gzip, chunked",
        "BREW /notify HTTP/1.1",
        "GET /notifications HTTP/9.9",
        "nonsense",
    ],
)
def test_no_raw_request_is_a_5xx(port: int, line: str) -> None:
    host = "" if "Host:" in line else "Host: 127.0.0.1\r\n"
    data = f"{line}\r\n{host}Connection: close\r\n\r\n".encode("latin-1")
    assert raw(port, data)[0] < 500 or "Transfer-Encoding" in line


def test_a_chunked_body_that_breaks_off_is_stored_nowhere(
    port: int, key: str, api: API, tenant: Tenant
) -> None:
    data: Any = b"7\r\n" + BODY[:7] + b"\r\nzz\r\n"
    assert post(port, key, data, "Transfer-Encoding: chunked")[0] == 400
    assert api.get("/notifications").json()["results"] == []
