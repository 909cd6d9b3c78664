"""Somebody's server for webhooks: real TLS on loopback, and as it is told in the path."""

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import trustme


@dataclass(frozen=True)
class Arrived:
    """A request that came in; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


class Receiver(ThreadingHTTPServer):
    """`/status/410?Retry-After=5` answers that; `/drop` hangs up, `/hang` says nothing.

    `/garble` begins a success and then speaks no HTTP.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scheme = "http"
        self.arrived: list[Arrived] = []
        self.connections = 0

    def url(self, path: str = "/status/200") -> str:
        return f"{self.scheme}://localhost:{self.server_port}{path}"

    def paths(self) -> list[str]:
        return [each.path for each in self.arrived]

    def get_request(self) -> Any:
        self.connections += 1
        return super().get_request()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Hanging up is what it is for."""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.arrived.append(Arrived(self.path, headers, body))
        parts = urlsplit(self.path)
        what, _, status = parts.path.strip("/").partition("/")
        if what == "hang":
            time.sleep(3)
        if what == "garble":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n\x00\r\n\r\n")
        if what != "status":
            raise ConnectionAbortedError
        self.send_response_only(int(status))
        for name, value in parse_qsl(parts.query):
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    server = Receiver()
    if tls:
        server.scheme = "https"
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def trusted(directory: Path, name: str = "localhost") -> Iterator[ssl.SSLContext]:
    """The TLS of a server called `name` that this process trusts meanwhile."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    authority.cert_pem.write_to_path(directory / "ca.pem")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(directory / "ca.pem"))
        yield context
