"""A Celery app as small as can be, for workers that tests start as processes of their own.

The environment says what it is: `BROKER` (URL), `OUT` (a directory that takes the traces),
`CONSUMER=stock` (Celery's own consumer), `POOL` (a setting), `TICK` (what a tick does: see `tick`).
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import django
from celery import Celery
from django.conf import settings

from notifications.worker import setup, stopping

OUT = Path(os.environ["OUT"])
TICK = os.environ.get("TICK", "")

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
)
django.setup()

app = Celery("tests", broker=os.environ["BROKER"], set_as_current=False)
if "POOL" in os.environ:
    app.conf.worker_pool = os.environ["POOL"]
if os.environ.get("CONSUMER") == "stock":
    app.conf.worker_consumer = "celery.worker.consumer:Consumer"
setup(app)


def trace(name: str, *what: Any) -> None:
    """Append a line with the time and the process to a file: one short write, never torn."""
    line = " ".join(map(str, (time.time(), os.getpid(), *what))) + "\n"
    with (OUT / name).open("a") as file:
        file.write(line)


@app.task(name="tests.limited", rate_limit="50/s", acks_late=True, ignore_result=True)
def limited() -> None:
    trace("limited")


@app.task(name="tests.plain", acks_late=True, ignore_result=True)
def plain() -> None:
    trace("plain")


@app.task(name="tests.named", acks_late=True, ignore_result=True)
def named(name: str) -> None:
    trace("named", name)


@app.task(name="tests.slow", acks_late=True, ignore_result=True)
def slow(seconds: float) -> None:
    trace("slow", "begins")
    end = time.monotonic() + seconds
    while time.monotonic() < end and not stopping():
        time.sleep(0.02)
    trace("slow", "stopping" if stopping() else "ends")


def tick(worker: str, queues: Sequence[str] = ()) -> float:
    """The dispatcher's stand-in; `TICK` is empty, `slow`, `fails` or `dies` (once)."""
    trace("ticks", worker)
    trace("queues", *queues)
    if TICK == "slow":
        time.sleep(2)
    if TICK == "fails":
        raise RuntimeError("a secret")
    if TICK == "dies" and not (OUT / "died").exists():
        (OUT / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 0.2


dispatcher = ModuleType("notifications.pipeline.tick")
vars(dispatcher)["tick"] = tick
sys.modules[dispatcher.__name__] = dispatcher
