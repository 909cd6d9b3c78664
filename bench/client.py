"""Posts notifications over kept connections, as a process of its own.

`python -m bench.client HOST PORT KEY COUNT CONNECTIONS SIZE`: posts SIZE of them in each call, and
one by one where that is 1. Writes how many have been answered, and at the end a JSON object with
the seconds it took and the notifications by the status of their answer.
"""

import http.client
import json
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

from .api import mail

STEP = 50


class Client:
    def __init__(self, host: str, port: int, key: str, size: int) -> None:
        self.address, self.size = (host, port), size
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.statuses: Counter[int] = Counter()
        self._run = uuid4().hex
        self._lock = threading.Lock()

    def post(self, starts: range) -> None:
        """One POST for each of `starts`, the number of its first notification."""
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        for start in starts:
            connection.request("POST", *self._call(start), self.headers)
            answer = connection.getresponse()
            answer.read()
            self._count(answer.status)
        connection.close()

    def _call(self, start: int) -> tuple[str, str]:
        if self.size == 1:
            return "/notify", json.dumps(self._item(start))
        items = [self._item(number) for number in range(start, start + self.size)]
        return "/notify/batch", json.dumps({"notifications": items})

    def _item(self, number: int) -> dict[str, Any]:
        return mail(number, f"{self._run}-{number}")

    def _count(self, status: int) -> None:
        with self._lock:
            self.statuses[status] += self.size
            if self.statuses.total() % STEP == 0:
                print(self.statuses.total(), flush=True)


def main(host: str, port: str, key: str, *numbers: str) -> None:
    count, lanes, size = map(int, numbers)
    client = Client(host, int(port), key, size)
    shares = [range(lane * size, count, lanes * size) for lane in range(lanes)]
    began = time.monotonic()
    with ThreadPoolExecutor(lanes) as pool:
        list(pool.map(client.post, shares))  # so that what went wrong in a thread is raised here
    seconds = time.monotonic() - began
    print(json.dumps({"seconds": seconds, "statuses": client.statuses}))


if __name__ == "__main__":
    main(*sys.argv[1:])
