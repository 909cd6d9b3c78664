"""The development receiver, in the served project: what is sent arrives there and is verified."""

import re
import time
from typing import Any

import pytest
import requests

from tests.processes import Processes, wait_until

Environment = dict[str, str]

IN_DEVELOPMENT = {"DEBUG": "true", "WEBHOOKS": "true", "WEBHOOK_LOOPBACK": "true"}


class Served:
    """The project with its receiver, and a client of a tenant."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.headers = {"Authorization": f"Bearer {token}"}

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = requests.post(f"{self.url}{path}", json=body, headers=self.headers, timeout=10)
        assert answer.ok, answer.text
        return dict(answer.json())

    def get(self, id: str) -> dict[str, Any]:
        found = requests.get(f"{self.url}/notifications/{id}", headers=self.headers, timeout=10)
        return dict(found.json())

    def send(self, to: str) -> str:
        body = {"channel": "webhook", "to": f"{self.url}{to}", "event": "a.b", "payload": {"n": 7}}
        return str(self.post("/notify", **body)["id"])

    def wait_for(self, id: str, *statuses: str) -> dict[str, Any]:
        wait_until(lambda: self.get(id)["status"] in statuses, timeout=30, what=f"{statuses}")
        return self.get(id)

    def shown(self) -> str:
        return requests.get(f"{self.url}/receiver/", timeout=10).text


@pytest.fixture
def served(processes: Processes, embedded_env: Environment) -> Served:
    env = embedded_env | IN_DEVELOPMENT
    _, url = processes.serve(env)
    [token] = re.findall(r"nk_\S+", processes.manage(env, "create_api_key", "shop", "--create"))
    return Served(url, token)


def test_what_is_sent_arrives_and_is_verified(served: Served) -> None:
    served.wait_for(served.send("/receiver/hook"), "delivered")
    assert "NOT VERIFIED" not in served.shown()
    endpoint = served.post("/endpoints", url=f"{served.url}/receiver/own")
    served.post(f"/endpoints/{endpoint['id']}/rotate")
    served.wait_for(served.send("/receiver/own"), "delivered")
    page = served.shown()
    assert page.count("verified") == 2
    assert "NOT VERIFIED" not in page


def test_it_answers_as_it_is_told(served: Served) -> None:
    gone = served.send("/receiver/hook?status=410")
    busy = served.send("/receiver/hook?status=503&retry_after=600")
    assert served.wait_for(gone, "failed")["error"]["code"] == "gone"
    assert served.wait_for(busy, "retrying")["error"]["code"] == "http_503"
    began = time.monotonic()
    late = requests.post(f"{served.url}/receiver/hook?delay=1&status=201", timeout=20)
    assert (late.status_code, time.monotonic() - began >= 1) == (201, True)
    dropped = served.wait_for(served.send("/receiver/hook?drop"), "retrying")
    [attempt] = dropped["attempts"]
    assert attempt["outcome"] == "ambiguous"
    assert "hook?drop" in served.shown()
    with pytest.raises(requests.ConnectionError):
        requests.post(f"{served.url}/receiver/hook?drop", timeout=20)
    with pytest.raises(requests.ReadTimeout):
        requests.post(f"{served.url}/receiver/hook?hang", timeout=0.5)
    assert requests.get(f"{served.url}/healthz", timeout=20).status_code == 200


def test_what_nobody_signed_is_shown_as_such(served: Served) -> None:
    forged = {"webhook-id": "<b>x</b>", "webhook-timestamp": "0", "webhook-signature": "v1,eA=="}
    posted = requests.post(
        f"{served.url}/receiver/hook", data="<script>", headers=forged, timeout=10
    )
    assert posted.status_code == 200
    page = served.shown()
    assert "NOT VERIFIED" in page
    assert "<script>" not in page
    assert "<b>" not in page


def test_without_debug_it_is_not_there_nor_can_it_be(
    processes: Processes, embedded_env: Environment
) -> None:
    _, url = processes.serve(embedded_env | {"WEBHOOKS": "true"}, "--no-worker")
    assert requests.get(f"{url}/receiver/", timeout=10).status_code == 404
    with pytest.raises(AssertionError, match="E011"):
        processes.serve(embedded_env | {"WEBHOOK_LOOPBACK": "true"}, "--no-worker")
