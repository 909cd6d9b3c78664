"""A provider in a process of its own, with a log of its own: `python -m tests.faults.provider`.

`POST /messages/<key>/<attempt>` sends, `POST /rules` says how the provider behaves from now on.
Rules are looked up by `key#attempt`, then `key`, then `*`, and read `what` or `what:seconds`:

    accept       take it, and answer after so many seconds
    hang         take it, and answer as late as that
    drop         take it, and close the connection without an answer
    hold         say and do nothing until another rule applies
    throttle     429, to come back after so many seconds
    unavailable  503, to come back after so many seconds: certainly not taken
    fail         500, although it was not taken
    reject       400

The log has a line for each arrival and one for what became of it, and survives any crash.
"""

import argparse
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

DEFAULT = "accept"


class Book:
    """What the provider has been told, and what it has done."""

    def __init__(self, log: Path, honours_keys: bool) -> None:
        self._honours_keys = honours_keys
        self._file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._changed = threading.Condition()
        self._rules: dict[str, str] = {}
        lines = (line.split() for line in log.read_text().splitlines())
        self._taken = {key for _, key, _, what in lines if what == "accepted"}

    def obey(self, rules: dict[str, str]) -> None:
        with self._changed:
            self._rules = rules
            self._changed.notify_all()

    def rule(self, key: str, attempt: str) -> tuple[str, float]:
        """What to do with a message, and in how many seconds; waits while that is `hold`."""
        with self._changed:
            self._changed.wait_for(lambda: self._find(key, attempt) != "hold")
            what, _, seconds = self._find(key, attempt).partition(":")
        return what, float(seconds or 0)

    def take(self, key: str, attempt: str) -> None:
        with self._changed:
            repeated = self._honours_keys and key in self._taken
            self._taken.add(key)
            self.note(key, attempt, "repeated" if repeated else "accepted")

    def note(self, key: str, attempt: str, what: str) -> None:
        os.write(self._file, f"{time.time():.6f} {key} {attempt} {what}\n".encode())

    def _find(self, key: str, attempt: str) -> str:
        rules = self._rules
        return rules.get(f"{key}#{attempt}") or rules.get(key) or rules.get("*") or DEFAULT


class Handler(BaseHTTPRequestHandler):
    """One request on one connection."""

    server: "FakeProvider"

    def do_GET(self) -> None:
        self._answer(200)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        match self.path.split("/")[1:]:
            case ["rules"]:
                self.server.book.obey(json.loads(body))
                self._answer(200)
            case ["messages", key, attempt]:
                self._send(key, attempt)

    def _send(self, key: str, attempt: str) -> None:
        book = self.server.book
        book.note(key, attempt, "arrived")
        what, seconds = book.rule(key, attempt)
        if what in REFUSALS:
            book.note(key, attempt, what)
            self._answer(REFUSALS[what], int(seconds))
            return
        book.take(key, attempt)
        time.sleep(seconds)
        if what != "drop":
            self._answer(200)

    def _answer(self, status: int, retry_after: int = 0) -> None:
        self.send_response_only(status)
        if retry_after:
            self.send_header("Retry-After", str(retry_after))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True  # the client has gone away, or was killed


REFUSALS = {"throttle": 429, "unavailable": 503, "fail": 500, "reject": 400}


class FakeProvider(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True

    def __init__(self, port: int, book: Book) -> None:
        self.book = book
        super().__init__(("127.0.0.1", port), Handler)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("log", type=Path)
    parser.add_argument("--honours-keys", action="store_true")
    options = parser.parse_args()
    FakeProvider(options.port, Book(options.log, options.honours_keys)).serve_forever()


if __name__ == "__main__":
    main()
