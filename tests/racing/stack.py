"""Real workers on real servers."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg
from celery import Celery

from tests.processes import ROOT, Process, Processes, wait_until
from tests.racing import ledger
from tests.racing.client import Client

OPEN = ("scheduled", "in_digest", "queued", "leased", "dispatching", "retry_wait")


class Product:
    """One database, one broker, and the product's processes on them, which come and go."""

    def __init__(
        self,
        processes: Processes,
        env: dict[str, str],
        notifications: dict[str, Any],
        settings_module: str = "tests.racing.settings",
    ) -> None:
        self.processes = processes
        self.env = env | {
            "DJANGO_SETTINGS_MODULE": settings_module,
            "TEST_NOTIFICATIONS": json.dumps(notifications),
        }
        self.url = env["DATABASE_URL"]

    def accept(self, count: int, **more: str) -> list[str]:
        """Have so many accepted from inside the project, each with the fields in `more`."""
        command = [sys.executable, "-m", "tests.racing.accept", str(count), json.dumps(more)]
        done = subprocess.run(
            command, env=self.env, cwd=ROOT, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    def worker(self, *, wait: bool = True, **env: str) -> Process:
        return self.processes.worker(self.env | env, "--concurrency", "2", wait=wait)

    def web(self, *arguments: str) -> tuple[Process, Client]:
        """gunicorn, and a client with a key of its own."""
        key = self.processes.manage(self.env, "create_api_key", "default", "--create").split()[0]
        process, base = self.processes.gunicorn(self.env, "--workers", "2", *arguments)
        return process, Client(base, key)

    def states(self) -> Counter[str]:
        rows = self.query("SELECT state, count(*) FROM notifications_notification GROUP BY state")
        return Counter(dict(rows))

    def waiting(self) -> int:
        states = self.states()
        return sum(states[state] for state in OPEN)

    def wait_until_done(self, timeout: float) -> None:
        wait_until(lambda: self.waiting() == 0, timeout, f"all settled: {self.states()}", every=0.5)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(sql).fetchall()

    def publish(self, ids: Sequence[str], times: int = 1) -> None:
        """Put hints on the broker by hand."""
        app = Celery(broker=self.env["CELERY_BROKER_URL"])
        queue = "notifications.sms.normal"
        for _ in range(times):
            for start in range(0, len(ids), 100):
                chunk = list(ids[start : start + 100])
                app.send_task("notifications.deliver_sms", args=(chunk,), queue=queue)


class Stack(Product):
    """With a provider that keeps a ledger: `ledger` is its own record."""

    def __init__(
        self,
        processes: Processes,
        env: dict[str, str],
        directory: Path,
        options: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.ledger = directory / "ledger"
        self.ledger.touch()
        notifications = {
            "CHANNELS": {name: {"PROVIDERS": ["ledger"]} for name in ("email", "sms", "webhook")},
            "PROVIDERS": {
                "ledger": {
                    "BACKEND": "tests.racing.ledger.LedgerProvider",
                    "OPTIONS": {"PATH": str(self.ledger), **(options or {})},
                    "TIMEOUT": 1,
                }
            },
            "LEASE_SECONDS": 5,
            "HINT_SECONDS": 5,
            **settings,
        }
        super().__init__(processes, env, notifications)

    def hits(self) -> Counter[str]:
        return ledger.hits(self.ledger)
