"""A provider that takes its time, and what asks it.

`python -m bench.slow_http FILE` serves, prints its port and answers each POST after 200 ms; FILE
has a line for each: when it came, when it was answered, its body.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection
from threading import local
from typing import Any, ClassVar

from notifications.enums import Channel
from notifications.messages import Message, Outcome
from notifications.providers.base import OneByOne

ANSWER_SECONDS = 0.2
ANSWER = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


class SlowProvider(OneByOne[bytes]):
    """Posts the key of each message, over a connection for each thread that is kept open."""

    channels = frozenset(Channel)
    concurrency = window = 50  # of a batch of 100, two full windows
    known_options: ClassVar[Mapping[str, Callable[[Any], Any]]] = {"PORT": int}

    def __init__(self, name: str, options: Mapping[str, Any], timeout: float) -> None:
        super().__init__(name, options, timeout)
        self._mine = local()

    def render(self, message: Message) -> bytes:
        return message.key.encode()

    def hand_over(self, rendered: bytes) -> Outcome:
        connection = self._connection()
        connection.request("POST", "/", rendered)
        response = connection.getresponse()
        response.read()
        return Outcome.accepted(f"slow-{response.status}")

    def _connection(self) -> HTTPConnection:
        if not hasattr(self._mine, "connection"):
            port = self.options["PORT"]
            self._mine.connection = HTTPConnection("127.0.0.1", port, timeout=self.timeout)
        connection: HTTPConnection = self._mine.connection
        return connection


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, file: int) -> None:
    """The requests of one connection."""
    while head := await _head(reader):
        came = time.time()
        length = next(line for line in head.lower().split(b"\r\n") if b"content-length" in line)
        body = await reader.readexactly(int(length.partition(b":")[2]))
        await asyncio.sleep(ANSWER_SECONDS)
        os.write(file, f"{came} {time.time()} {body.decode()}\n".encode())
        writer.write(ANSWER)


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


async def main(path: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    server = await asyncio.start_server(lambda r, w: answer(r, w, file), "127.0.0.1", 0)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
