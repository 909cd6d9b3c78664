"""Health, readiness, metrics: who may ask, and what they are told."""

from datetime import UTC, datetime

import pytest
from pytest_django import Settings

from notifications.models import Worker
from notifications.observability import readiness
from tests.api.conftest import API

pytestmark = pytest.mark.django_db


@pytest.fixture
def _broker_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_probe", readiness._Probe(lambda: None))


def test_a_process_that_answers_is_healthy(anybody: API) -> None:
    assert anybody.get("/healthz").json() == {"status": "ok"}


@pytest.mark.usefixtures("_broker_is_there")
def test_without_a_worker_it_is_not_ready(anybody: API) -> None:
    response = anybody.get("/readyz")
    body = response.json()
    assert (response.status_code, body["status"]) == (503, "not_ready")
    assert body["checks"]["database"]["ok"]
    assert not body["checks"]["worker"]["ok"]


@pytest.mark.usefixtures("_broker_is_there")
def test_with_all_its_parts_it_is_ready(anybody: API) -> None:
    Worker.objects.create(name="w", seen_at=datetime.now(UTC))
    response = anybody.get("/readyz")
    assert (response.status_code, response.json()["status"]) == (200, "ready")


def metrics(api: API, remote: str, **headers: str) -> int:
    api.client.defaults["REMOTE_ADDR"] = remote
    return int(api.get("/metrics", **headers).status_code)


def test_metrics_are_open_to_this_host(anybody: API) -> None:
    for remote in ("127.0.0.1", "127.9.9.9", "::1"):
        assert metrics(anybody, remote) == 200
    text = anybody.get("/metrics")
    assert text["Content-Type"].startswith("text/plain")
    assert b"notifications_backlog{" in text.content


def test_metrics_are_closed_to_others_without_a_token(anybody: API) -> None:
    for remote in ("10.0.0.1", "2001:db8::1", "", "unix:"):
        assert metrics(anybody, remote) == 401


def test_a_proxy_on_this_host_makes_nobody_local(anybody: API) -> None:
    assert metrics(anybody, "127.0.0.1", X_Forwarded_For="127.0.0.1") == 401


def test_the_token_opens_the_metrics(anybody: API, settings: Settings) -> None:
    settings.METRICS_TOKEN = "secret-é"
    anybody.client.defaults["REMOTE_ADDR"] = "10.0.0.1"
    for shown in ("", "Bearer ", "Bearer other", "Bearer ŝecret", "secret-é", "Bearer  secret-é"):
        assert metrics(anybody, "10.0.0.1", Authorization=shown) == 401
    assert metrics(anybody, "10.0.0.1", Authorization="Bearer secret-é") == 200


def test_an_empty_token_opens_nothing(anybody: API, settings: Settings) -> None:
    settings.METRICS_TOKEN = ""
    assert metrics(anybody, "10.0.0.1", Authorization="Bearer ") == 401


def test_an_api_key_opens_no_metrics(api: API) -> None:
    assert metrics(api, "10.0.0.1") == 401
