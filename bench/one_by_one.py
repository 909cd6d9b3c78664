"""Accepts notifications one by one from several threads, as a busy web process does.

`python -m bench.one_by_one COUNT THREADS` writes a line each time STEP more have been accepted.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import django

django.setup()

from notifications import notify  # noqa: E402 - models need the apps
from notifications.pipeline import relay  # noqa: E402 - as above

from .api import message  # noqa: E402 - as above

STEP = 50
FLUSH_SECONDS = 30


def main(count: int, threads: int) -> None:
    with ThreadPoolExecutor(threads) as pool:
        for done, _ in enumerate(pool.map(_accept, range(count)), start=1):
            if done % STEP == 0:
                print(done, flush=True)
    assert relay.flush(FLUSH_SECONDS), "the relay still has ids that it has not published"


def _accept(_: int) -> None:
    notify(**message())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
