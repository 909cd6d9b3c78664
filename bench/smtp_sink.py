"""A mail server that takes everything and writes down the subject of each message.

`python -m bench.smtp_sink FILE` prints its port; FILE has a line for each message taken, with the
time, written before the sender is told so. `python -m bench.smtp_sink --ask PORT COUNT` sends it
as many as fast as may be, to see what it takes itself.
"""

import asyncio
import os
import re
import socket
import sys
import time

SUBJECT = re.compile(rb"^Subject: (.*)\r$", re.MULTILINE)
END_OF_DATA = b"\r\n.\r\n"
REPLIES = {
    b"EHLO": b"250-sink\r\n250-PIPELINING\r\n250-SIZE 10485760\r\n250 8BITMIME\r\n",
    b"DATA": b"354 go on\r\n",
    b"QUIT": b"221 bye\r\n",
}


class Sink(asyncio.Protocol):
    """One connection."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._buffer = b""
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        replies = []
        while (reply := self._next_reply()) is not None:
            replies.append(reply)
        self._transport.write(b"".join(replies))

    def _next_reply(self) -> bytes | None:
        """To what came next, or None until it is all there."""
        end = END_OF_DATA if self._in_data else b"\r\n"
        request, found, rest = self._buffer.partition(end)
        if not found:
            return None
        self._buffer = rest
        if self._in_data:
            self._in_data = False
            return self._take(request + b"\r\n")
        verb = request[:4].upper()
        self._in_data = verb == b"DATA"
        return REPLIES.get(verb, b"250 OK\r\n")

    def _take(self, message: bytes) -> bytes:
        match = SUBJECT.search(message)
        os.write(self._file, b"%.6f %s\n" % (time.time(), match[1] if match else b"?"))
        return b"250 taken\r\n"


async def serve(path: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Sink(file), "127.0.0.1", 0)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def ask(port: int, count: int) -> None:
    """A sender that makes nothing: the same bytes again, the answers thrown away."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.recv(4096)
        for n in range(count):
            connection.sendall(b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n")
            _read(connection, lines=3)
            connection.sendall(b"Subject: %d\r\n\r\n" % n + b"x" * 70 + b"\r\n" * 10 + b".\r\n")
            _read(connection, lines=1)


def _read(connection: socket.socket, lines: int) -> None:
    while lines > 0:
        lines -= connection.recv(4096).count(b"\n")


if __name__ == "__main__":
    if sys.argv[1] == "--ask":
        ask(int(sys.argv[2]), int(sys.argv[3]))
    else:
        asyncio.run(serve(sys.argv[1]))
