"""What all targets say adds up to what the database says, although processes are killed.

Small here; `make metrics` has the same with 20,000.
"""

import json
import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests

from notifications.enums import Channel, Priority, Status
from tests.observability.scraping import Targets, total
from tests.processes import Process, Processes, wait_until
from tests.servers.base import free_port

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(600)]

COUNT = int(os.environ.get("ADDING_UP", "900"))
CALL = 50
IN_HAND = 2 * 100 + 4 * CALL
"""What a killed process may have committed and not yet counted: a window or a call a thread."""

SIMULATED = ("deliver", "bounce", "reject", "transient,deliver", "timeout", "slow:20")
BODIES: tuple[dict[str, Any], ...] = (
    {"channel": "email", "to": "ada@example.com", "subject": "Hello", "body": "Hello"},
    {"channel": "sms", "to": "+14155550123", "body": "Hello"},
    {"channel": "webhook", "to": "https://example.com/hook", "payload": {}},
)
SETTINGS = {
    "CHANNELS": {
        name: {"RETRY": {"BACKOFF": 0.5}, "ON_UNKNOWN": "park"}
        for name in ("email", "sms", "webhook")
    },
    "PROVIDERS": {
        "simulated": {
            "BACKEND": "notifications.providers.simulated.SimulatedProvider",
            "TIMEOUT": 1,
        }
    },
    "LEASE_SECONDS": 5,
    "HINT_SECONDS": 5,
}


