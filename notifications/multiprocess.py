"""Where the processes of a host count for Prometheus: files in one directory, one set for each.

Imported by settings, before anything counts; so it imports nothing of Django. Containers may share
the directory too: each numbers its processes from 1, so the host goes into the names of the files.
"""

import os
import socket
from pathlib import Path

from prometheus_client import values

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"

_host = socket.gethostname()
_part = ""


def share_metrics(directory: str | Path) -> None:
    """Count into files in `directory`; call it in the settings."""
    Path(directory).mkdir(parents=True, exist_ok=True)
    os.environ[DIRECTORY] = str(directory)
    values.ValueClass = values.MultiProcessValue(_identity)  # type: ignore[no-untyped-call]  # it has no types


def count_apart(part: str) -> None:
    """From now on this process, and those it forks, count into a directory of their own."""
    global _part
    directory = Path(os.environ[DIRECTORY], f"{_host}-{part}")
    directory.mkdir(parents=True, exist_ok=True)
    os.environ[DIRECTORY] = str(directory)
    _part = f"{part}-"  # another identity has other files


def _identity() -> str:
    return f"{_host}-{_part}{os.getpid()}"
