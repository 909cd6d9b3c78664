import signal
import subprocess
import sys
import time

import requests

from tests.processes import ROOT, Processes
from tests.servers.base import free_port

Environment = dict[str, str]


def test_it_says_when_it_is_up_answers_and_ends_in_good_order(
    processes: Processes, embedded_env: Environment
) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        process, url = processes.serve(embedded_env)
        process.wait_for_text(f"Serving on {url} — Ctrl-C drains and stops")
        assert requests.get(f"{url}/nothing-here", timeout=5).status_code == 404
        begun = time.monotonic()
        process.signal(number)
        assert process.wait() == 0
        assert time.monotonic() - begun < 15
        assert process.text().rstrip().endswith("Stopped.")


def test_a_kept_open_connection_does_not_hold_up_the_end(
    processes: Processes, embedded_env: Environment
) -> None:
    process, url = processes.serve(embedded_env)
    with requests.Session() as session:
        session.get(f"{url}/nothing-here", timeout=5)
        begun = time.monotonic()
        assert process.stop() == 0
    assert time.monotonic() - begun < 20


def test_without_a_worker_it_serves_http_alone(
    processes: Processes, embedded_env: Environment
) -> None:
    process, url = processes.serve(embedded_env, "--no-worker")
    assert requests.get(f"{url}/nothing-here", timeout=5).status_code == 404
    assert process.stop() == 0
    assert "celery" not in process.text()


def test_a_port_in_use_is_said_in_one_line(processes: Processes, embedded_env: Environment) -> None:
    _, url = processes.serve(embedded_env, "--no-worker")
    port = url.rpartition(":")[2]
    done = subprocess.run(
        [sys.executable, "manage.py", "serve", "--port", port],
        env=embedded_env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert f"Cannot serve on 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_serves_though_the_broker_is_away(
    processes: Processes, embedded_env: Environment
) -> None:
    away = {"CELERY_BROKER_URL": f"redis://127.0.0.1:{free_port()}/0"}
    process, url = processes.serve(embedded_env | away)
    assert requests.get(f"{url}/nothing-here", timeout=5).status_code == 404
    process.wait_for_text("The broker does not answer")
    assert process.stop() == 0
