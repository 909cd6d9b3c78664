"""A real HTTP server in threads; a function says what it does to each request."""

import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RESET_AT_ONCE = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Request:
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """`missing` bytes of the body never come; with `leave` it hangs up without saying so before."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    missing: int = 0
    leave: bool = False


HANG, RESET = "hang", "reset"
"""It reads the request, and says nothing more or aborts the connection."""

Behaviour = Callable[[Request], "Answer | str"]


class Server:
    """Listens on a free port from entering to leaving; keeps what arrives."""

    def __init__(self, behave: Behaviour) -> None:
        self.behave = behave
        self.arrived: list[Request] = []
        self.wanted: list[str] = []  # of a proxy, which it refuses to be
        self.connections = 0
        self.released = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> "Server":
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                server.connections += 1

            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(self.path, dict(self.headers), body)
                server.arrived.append(request)
                self._do(server.behave(request))

            def do_CONNECT(self) -> None:
                server.wanted.append(self.path)
                self._answer(Answer(502))

            def _do(self, behaviour: Answer | str) -> None:
                if isinstance(behaviour, Answer):
                    self._answer(behaviour)
                    return
                self.close_connection = True
                if behaviour == HANG:
                    server.released.wait(30)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_ONCE)
                self.connection.close()

            def _answer(self, answer: Answer) -> None:
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.body) + answer.missing))
                self.end_headers()
                self.wfile.write(answer.body)
                self.close_connection |= bool(answer.missing) or answer.leave

            def log_message(self, *_: object) -> None:
                pass

        return Handler
