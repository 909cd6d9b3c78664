"""The parts of readiness, with a broker that is there, away, or silent."""

import socket
import time
from collections.abc import Iterator

import pytest
from celery import current_app
from kombu import Connection

from notifications.observability import readiness


def part(name: str) -> readiness.Part:
    return next(found for found in readiness.check_all() if found.name == name)


@pytest.fixture(autouse=True)
def _new_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_probe", readiness._Probe(readiness._greet_broker))


@pytest.fixture
def broker_at(monkeypatch: pytest.MonkeyPatch) -> object:
    def use(url: str) -> None:
        def connect(**options: object) -> Connection:
            return Connection(url, **options)

        monkeypatch.setattr(current_app, "connection_for_write", connect)

    return use


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Something that takes connections and never says a word, like a frozen server."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.django_db
def test_the_database_is_reachable_and_migrated() -> None:
    assert part("database").ok
    assert part("database").ok  # and cheaper the second time


@pytest.mark.django_db
def test_a_broker_that_answers_is_reachable(broker_at: object, redis_url: str) -> None:
    broker_at(redis_url)  # type: ignore[operator]
    assert part("broker").ok


@pytest.mark.django_db
@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_is_away_is_told_without_its_address(broker_at: object, scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    broker_at(f"{scheme}://user:secret@127.0.0.1:{port}")  # type: ignore[operator]
    found = part("broker")
    assert not found.ok
    assert "secret" not in found.detail
    assert str(port) not in found.detail


@pytest.mark.django_db
@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_frozen_broker_is_told_within_little_more_than_a_second(
    broker_at: object, scheme: str, silent_port: int
) -> None:
    broker_at(f"{scheme}://127.0.0.1:{silent_port}")  # type: ignore[operator]
    for _ in range(2):
        started = time.monotonic()
        assert not part("broker").ok
        assert time.monotonic() - started < 5
