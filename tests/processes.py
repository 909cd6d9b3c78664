"""The product's processes as subprocesses: started, waited for, killed, their output kept."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, TypeVar

import requests

from tests.servers.base import free_port

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent


class Process:
    """A running command with all its children; its output goes to the file `log`."""

    def __init__(self, name: str, command: list[str], env: Mapping[str, str], log: Path) -> None:
        self.name, self.log = name, log
        self._output: IO[bytes] = log.open("ab")
        self._popen = subprocess.Popen(
            command,
            env=dict(env),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._popen.pid

    def is_running(self) -> bool:
        return self._popen.poll() is None

    def text(self) -> str:
        """All that it has written so far."""
        return self.log.read_text(errors="replace")

    def wait_for_text(self, text: str, timeout: float = 30) -> None:
        self._wait_for(lambda: text in self.text(), timeout, f"{self.name}: {text!r}")

    def wait_for_http(self, url: str, timeout: float = 30) -> None:
        """Until something answers there, whatever the status."""
        self._wait_for(lambda: _answers(url), timeout, f"{self.name}: an answer of {url}")

    def stop(self, timeout: float = 30) -> int:
        """Ask it to end (SIGTERM), and give its exit code; raises TimeoutExpired."""
        self._popen.terminate()
        return self.wait(timeout)

    def wait(self, timeout: float = 30) -> int:
        code = self._popen.wait(timeout)
        self._output.close()
        return code

    def kill(self) -> None:
        """SIGKILL to it and to its children at once."""
        self.signal(signal.SIGKILL)
        self.wait()

    def freeze(self) -> None:
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole process group; nothing when it is gone."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _wait_for(self, done: Callable[[], bool], timeout: float, what: str) -> None:
        def done_or_dead() -> bool:
            return done() or not self.is_running()

        wait_until(done_or_dead, timeout, what)
        if not done():
            raise AssertionError(f"{self.name} ended before: {what}\n{self.text()[-4000:]}")


class Processes:
    """Starts the product's processes under one environment and ends them all."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.started: list[Process] = []

    def start(self, name: str, command: list[str], env: Mapping[str, str]) -> Process:
        log = self.directory / f"{len(self.started)}-{name}.log"
        process = Process(name, command, env, log)
        self.started.append(process)
        return process

    def manage(self, env: Mapping[str, str], *arguments: str) -> str:
        """Run a management command to its end and give what it wrote; raises when it fails."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, env=dict(env), cwd=ROOT, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def worker(self, env: Mapping[str, str], *arguments: str, wait: bool = True) -> Process:
        """`celery -A project worker`; with `wait`, until it takes messages."""
        number = len(self.started)
        command = [sys.executable, "-m", "celery", "-A", "project", "worker"]
        command += ["--loglevel", "INFO", "--hostname", f"w{number}@localhost"]
        # Alone on its broker, it would wait a second for the answers of other workers.
        command += ["--without-mingle", "--without-gossip", *arguments]
        process = self.start("worker", command, env)
        if wait:
            process.wait_for_text(" ready.", timeout=60)
        return process

    def python(self, module: str, *arguments: str) -> Process:
        """A module of the tests, such as a server that stands for somebody else's."""
        command = [sys.executable, "-m", module, *arguments]
        return self.start(module.rpartition(".")[2], command, os.environ)

    def serve(self, env: Mapping[str, str], *arguments: str) -> tuple[Process, str]:
        """`manage.py serve` on a free port, and its URL once it answers."""
        port = free_port()
        command = [sys.executable, "manage.py", "serve", *arguments]
        process = self.start("serve", command, {**env, "PORT": str(port)})
        return process, _when_up(process, port)

    def gunicorn(self, env: Mapping[str, str], *arguments: str) -> tuple[Process, str]:
        """gunicorn on a free port, and its URL once it answers."""
        port = free_port()
        command = [sys.executable, "-m", "gunicorn", "project.wsgi"]
        command += ["--bind", f"127.0.0.1:{port}", *arguments]
        process = self.start("gunicorn", command, {**env, "PORT": str(port)})
        return process, _when_up(process, port)

    def close(self) -> None:
        for process in self.started:
            process.kill()

    def logs(self) -> str:
        return "\n".join(f"--- {p.log.name}\n{p.text()[-4000:]}" for p in self.started)


def environment(database_url: str, metrics: Path) -> dict[str, str]:
    """What all processes of the product are given, whatever their shape; no HTTPS."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", str(ROOT)),
        "PYTHONUNBUFFERED": "1",
        "DJANGO_SETTINGS_MODULE": "project.settings",
        "DATABASE_URL": database_url,
        "SECRET_KEY": "for-tests-only",
        "HTTPS": "false",
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
    }


def wait_until(ask: Callable[[], T], timeout: float = 30, what: str = "", every: float = 0.05) -> T:
    """The first truthy answer of `ask`; AssertionError after `timeout` seconds without one."""
    deadline = time.monotonic() + timeout
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what or ask}"
        time.sleep(every)
    return answer


def measured_until(is_enough: Callable[[T], bool], measure: Callable[[], T], times: int = 5) -> T:
    """What `measure` gives, again while it is not enough: the machine may be busy with others.

    For how fast something can be. What must never happen is looked for in each of them.
    """
    for _ in range(times):
        if is_enough(found := measure()):
            break
    return found


def _when_up(process: Process, port: int) -> str:
    url = f"http://127.0.0.1:{port}"
    process.wait_for_http(f"{url}/healthz", timeout=60)
    return url


def _answers(url: str) -> bool:
    try:
        requests.get(url, timeout=2)
    except requests.RequestException:
        return False
    return True
