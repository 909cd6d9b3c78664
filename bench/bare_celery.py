"""What a worker is measured against: plain Celery, with the id of a row as a task.

No lease, no gate, no attempts, no ticks: the task reads the row, writes to the ledger, and marks
the row as sent.
"""

import os
import sys
import time
from pathlib import Path

from celery import Celery
from django.apps import apps

from notifications.enums import State
from tests.processes import Process

from .stack import Environment, Stack

app = Celery("bare", broker=os.environ.get("CELERY_BROKER_URL"), set_as_current=False)
app.conf.task_default_queue = "bare"


@app.task(ignore_result=True)
def deliver(id: str) -> None:
    rows = apps.get_model("notifications", "Notification").objects.filter(pk=id)
    row = rows.get()
    with open(os.environ["BARE_LEDGER"], "a") as ledger:
        ledger.write(f"{time.monotonic():.6f} {row.pk}\n")
    rows.update(state=State.SENT)


def environment(ledger: Path) -> Environment:
    """What is added for a web server and a worker of this kind."""
    return {"DJANGO_SETTINGS_MODULE": "bench.settings", "BARE_LEDGER": str(ledger)}


def worker(stack: Stack, env: Environment, concurrency: int) -> Process:
    """A stock worker that takes messages."""
    command = [sys.executable, "-m", "celery", "-A", __name__, "worker"]
    command += ["--loglevel", "INFO", "--concurrency", str(concurrency)]
    process = stack.processes.start("bare", command, env)
    process.wait_for_text(" ready.", timeout=60)
    return process
