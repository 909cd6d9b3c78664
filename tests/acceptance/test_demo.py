"""`make demo` against a real process: its load comes through, and what is lost is told."""

import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from notifications.api_keys import make_key
from notifications.models import APIKey, Notification, Tenant
from project.demo import Client, Refused, refuse_real_providers
from tests.processes import ROOT, Processes, environment
from tests.servers.base import free_port

pytestmark = pytest.mark.timeout(120)


def demo(env: Mapping[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "project.demo", *arguments]
    return subprocess.run(
        command, env=dict(env), cwd=ROOT, capture_output=True, text=True, timeout=100
    )


def row(output: str, name: str) -> list[str]:
    [line] = [line for line in output.splitlines() if line.startswith(f"{name} ")]
    return line.split()[1:]


def test_a_load_comes_through_and_what_does_not_is_told(
    processes: Processes, embedded_env: dict[str, str], tmp_path: Path
) -> None:
    deaf, url = processes.serve(embedded_env, "--no-worker")
    done = demo(embedded_env, "--count", "9", "--url", url, "--timeout", "0.5")
    assert done.returncode == 1, done.stdout + done.stderr
    assert row(done.stdout, "all")[5] == "9"
    assert "of demo-tea: queued" in done.stdout
    deaf.stop()

    _, url = processes.serve(embedded_env)
    done = demo(embedded_env, "--count", "90", "--url", url)
    assert done.returncode == 0, done.stdout + done.stderr
    accepted, delivered, retried, failed, unknown, lost = map(int, row(done.stdout, "all")[:6])
    assert (accepted, lost) == (90, 0)
    assert delivered + failed + unknown == 90
    assert delivered > 60
    assert min(retried, failed, unknown) > 0
    assert [int(row(done.stdout, name)[0]) for name in ("email", "sms", "webhook")] == [30] * 3
    with closing(sqlite3.connect(tmp_path / "db.sqlite3")) as database:
        assert database.execute("SELECT * FROM notifications_apikey").fetchall() == []


def test_where_nothing_listens_it_says_what_to_do(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = demo(environment(f"sqlite:///{tmp_path}/db.sqlite3", tmp_path), "--url", url)
    assert done.returncode == 2
    assert "Start `make run` in another terminal" in done.stderr


@pytest.mark.django_db(transaction=True)
def test_recipients_of_a_demo_are_not_sent_to_by_a_real_provider(
    live_server: Any, settings: Any
) -> None:
    real = {"BACKEND": "notifications.providers.django_email.DjangoEmailProvider"}
    settings.NOTIFICATIONS = {
        "PROVIDERS": {"smtp": real},
        "CHANNELS": {"email": {"PROVIDERS": ["smtp"]}},
    }
    tenant, key = Tenant.objects.create(name="demo-tea"), make_key()
    APIKey.objects.create(tenant=tenant, public_id=key.public_id, digest=key.digest)
    with pytest.raises(Refused, match="email goes through smtp there"):
        refuse_real_providers(Client(live_server.url, "demo-tea", key.token))
    with pytest.raises(Refused, match="works with another database"):
        refuse_real_providers(Client(live_server.url, "demo-tea", make_key().token))
    assert not Notification.objects.exists()