class Host:
    """Two web servers with a directory each, as on two hosts, and two workers with a port each."""

    def __init__(self, processes: Processes, env: dict[str, str], directory: Path) -> None:
        self._processes, self._directory = processes, directory
        self.env = env | {
            "DJANGO_SETTINGS_MODULE": "tests.racing.settings",
            "TEST_NOTIFICATIONS": json.dumps(SETTINGS),
        }
        key = processes.manage(self.env, "create_api_key", "default", "--create").split()[0]
        self.headers = {"Authorization": f"Bearer {key}"}
        self.ports = {"worker-1": free_port(), "worker-2": free_port()}
        self.urls: dict[str, str] = {}
        self.running: dict[str, Process] = {}

    def start(self) -> None:
        for name in ("web-1", "web-2"):
            self.start_web(name)
        for name in self.ports:
            self.start_worker(name)

    def start_web(self, name: str) -> None:
        env = self.env | {"PROMETHEUS_MULTIPROC_DIR": str(self._directory / name)}
        process, url = self._processes.gunicorn(env, "--workers", "2", "--threads", "2")
        self.running[name], self.urls[name] = process, url

    def start_worker(self, name: str) -> None:
        port = self.ports[name]
        env = self.env | {"WORKER_METRICS_PORT": str(port)}
        self.running[name] = self._processes.worker(env, "--concurrency", "2")
        self.running[name].wait_for_http(f"http://127.0.0.1:{port}/metrics")
        self.urls[name] = f"http://127.0.0.1:{port}"

    def targets(self) -> dict[str, str]:
        return {name: f"{url}/metrics" for name, url in self.urls.copy().items()}

    def post(self, number: int) -> None:
        """One call of many, at whichever web server answers."""
        items = [
            BODIES[n % 3]
            | {"priority": Priority(n % 3).label, "metadata": {"simulate": SIMULATED[n % 6]}}
            for n in range(number, number + CALL)
        ]
        web = sorted(url for name, url in self.targets().items() if name.startswith("web"))
        for url in web[:: -1 if number // CALL % 2 else 1]:
            try:
                answer = requests.post(
                    url.replace("/metrics", "/notify/batch"),
                    json={"notifications": items},
                    headers=self.headers,
                    timeout=30,
                )
            except requests.RequestException:
                continue  # killed; the answer is lost, the rows may be there
            assert answer.status_code == 202, answer.text
            return


class Truth:
    """The database's side of it."""

    def __init__(self, url: str) -> None:
        self._url = url

    def count(self, table: str, *columns: str, where: str = "true") -> Counter[tuple[Any, ...]]:
        named = ", ".join(columns) or "1"
        sql = f"SELECT {named}, count(*) FROM notifications_{table} WHERE {where} GROUP BY {named}"
        with psycopg.connect(self._url, autocommit=True) as connection:
            return Counter({row[:-1]: row[-1] for row in connection.execute(sql).fetchall()})

    def is_done(self) -> bool:
        open_states = "state IN ('scheduled','queued','leased','dispatching','retry_wait')"
        return not self.count("notification", where=open_states)

    def attempts(self) -> Counter[tuple[Any, ...]]:
        joined = "attempt a JOIN notifications_notification n ON n.id = a.notification_id"
        return self.count(joined, "n.channel", "a.provider", "a.outcome")


@pytest.fixture
def host(processes: Processes, production_env: dict[str, str], tmp_path: Path) -> Host:
    made = Host(processes, production_env, tmp_path)
    made.start()
    return made


def test_metrics_add_up_although_processes_are_killed(
    host: Host, production_env: dict[str, str]
) -> None:
    truth, targets = Truth(production_env["DATABASE_URL"]), Targets(host.targets())
    with targets.watched():
        wait_until(lambda: targets.last.keys() >= host.urls.keys(), 60, "an answer of each")
        killed_at = _run_and_kill(host, truth)
        wait_until(truth.is_done, 60 + COUNT / 50, "all settled", every=0.3)
    targets.look()
    _judge(targets, truth, _since_last_scrape(targets, truth, killed_at))

    for name in killed_at:
        (host.start_web if name.startswith("web") else host.start_worker)(name)
    targets.urls = host.targets()
    targets.look()
    _judge(targets, truth, IN_HAND)
    _judge_gauges(targets, truth)


def _run_and_kill(host: Host, truth: Truth) -> dict[str, float]:
    """Post it all, and kill a web server and a worker in the middle; when each was."""
    calls = range(0, COUNT, CALL)
    killed_at = {}
    with ThreadPoolExecutor(3) as pool:
        posted = [pool.submit(host.post, number) for number in calls]
        for name, share in (("web-1", 3), ("worker-1", 2)):
            wait_until(lambda least=COUNT // share: _settled(truth) >= least / 2, 120, name)
            killed_at[name] = time.time()
            host.running[name].kill()
            del host.urls[name]
    for call in posted:
        call.result()
    return killed_at


def _settled(truth: Truth) -> int:
    return sum(truth.count("notification", where="settled_at IS NOT NULL").values())


def _since_last_scrape(targets: Targets, truth: Truth, killed_at: dict[str, float]) -> int:
    """All that happened anywhere between a process's last answer and its end."""
    missed = 0
    for name, at in killed_at.items():
        since, _ = targets.last[name]
        during = f"BETWEEN to_timestamp({since - 0.1}) AND to_timestamp({at + 0.5})"
        table, column = (
            ("notification", "created_at") if "web" in name else ("attempt", "finished_at")
        )
        missed += sum(truth.count(table, where=f"{column} {during}").values())
    return missed


def _judge(targets: Targets, truth: Truth, most_missing: float) -> None:
    accepted = truth.count("notification", "channel", "priority")
    _agree(targets, "accepted_total", accepted, ("channel", "priority"), most_missing)
    attempts = truth.attempts()
    _agree(targets, "attempts_total", attempts, ("channel", "provider", "outcome"), most_missing)
    settled = Counter(
        {
            (channel, _status(state, receipt)): count
            for (channel, state, receipt), count in truth.count(
                "notification", "channel", "state", "receipt_state", where="settled_at IS NOT NULL"
            ).items()
        }
    )
    _agree(targets, "settled_total", settled, ("channel", "status"), most_missing)
    sent = Counter({k: n for k, n in attempts.items() if k[2] == "accepted"})
    assert 0 <= sum(sent.values()) - targets.total("time_to_send_seconds_count") <= most_missing
    calls = sum(attempts.values()) - targets.total("provider_seconds_count", provider="simulated")
    assert 0 <= calls <= most_missing
    receipts = sum(truth.count("receipt").values())
    assert 0 <= receipts - targets.total("receipts_total", result="applied") <= most_missing


def _status(state: str, receipt: int) -> str:
    if state != "sent":
        return state
    return {30: "delivered", 31: "undelivered", 40: "undelivered"}[receipt]


def _agree(
    targets: Targets,
    name: str,
    expected: Counter[tuple[Any, ...]],
    labels: tuple[str, ...],
    most_missing: float,
) -> None:
    missing = 0.0
    for values, count in expected.items():
        named = {
            label: Priority(value).label if label == "priority" else str(value)
            for label, value in zip(labels, values, strict=True)
        }
        counted = targets.total(name, **named)
        assert counted <= count, f"{name} {named}: {counted} for {count}"
        missing += count - counted
    assert targets.total(name) <= sum(expected.values()), name
    assert missing <= most_missing, f"{name}: {missing} of {expected.total()} are not counted"


def _judge_gauges(targets: Targets, truth: Truth) -> None:
    """Each target says the same, and it is what is there."""
    unknown = truth.count("notification", "channel", "priority", where="state = 'unknown'")
    for name, (_, samples) in targets.last.items():
        assert total(samples, "backlog") == sum(unknown.values()), name
        for (channel, priority), count in unknown.items():
            labels = {"channel": Channel(channel).value, "priority": Priority(priority).label}
            assert total(samples, "backlog", status=Status.UNKNOWN.value, **labels) == count
        assert total(samples, "oldest_due_seconds") == 0
        assert total(samples, "workers") >= 2
        assert total(samples, "database_up") == total(samples, "broker_up") == 1
