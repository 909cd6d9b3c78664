"""The HTTP server of `manage.py serve`: waitress in a thread, drained before it ends.

Waitress has no drain of its own: it drops what its threads have not yet answered.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

try:
    from waitress import wasyncore
    from waitress.channel import HTTPChannel
    from waitress.server import create_server
    from waitress.task import ErrorTask
except ImportError:  # it comes with the extra `serve`
    create_server = None
    HTTPChannel = ErrorTask = object

from ..api.problems import MEDIA_TYPE, REQUEST_ID_HEADER, refused_by_server

Application = Callable[..., Iterable[bytes]]

BODY_MAX = 4 * 1024 * 1024 + 64 * 1024
"""A little more than the API takes, so that the API is the one to refuse, and to say why."""

CLOSING_SECONDS = 1.0


def is_installed() -> bool:
    return create_server is not None


class HttpServer:
    """Serves a WSGI application from a thread; raises OSError when it cannot have the address."""

    def __init__(self, application: Application, host: str, port: int, threads: int = 4) -> None:
        self._channels: dict[int, Any] = {}
        self._deadline: float | None = None
        self._has_answered_all = False
        self._server = create_server(
            _without_body_of_head(application),
            map=self._channels,
            sockets=[_listen(host, port)],
            threads=threads,
            ident=None,
            clear_untrusted_proxy_headers=True,
            max_request_body_size=BODY_MAX,
        )
        self._server.channel_class = _Channel
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    @property
    def url(self) -> str:
        host = self._server.effective_host
        return f"http://{f'[{host}]' if ':' in host else host}:{self._server.effective_port}"

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> bool:
        """Take no new connection, answer what has been asked; False when time ran out."""
        if self._thread.is_alive():
            self._deadline = time.monotonic() + timeout
            self._server.pull_trigger()
            self._thread.join(timeout + CLOSING_SECONDS)
        return self._has_answered_all

    def _run(self) -> None:
        while not self._is_drained():
            pause = 1.0 if self._deadline is None else 0.05
            wasyncore.loop(timeout=pause, use_poll=True, map=self._channels, count=1)
        self._has_answered_all = not self._server.active_channels
        self._server.task_dispatcher.shutdown(timeout=CLOSING_SECONDS)
        wasyncore.close_all(self._channels)

    def _is_drained(self) -> bool:
        if self._deadline is None:
            return False
        if self._server.accepting:
            # The listening socket only: the threads still need the server's trigger.
            wasyncore.dispatcher.close(self._server)
            return False
        for channel in list(self._server.active_channels.values()):
            channel.will_close = channel.will_close or _is_idle(channel)
        return not self._server.active_channels or time.monotonic() > self._deadline


class _Refusal(ErrorTask):  # type: ignore[misc]  # waitress has no types
    """What waitress refuses before the application sees it, told as the API tells its problems."""

    def execute(self) -> None:
        status, id, body = refused_by_server(self.request.error.code)
        self.status = f"{status} {HTTPStatus(status).phrase}"
        self.response_headers += [("Content-Type", MEDIA_TYPE), (REQUEST_ID_HEADER, id)]
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    error_task_class = _Refusal


def _without_body_of_head(application: Application) -> Application:
    """`application`, which answers HEAD with its headers alone.

    Waitress sends what it is given, and a client would take the body for its next answer.
    """

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        response = application(environ, start_response)
        if environ["REQUEST_METHOD"] != "HEAD":
            return response
        if close := getattr(response, "close", None):
            close()
        return [b""]

    return answer


def _is_idle(channel: Any) -> bool:
    return channel.request is None and not channel.requests and not channel.total_outbufs_len


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener
