"""The pace of providers kept in Redis: a hash for each account that was slowed."""

import threading
import time
from collections.abc import Mapping
from typing import Any

from .. import pace
from ..base import Pacer
from ..pace import Book
from .connection import connection
from .options import Options

SCRIPT = "pace.lua"


class RedisPacer(Pacer):
    """Keeps its books in Redis; while that is away, each process its own.

    Its methods then raise nothing, and hardly ever wait.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__(options)
        read = Options.of(options)
        self._connection = connection(read.url)
        self._prefix = read.prefix
        self._local: dict[str, Book] = {}
        self._lock = threading.Lock()

    def _read(self, provider: str) -> tuple[Book, float]:
        answer = self._run(provider)
        if answer is None:
            return self._local.get(provider, Book()), time.time()
        kept, now = answer
        return _read(kept), now

    def _slow(self, provider: str, wait: float, rate: float) -> tuple[Book, float]:
        """Written by comparison: whoever meets another's change decides again on that."""
        answer = self._run(provider)
        while answer is not None:
            before, now = answer
            after = pace.slow(_read(before), now, wait, rate)
            answer = self._run(provider, before, _written(after))
            if answer is not None and answer[0] == _written(after):
                return after, now
        return self._slow_locally(provider, wait, rate)

    def _slow_locally(self, provider: str, wait: float, rate: float) -> tuple[Book, float]:
        with self._lock:
            now = time.time()
            book = pace.slow(self._local.get(provider, Book()), now, wait, rate)
            self._local[provider] = book
        return book, now

    def _run(self, provider: str, *books: bytes) -> tuple[bytes, float] | None:
        """What is kept of `provider`, as it is written down, and Redis' clock."""
        key = f"{{{self._prefix}}}:pace:{provider}"
        answer = self._connection.run(SCRIPT, [key], books)
        return None if answer is None else (answer[1], float(answer[0]))


def _written(book: Book) -> bytes:
    return f"{book.until!r} {book.refused!r} {book.slowed!r} {int(book.adding)}".encode()


def _read(kept: bytes) -> Book:
    until, refused, slowed, adding = (float(number) for number in kept.split())
    return Book(until, refused, slowed, bool(adding))
