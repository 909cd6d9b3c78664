"""Reports from many connections at once: repeated, shuffled, early, and each applied once."""

import json
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from notifications.providers.simulated_receipts import sign
from tests.processes import Processes, wait_until

pytestmark = pytest.mark.timeout(180)

TOKEN = "between-us"
SIMULATED = "notifications.providers.simulated.SimulatedProvider"
COUNT, TIMES, CONNECTIONS = 12, 6, 20
KINDS = ("accepted", "in_transit", "delivered")


def with_token(env: dict[str, str], **options: float) -> dict[str, str]:
    known = {"RECEIPT_TOKEN": TOKEN, **options}
    providers = {"simulated": {"BACKEND": SIMULATED, "OPTIONS": known}}
    return env | {
        "DJANGO_SETTINGS_MODULE": "tests.racing.settings",
        "TEST_NOTIFICATIONS": json.dumps({"PROVIDERS": providers}),
    }


class Site:
    """A server, and a tenant of it."""

    def __init__(self, base: str, key: str) -> None:
        self.base, self.headers = base, {"Authorization": f"Bearer {key}"}

    def accept(self) -> list[str]:
        item = {"channel": "sms", "to": "+14155550123", "body": "Hello"}
        body = {"notifications": [item | {"metadata": {"simulate": "accept"}}] * COUNT}
        answer = requests.post(
            f"{self.base}/notify/batch", json=body, headers=self.headers, timeout=30
        )
        return [result["id"] for result in answer.json()["results"]]

    def show(self, id: str) -> dict[str, Any]:
        answer = requests.get(
            f"{self.base}/notifications/{id}", headers=self.headers, timeout=30
        ).json()
        return dict(answer)

    def statuses(self, ids: list[str]) -> Counter[str]:
        return Counter(self.show(id)["status"] for id in ids)

    def report(self, receipt: dict[str, str]) -> int:
        body = json.dumps({"receipts": [receipt]}).encode()
        headers = {"X-Signature": sign(body, TOKEN)}
        url = f"{self.base}/receipts/simulated"
        return requests.post(url, body, headers=headers, timeout=60).status_code


def receipts_of(ids: list[str]) -> list[dict[str, str]]:
    """All kinds for each, several times, in disorder: half by our id, half by the provider's."""
    found = []
    for number, id in enumerate(ids):
        name = "notification_id" if number % 2 else "provider_message_id"
        value = id if number % 2 else f"sim-{id}-1"
        found += [{"event_id": f"{id}:{kind}", "kind": kind, name: value} for kind in KINDS] * TIMES
    random.Random(7).shuffle(found)
    return found


def check_each_was_heard_once(site: Site, ids: list[str]) -> None:
    wait_until(
        lambda: site.statuses(ids) == {"delivered": COUNT},
        timeout=60,
        what="all delivered",
        every=0.5,
    )
    wait_until(
        lambda: all(len(site.show(id)["receipts"]) == len(KINDS) for id in ids),
        timeout=20,
        what="no orphan left",
        every=0.5,
    )
    for id in ids:
        kinds = [receipt["kind"] for receipt in site.show(id)["receipts"]]
        assert sorted(kinds) == sorted(KINDS)
        assert len(site.show(id)["attempts"]) == 1


def applied(site: Site) -> float:
    text = requests.get(f"{site.base}/metrics", timeout=30).text
    lines = [line for line in text.splitlines() if 'kind="delivered"' in line]
    return sum(float(line.split()[-1]) for line in lines if 'result="applied"' in line)


def send_all(site: Site, receipts: list[dict[str, str]]) -> None:
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        assert set(pool.map(site.report, receipts)) == {200}


def test_in_one_process_each_ends_delivered(
    processes: Processes, embedded_env: dict[str, str]
) -> None:
    env = with_token(embedded_env)
    key = processes.manage(env, "create_api_key", "shop", "--create").split()[0]
    site = Site(processes.serve(env)[1], key)
    ids = site.accept()
    wait_until(lambda: site.statuses(ids) == {"sent": COUNT}, timeout=60, what="sent", every=0.5)
    send_all(site, receipts_of(ids))
    check_each_was_heard_once(site, ids)
    assert applied(site) == COUNT


def test_on_postgres_they_may_overtake_their_send(
    processes: Processes, production_env: dict[str, str]
) -> None:
    env = with_token(production_env, LATENCY_MS=2000)
    key = processes.manage(env, "create_api_key", "shop", "--create").split()[0]
    _, base = processes.gunicorn(env, "--workers", "2", "--threads", "10")
    processes.worker(env, "--concurrency", "2")
    site = Site(base, key)
    ids = site.accept()
    wait_until(lambda: site.statuses(ids)["sending"], timeout=60, what="sending", every=0.1)
    send_all(site, receipts_of(ids))
    check_each_was_heard_once(site, ids)
