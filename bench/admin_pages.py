"""`python -m bench.admin_pages TIMES`: each page's slowest answer in ms, and its queries, as JSON.

Django itself is asked, without a network between: for pages of the admin by a superuser, for those
of the API with a key of the tenant that has the newest. A scrape of the metrics tells for a while
what it has read; the reading itself is measured beside it.
"""

import json
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import django

django.setup()

from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from notifications import api_keys
from notifications.admin.lists import COUNTED_ROWS, LongListAdmin
from notifications.enums import Channel, KeyScope, Status
from notifications.models import APIKey, Notification
from notifications.observability import gauges

FRESH_SECONDS = 1.1
"""So that the policy is read anew, as it is for whoever looks now and then."""

ROWS_PER_PAGE = LongListAdmin.list_per_page

ADMIN = "/admin/notifications/"
LIST = f"{ADMIN}notification/"

Pages = dict[str, str]


def main() -> None:
    times = int(sys.argv[1])
    user, _ = User.objects.get_or_create(username="bench", is_staff=True, is_superuser=True)
    newest = Notification.objects.select_related("tenant").order_by("-pk").first()
    assert newest is not None
    admin = Client(headers={"host": "localhost"})
    admin.force_login(user)
    bearer = {"authorization": f"Bearer {new_token(newest)}"}
    api = Client(headers={"host": "localhost", **bearer})
    answers = {name: asked(admin, url, times) for name, url in pages_of_admin(newest).items()}
    answers |= {name: asked(api, url, times) for name, url in pages_of_api(newest).items()}
    answers["metrics, read anew"] = cost(gauges._read, times)
    json.dump(answers, sys.stdout)


def pages_of_admin(newest: Notification) -> Pages:
    """Filters by what most, some and none of the rows are; by every status."""
    last = min(Notification.objects.count(), COUNTED_ROWS) // ROWS_PER_PAGE
    lists = ("batch", "job", "suppression", "preference", "endpoint", "template", "tenant")
    return {
        "dashboard": f"{ADMIN}dashboard/",
        "dashboard, 24 hours": f"{ADMIN}dashboard/?hours=24",
        "list": LIST,
        "list, last page": f"{LIST}?p={last}",
        "list, a tenant": f"{LIST}?tenant={newest.tenant.name}",
        "list, a tenant's failed": f"{LIST}?tenant={newest.tenant.name}&status=failed",
        **{f"list, {status.value}": f"{LIST}?status={status.value}" for status in Status},
        **{f"list, {name.value}": f"{LIST}?channel__exact={name.value}" for name in Channel},
        "list, urgent": f"{LIST}?priority__exact=0",
        "search, id": f"{LIST}?q={newest.pk}",
        "search, recipient": f"{LIST}?q={newest.to}",
        "search, nothing": f"{LIST}?q=nothing",
        "notification": f"{LIST}{newest.pk}/change/",
        **{f"list of each {name}": f"{ADMIN}{name}/" for name in lists},
    }


def pages_of_api(newest: Notification) -> Pages:
    return {
        "API, list": "/notifications",
        **{f"API, {status.value}": f"/notifications?status={status.value}" for status in Status},
        "API, recipient": f"/notifications?to={newest.to}",
        "API, one": f"/notifications/{newest.pk}",
        "metrics": "/metrics",
    }


def new_token(newest: Notification) -> str:
    key = api_keys.make_key()
    APIKey.objects.create(
        tenant=newest.tenant, public_id=key.public_id, digest=key.digest, scopes=KeyScope.values
    )
    return key.token


def asked(client: Client, url: str, times: int) -> tuple[float, int]:
    answer = client.get(url)
    assert answer.status_code == 200, f"{url}: {answer.status_code}"
    return cost(partial(client.get, url), times)


def cost(call: Callable[[], Any], times: int) -> tuple[float, int]:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1000)
    if times > 1:
        time.sleep(FRESH_SECONDS)
    with CaptureQueriesContext(connection) as queries:
        call()
    return max(took), len(queries)


if __name__ == "__main__":
    main()
