"""Posts one notification after the other over kept connections, as a process of its own.

`python -m bench.client HOST PORT KEY COUNT CONNECTIONS`: writes how many have been answered, and
at the end a JSON object with the seconds it took and the answers by status.
"""

import http.client
import json
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

from .api import mail

STEP = 50


class Client:
    def __init__(self, host: str, port: int, key: str) -> None:
        self.address = (host, port)
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.statuses: Counter[int] = Counter()
        self._run = uuid4().hex
        self._lock = threading.Lock()

    def post(self, numbers: range) -> None:
        """One POST for each number, over one connection."""
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        for number in numbers:
            connection.request("POST", "/notify", self._body(number), self.headers)
            answer = connection.getresponse()
            answer.read()
            self._count(answer.status)
        connection.close()

    def _body(self, number: int) -> str:
        return json.dumps(mail(number, f"{self._run}-{number}"))

    def _count(self, status: int) -> None:
        with self._lock:
            self.statuses[status] += 1
            if self.statuses.total() % STEP == 0:
                print(self.statuses.total(), flush=True)


def main(host: str, port: str, key: str, count: str, connections: str) -> None:
    client, lanes = Client(host, int(port), key), int(connections)
    began = time.monotonic()
    with ThreadPoolExecutor(lanes) as pool:
        # Through list(), so that what went wrong in a thread is raised here.
        list(pool.map(client.post, [range(lane, int(count), lanes) for lane in range(lanes)]))
    seconds = time.monotonic() - began
    print(json.dumps({"seconds": seconds, "statuses": client.statuses}))


if __name__ == "__main__":
    main(*sys.argv[1:])
