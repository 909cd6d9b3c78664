"""The metrics port of a worker: who may read it, and that it lives and ends with its worker."""

import os
import signal
from pathlib import Path

import psutil
import pytest
import requests

from notifications.celery_checks import check_metrics_port
from notifications.observability.access import may_read
from tests.observability.scraping import scrape, total
from tests.processes import Processes, wait_until
from tests.servers.base import free_port


@pytest.mark.parametrize(
    ("address", "shown", "allowed"),
    [
        ("127.0.0.1", "", True),
        ("::1", "", True),
        ("10.0.0.7", "", False),
        ("10.0.0.7", "Bearer secret", True),
        ("10.0.0.7", "Bearer Secret", False),
        ("10.0.0.7", "Bearer ", False),
        ("10.0.0.7", "secret", False),
        ("", "Bearer \xe9", False),
        ("not an address", "", False),
    ],
)
def test_who_is_elsewhere_must_show_the_token(
    settings: pytest.FixtureRequest, address: str, shown: str, allowed: bool
) -> None:
    settings.METRICS_TOKEN = "secret"  # type: ignore[attr-defined]
    assert may_read(address, shown) is allowed


def test_without_a_token_nobody_elsewhere_may_read(settings: pytest.FixtureRequest) -> None:
    settings.METRICS_TOKEN = ""  # type: ignore[attr-defined]
    assert not may_read("10.0.0.7", "Bearer ")
    assert may_read("127.0.0.1", "")


@pytest.mark.parametrize("port", ["9100", 0, 65536, True])
def test_a_port_that_is_none_is_an_error(settings: pytest.FixtureRequest, port: object) -> None:
    settings.WORKER_METRICS_PORT = port  # type: ignore[attr-defined]
    assert [message.id for message in check_metrics_port()] == ["notifications.E013"]


def test_a_port_without_a_shared_directory_is_an_error(
    settings: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WORKER_METRICS_PORT = 9100  # type: ignore[attr-defined]
    assert check_metrics_port() == []
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR")
    assert [message.id for message in check_metrics_port()] == ["notifications.E013"]


def test_it_serves_while_its_worker_drains_and_ends_with_it(
    processes: Processes, embedded_env: dict[str, str], tmp_path: Path
) -> None:
    """One with threads, which counts in its main process, and is killed; the next goes on."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/metrics"
    env = embedded_env | {"WORKER_METRICS_PORT": str(port)}
    worker = processes.worker(env, "--pool", "threads")
    wait_until(lambda: total(scrape(url), "workers") == 1, 20, "it has shown itself", every=0.2)
    assert requests.get(f"http://127.0.0.1:{port}/", timeout=5).status_code == 404
    [child] = psutil.Process(worker.pid).children()
    child.send_signal(signal.SIGTERM)
    child.send_signal(signal.SIGINT)
    files = list((tmp_path / "metrics").glob(f"*-{port}/*.db"))
    assert any(f"-{port}-{worker.pid}" in file.name for file in files), files
    assert requests.get(url, timeout=5).status_code == 200

    os.kill(worker.pid, signal.SIGKILL)
    assert not psutil.wait_procs([child], timeout=10)[1]
    processes.worker(env, "--pool", "threads").wait_for_http(url)
