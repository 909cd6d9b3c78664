"""Whether this worker has been told to stop: known to its main process and to its pool alike."""

import mmap
from typing import Any

from celery.signals import worker_shutting_down

_flag = mmap.mmap(-1, 1)
"""One byte of shared memory: made before the pool forks, so every child sees what is set in it."""


def stopping() -> bool:
    """True from the moment a shutdown has begun: take nothing new, give back what is not sent.

    Pools that do not fork their children (`worker_pool_start_method="spawn"`) cannot see it.
    """
    return _flag[0] == 1


def announce(**_: Any) -> None:
    """Say that the shutdown has begun."""
    _flag[0] = 1


def renew() -> None:
    """Begin anew, with a flag that processes forked earlier do not share."""
    global _flag
    _flag = mmap.mmap(-1, 1)


worker_shutting_down.connect(announce)
