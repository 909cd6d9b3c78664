"""Lets a recipient be left alone for some seconds: `python -m tests.faults.quiet +1415… 10`.

Prints when that is over, in seconds since 1970.
"""

import sys
from datetime import timedelta

import django

django.setup()

from notifications.enums import Channel  # noqa: E402 - models need the apps
from notifications.models import Tenant  # noqa: E402
from notifications.pipeline import database  # noqa: E402
from notifications.pipeline.preferences import put  # noqa: E402
from notifications.preference import Wish  # noqa: E402
from notifications.quiet_hours import QuietHours  # noqa: E402


def main(recipient: str, seconds: float) -> None:
    now = database.now()
    end = now + timedelta(seconds=seconds)
    hours = QuietHours((now - timedelta(hours=1)).time(), end.time(), "UTC")
    tenant, _ = Tenant.objects.get_or_create(name="default")
    put(tenant, Wish(Channel.SMS, recipient, quiet_hours=hours))
    sys.stdout.write(f"{end.timestamp()}\n")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
