"""`make up`: the production shape as processes of this machine, from the `Procfile`.

PostgreSQL and Redis come first, unless DATABASE_URL and REDIS_URL name others; then `migrate`;
then the rest side by side, run by honcho. SIGINT and SIGTERM end them in the opposite order: the
servers stay until all else has drained.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from honcho.environ import parse_procfile
from honcho.manager import Manager

from tests.servers.base import START_SECONDS, free_port

from .servers import SERVERS, kept

ROOT = Path(__file__).resolve().parent.parent
FIRST = "migrate"

DRAIN_SECONDS = 60.0
"""How long the web server and the workers may take to finish what they have in hand."""

Environment = dict[str, str]


def main() -> int:
    """Run it all until a signal or the end of one part; the exit code."""
    parser = ArgumentParser(prog="make up", description="The production shape on this machine.")
    parser.add_argument("--directory", type=Path, default=ROOT / "var" / "up", help="for its data")
    directory = parser.parse_args().directory.resolve()
    env = environment(directory, os.environ)
    _refuse_a_port_in_use(int(env["PORT"]))
    _empty(Path(env["PROMETHEUS_MULTIPROC_DIR"]))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    return _run(processes(), env)


def processes() -> dict[str, str]:
    """The commands of the `Procfile` by their names."""
    return dict(parse_procfile((ROOT / "Procfile").read_text()).processes)


def environment(directory: Path, given: Mapping[str, str]) -> Environment:
    """What the processes are told; URLs that are given stay, and need no server here."""
    port = given.get("PORT", "8000")
    own_redis = f"redis://127.0.0.1:{free_port()}"
    redis = given.get("REDIS_URL")
    return {
        **given,
        "PATH": f"{Path(sys.executable).parent}:{given['PATH']}",
        "PYTHONUNBUFFERED": "1",
        "UP_DIRECTORY": str(directory),
        "PORT": port,
        "GUNICORN_CMD_ARGS": f"--bind 127.0.0.1:{port}",
        "DATABASE_URL": given.get("DATABASE_URL")
        or f"postgres://postgres@127.0.0.1:{free_port()}/postgres",
        "REDIS_URL": redis or f"{own_redis}/1",
        "CELERY_BROKER_URL": given.get("CELERY_BROKER_URL") or redis or f"{own_redis}/0",
        "PROMETHEUS_MULTIPROC_DIR": str(directory / "metrics"),
    }


def _run(commands: Mapping[str, str], env: Environment) -> int:
    with ExitStack() as servers:
        for name, (_, variable) in SERVERS.items():
            if not os.environ.get(variable):
                servers.enter_context(_running(name, commands[name], env))
        if subprocess.run(commands[FIRST], shell=True, cwd=ROOT, env=env).returncode:
            raise SystemExit(f"It ends here, because this failed: {commands[FIRST]}")
        print(_told(env), flush=True)
        manager = DrainingManager()
        for name, command in commands.items():
            if name not in (*SERVERS, FIRST):
                manager.add_process(name, f"exec {command}", env=env, cwd=str(ROOT))
        manager.loop()
    print("Stopped.", flush=True)
    return 0 if manager.was_told else manager.returncode or 0


@contextmanager
def _running(name: str, command: str, env: Environment) -> Iterator[None]:
    server, log = kept(name, env), Path(env["UP_DIRECTORY"], f"{name}.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    print(f"Starting {name} ...", flush=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            f"exec {command}",
            shell=True,
            cwd=ROOT,
            env=env,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_until(server.is_ready, process, log)
        yield
    finally:
        process.send_signal(server.stop_signal)
        process.wait()


def _wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"It did not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.05)


class DrainingManager(Manager):
    """honcho's manager, which lets what it stops drain: it is patient, and signals parents only.

    By itself it sends SIGTERM to whole process groups, and SIGKILL five seconds later. The
    children of a worker would end at once, in the middle of what they are sending.
    """

    def __init__(self) -> None:
        super().__init__()
        self._procmgr = _ParentsOnly()
        self._kill_at = 0.0

    @property
    def was_told(self) -> bool:
        """Whether it ended by a signal, and not because one of the processes did."""
        return self.returncode in (128 + signal.SIGINT, 128 + signal.SIGTERM)

    def terminate(self) -> None:
        if not self._all_started():
            # A signal as early as that; honcho does not know yet what it would have to stop.
            threading.Timer(0.1, self.terminate).start()
            return
        self._kill_at = self._kill_at or time.monotonic() + DRAIN_SECONDS
        super().terminate()

    def kill(self) -> None:
        if time.monotonic() > self._kill_at:
            super().kill()


class _ParentsOnly:
    def terminate(self, pid: int) -> None:
        os.kill(pid, signal.SIGTERM)

    def kill(self, pid: int) -> None:
        os.killpg(pid, signal.SIGKILL)


def _refuse_a_port_in_use(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise SystemExit(
                f"Cannot serve on 127.0.0.1:{port}: {error.strerror}. "
                "Choose another: make up PORT=9000"
            ) from error


def _empty(metrics: Path) -> None:
    """The files of processes that are gone, which nobody would ever remove."""
    shutil.rmtree(metrics, ignore_errors=True)
    metrics.mkdir(parents=True)


def _told(env: Environment) -> str:
    names = ("DATABASE_URL", "CELERY_BROKER_URL", "REDIS_URL")
    lines = ["For commands beside it, such as `.venv/bin/python manage.py notifications_status`:"]
    lines += ["", "export " + " ".join(f"{name}={env[name]}" for name in names)]
    lines += ["", "Ctrl-C drains and stops all of it.", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
