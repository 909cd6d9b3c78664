"""The server of `manage.py serve`, with an application that takes its time."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import requests

from notifications.management.http import HttpServer

entered = threading.Event()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    entered.set()
    time.sleep(float(environ["QUERY_STRING"] or 0))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ.get("HTTP_X_FORWARDED_FOR", "nobody").encode()]


@pytest.fixture
def server() -> Iterator[HttpServer]:
    entered.clear()
    server = HttpServer(application, "127.0.0.1", 0)
    server.start()
    yield server
    server.stop(timeout=0)


def test_what_has_been_asked_is_answered_before_the_end(server: HttpServer) -> None:
    answers: list[int] = []
    client = threading.Thread(
        target=lambda: answers.append(requests.get(f"{server.url}/?1", timeout=10).status_code)
    )
    client.start()
    entered.wait(5)
    assert server.stop()
    client.join()
    assert answers == [200]


def test_after_the_end_has_begun_no_connection_is_taken(server: HttpServer) -> None:
    assert server.stop()
    with pytest.raises(requests.ConnectionError):
        requests.get(server.url, timeout=2)


def test_a_client_that_never_ends_its_request_cannot_hold_up_the_end(server: HttpServer) -> None:
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\n")
        time.sleep(0.2)
        assert not server.stop(timeout=0.5)


def test_headers_of_proxies_nobody_trusts_do_not_reach_the_application(server: HttpServer) -> None:
    answer = requests.get(server.url, headers={"X-Forwarded-For": "192.0.2.1"}, timeout=5)
    assert answer.text == "nobody"
    assert "Server" not in answer.headers


def test_an_address_in_use_is_refused(server: HttpServer) -> None:
    with pytest.raises(OSError, match="in use"):
        HttpServer(application, "127.0.0.1", int(server.url.rpartition(":")[2]))


@pytest.mark.parametrize("path", ["/", "/?0"])
def test_head_is_answered_without_a_body(server: HttpServer, path: str) -> None:
    with requests.Session() as session:
        for _ in range(2):
            answer = session.head(server.url + path, timeout=5)
            assert (answer.status_code, answer.content) == (200, b"")
        assert session.get(server.url, timeout=5).text == "nobody"


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        ("Content-Length: 99999999", 413, "body_too_large"),
        ("Content-Length: many", 400, "bad_request"),
        ("Transfer-Encoding: gzip", 400, "bad_request"),
        ("no header at all", 400, "bad_request"),
    ],
)
def test_what_the_server_refuses_is_a_problem_too(
    server: HttpServer, head: str, status: int, code: str
) -> None:
    raw = ask(server, f"POST /notify HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n")
    headers, _, body = raw.partition("\r\n\r\n")
    assert headers.split()[1] == str(status)
    assert "Content-Type: application/problem+json" in headers
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (status, code)
    assert f"X-Request-Id: {problem['request_id']}".lower() in headers.lower()


def ask(server: HttpServer, text: str) -> str:
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as client:
        client.sendall(text.encode())
        return b"".join(iter(lambda: client.recv(65536), b"")).decode()
