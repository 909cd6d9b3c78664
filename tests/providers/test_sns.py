"""The way out to SNS: one answer, no detours, and no more than is wanted."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from notifications.providers import sns
from notifications.providers.sns import FetchFailed, NotThere, fetch


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = int(self.path.strip("/")) if self.path != "/long" else 200
        self.send_response(status)
        if status in (301, 302, 303, 307, 308):
            self.send_header("Location", "/200")
        body = b"x" * (sns.ANSWER_MAX + 1 if self.path == "/long" else 10)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join(5)
    server.server_close()


def test_what_is_there_is_fetched(web: str) -> None:
    assert fetch(f"{web}/200") == b"x" * 10


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 500, 503])
def test_a_detour_or_an_error_is_a_failure(web: str, status: int) -> None:
    with pytest.raises(FetchFailed):
        fetch(f"{web}/{status}")


@pytest.mark.parametrize("status", [403, 404])
def test_what_is_not_there_is_told_apart(web: str, status: int) -> None:
    with pytest.raises(NotThere):
        fetch(f"{web}/{status}")


def test_an_answer_that_is_too_long_is_a_failure(web: str) -> None:
    with pytest.raises(FetchFailed):
        fetch(f"{web}/long")


def test_nobody_there_is_a_failure() -> None:
    with pytest.raises(FetchFailed):
        fetch("http://127.0.0.1:1/")
