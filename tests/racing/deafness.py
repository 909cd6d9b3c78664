"""For `celery worker --include`: a remote command that makes a worker deaf behind its own back.

What is left is what a reconnection gone wrong leaves: a process that lives, answers pings, runs its
ticks, and believes to be reading its queues.
"""

import os
from typing import Any

from celery.worker.control import control_command

from notifications.worker import watch

# A test need not wait for as long as an operator.
watch.PATIENCE_SECONDS, watch.ASK_SECONDS = float(os.environ["PATIENCE_SECONDS"]), 1.0


@control_command()
def go_deaf(state: Any) -> dict[str, str]:
    state.consumer.task_consumer.cancel()
    return {"ok": "deaf"}
