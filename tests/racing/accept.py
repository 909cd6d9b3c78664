"""Accepts so many text messages and prints their ids: `python -m tests.racing.accept 1000`."""

import sys

import django

django.setup()

from notifications import notify_many  # noqa: E402 - models need the apps

SIZE = 1000


def main(count: int) -> None:
    for start in range(0, count, SIZE):
        items = [
            {"channel": "sms", "to": "+14155550123", "body": "Hello"}
            for _ in range(min(SIZE, count - start))
        ]
        for notification in notify_many(items):
            sys.stdout.write(f"{notification.pk}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
