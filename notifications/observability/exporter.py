"""A worker's own `/metrics`: a child of it serves the counters of its processes, and the gauges.

A process apart, because the main process of a prefork worker must own no connection to the
database, and must not wait for one. It is forked before there is anything to inherit, and ends
with its parent. The worker counts into a directory of its own, so that whoever adds up all that is
scraped counts nothing twice; a worker that comes back on the same port goes on counting there.
"""

import logging
import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from django.db import connections

from ..multiprocess import count_apart
from .access import may_read, token
from .metrics import CONTENT_TYPE, FENCED, scrape

logger = logging.getLogger(__name__)

PARENT_SECONDS = 0.5
BIND_SECONDS = 0.5
REQUEST_SECONDS = 10.0
EVERYWHERE = ""


def start(port: int) -> None:
    """Serve this worker's metrics on `port` until it ends; call before its pool is made."""
    count_apart(str(port))
    FENCED.inc(0)  # opens the file, so that what was never counted is told as zero
    parent = os.getpid()
    if os.fork() == 0:
        _serve_until_orphaned(port, parent)


def _serve_until_orphaned(port: int, parent: int) -> None:
    # The worker drains when it is told to end, and is worth watching until then.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_serve, args=(port,), name="metrics", daemon=True).start()
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    os._exit(0)


def _serve(port: int) -> None:
    _listening(port).serve_forever()


def _listening(port: int) -> ThreadingHTTPServer:
    """The server, once it can have the port; the one of a killed worker goes within a second."""
    address = EVERYWHERE if token() else "127.0.0.1"
    is_told = False
    while True:
        try:
            return Server((address, port), Handler)
        except OSError as error:
            if not is_told:
                logger.error("no metrics on port %d yet: %s", port, error.strerror)
            is_told = True
            time.sleep(BIND_SECONDS)


class Server(ThreadingHTTPServer):
    daemon_threads = True


class Handler(BaseHTTPRequestHandler):
    """Answers `GET /metrics` and nothing else."""

    timeout = REQUEST_SECONDS

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/metrics":
            self._answer(404)
        elif not may_read(str(self.client_address[0]), self.headers.get("Authorization", "")):
            self._answer(401)
        else:
            self._scrape()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a scrape is no event."""

    def _scrape(self) -> None:
        try:
            self._answer(200, scrape())
        finally:
            connections.close_all()

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response_only(status)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        self.end_headers()
        self.wfile.write(body)
