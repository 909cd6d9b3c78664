"""Queues so many e-mails in the product, or in django-post_office: `python -m bench.mails 1000`."""

import sys
from typing import Any

import django
from django.apps import apps

django.setup()

from notifications import notify_many  # noqa: E402 - models need the apps

SIZE = 1000

BODY = """\
Hello Ada,

your order {n} has left our house and is on its way to you. It should arrive
within two working days.

Yours
The shop
"""
HTML = "<p>Hello Ada,</p>\n<p>your order <b>{n}</b> is on its way to you.</p>\n"


def main(count: int) -> None:
    for start in range(0, count, SIZE):
        mails = [_mail(n) for n in range(start, min(start + SIZE, count))]
        if apps.is_installed("post_office"):
            _queue_elsewhere(mails)
        else:
            notify_many([{"channel": "email", **mail} for mail in mails])


def _mail(n: int) -> dict[str, Any]:
    text = {"subject": f"Order {n}", "body": BODY.format(n=n), "html": HTML.format(n=n)}
    return {"to": f"ada{n}@example.org", **text}


def _queue_elsewhere(mails: list[dict[str, Any]]) -> None:
    email = apps.get_model("post_office", "Email")
    email.objects.bulk_create(
        email(
            from_email="shop@example.com",
            to=[mail["to"]],
            subject=mail["subject"],
            message=mail["body"],
            html_message=mail["html"],
            status=2,
            priority=2,
        )
        for mail in mails
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
