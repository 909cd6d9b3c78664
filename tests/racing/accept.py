"""Accepts so many text messages and prints their ids: `python -m tests.racing.accept 1000`.

A second argument is a JSON object with more for each: `'{"expires_at": "…"}'`.
"""

import json
import sys

import django

django.setup()

from notifications import notify_many  # noqa: E402 - models need the apps

SIZE = 1000
SMS = {"channel": "sms", "to": "+14155550123", "body": "Hello"}


def main(count: int, more: str = "{}") -> None:
    item = SMS | json.loads(more)
    for start in range(0, count, SIZE):
        for notification in notify_many([item] * min(SIZE, count - start)):
            sys.stdout.write(f"{notification.pk}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
