"""The import, killed: `python -m tests.moving.killed accepted|update NUMBER`.

With `accepted` right after so many of its transactions with notifications have committed; with
`update` right before it changes the queue of django-post_office so many times.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import django

django.setup()

from django.db import connection  # noqa: E402 - models need the apps

from notifications.management.post_office import import_emails  # noqa: E402
from notifications.signals import notification_accepted  # noqa: E402


def main(moment: str, number: int) -> None:
    left = [None] * number

    def die_in_time(*_: Any, **__: Any) -> None:
        left.pop()
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    def execute(run: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if sql.startswith('UPDATE "post_office_email"'):
            die_in_time()
        return run(sql, *rest)

    if moment == "accepted":
        notification_accepted.connect(die_in_time)
        import_emails()
    else:
        with connection.execute_wrapper(execute):
            import_emails()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
