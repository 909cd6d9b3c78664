"""Asks for each page as a superuser; writes the slowest answer in ms and the number of queries."""

import json
import sys
import time

import django

django.setup()

from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from notifications.models import Notification

TIMES = 10
LIST = "/admin/notifications/notification/"


def main() -> None:
    user, _ = User.objects.get_or_create(username="bench", is_staff=True, is_superuser=True)
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    newest = Notification.objects.order_by("-pk").first()
    assert newest is not None
    pages = {
        "dashboard": "/admin/notifications/dashboard/",
        "dashboard, 24 hours": "/admin/notifications/dashboard/?hours=24",
        "list": LIST,
        "list, waiting": f"{LIST}?status=queued",
        "list, last page": f"{LIST}?p=200",
        "search": f"{LIST}?q={newest.to}",
        "notification": f"{LIST}{newest.pk}/change/",
    }
    json.dump({name: ask(client, url) for name, url in pages.items()}, sys.stdout)


def ask(client: Client, url: str) -> tuple[float, int]:
    assert client.get(url).status_code == 200, url
    took = []
    for _ in range(TIMES):
        began = time.perf_counter()
        client.get(url)
        took.append((time.perf_counter() - began) * 1000)
    time.sleep(1.1)  # so that the policy is read anew, as it is for whoever looks now and then
    with CaptureQueriesContext(connection) as queries:
        client.get(url)
    return max(took), len(queries)


if __name__ == "__main__":
    main()
