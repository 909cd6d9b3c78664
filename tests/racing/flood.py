"""One tenant floods a channel in bulk; others send little: `python -m tests.racing.flood 2000 8`.

So many notifications of `flood` are accepted in calls of 1000, and for so many seconds each
half a second one of `quiet`, a batch of two of `paired` and an urgent one of `flood`. Prints the
id, the kind and the time of acceptance of those.
"""

import sys
import time

import django

django.setup()

from notifications import notify, notify_many  # noqa: E402 - models need the apps
from notifications.models import Tenant  # noqa: E402

ITEM = {"channel": "sms", "to": "+14155550123", "body": "Hello"}
SIZE = 1000


def main(count: int, seconds: float) -> None:
    for name in ("flood", "quiet", "paired"):
        Tenant.objects.get_or_create(name=name)
    for start in range(0, count, SIZE):
        notify_many([ITEM] * min(SIZE, count - start), tenant="flood")
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        tell("quiet", notify(tenant="quiet", **ITEM).pk)
        for notification in notify_many([ITEM] * 2, tenant="paired"):
            tell("paired", notification.pk)
        tell("urgent", notify(tenant="flood", priority="urgent", **ITEM).pk)
        time.sleep(0.5)


def tell(kind: str, id: object) -> None:
    sys.stdout.write(f"{id} {kind} {time.time()}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
