"""Accepts text messages into digests until it is killed: `python -m tests.faults.gathering 4`.

Each says a word of its own, to one of so many recipients; its id is printed when it was accepted.
"""

import random
import sys
from itertools import count
from uuid import uuid4

import django

django.setup()

from notifications import notify  # noqa: E402 - models need the apps
from notifications.enums import Channel  # noqa: E402
from notifications.messages import TemplateDraft  # noqa: E402
from notifications.models import Tenant  # noqa: E402
from notifications.pipeline.template_store import put  # noqa: E402

LINES = "{% for item in items %}{{ item.body }} {% endfor %}"


def main(recipients: int) -> None:
    tenant, _ = Tenant.objects.get_or_create(name="default")
    put(tenant, "lines", TemplateDraft(Channel.SMS, {"body": LINES}))
    for _ in count():
        number = random.randrange(recipients)
        rule = {
            "key": "words",
            "template": "lines",
            "window": 1,
            "sliding": number % 2 == 0,
            "max_count": 10 + number,
        }
        to, word = f"+1415555{number:04}", f"w{uuid4().hex[:12]}"
        row = notify("sms", to=to, body=word, digest=rule, tenant=tenant)
        sys.stdout.write(f"{row.pk}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
