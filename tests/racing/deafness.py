"""For `celery worker --include`: a remote command that makes a worker deaf behind its own back.

What is left is what a reconnection gone wrong leaves: a process that lives, answers pings, runs its
ticks, and believes to be reading its queues.
"""

from typing import Any

from celery.worker.control import control_command


@control_command()
def go_deaf(state: Any) -> dict[str, str]:
    state.consumer.task_consumer.cancel()
    return {"ok": "deaf"}
