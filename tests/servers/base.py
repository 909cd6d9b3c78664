"""A server of the suite: a process on a free port in a directory of its own."""

import ctypes
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import psutil

START_SECONDS = 60

PRCTL = getattr(ctypes.CDLL(None), "prctl", None)
SET_PARENT_DEATH_SIGNAL = 1  # of linux/prctl.h


class Server:
    """Starts, stops and hurts one server; everything of it is gone after `close`.

    A subclass says what to run (`command`), how to ask whether it answers (`is_ready`) and where
    it is (`url`). `stop` is an orderly end, `kill` a SIGKILL, `freeze` leaves its sockets open and
    silent until `thaw`. After `stop` and `kill`, `start` brings it back with its data and port.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self) -> None:
        self.port = free_port()
        self._directory: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        raise NotImplementedError

    def command(self) -> list[str]:
        raise NotImplementedError

    def is_ready(self) -> bool:
        raise NotImplementedError

    def prepare(self) -> None:
        """Called once, before the first start, with `directory` empty."""

    def environment(self) -> dict[str, str] | None:
        return None

    def user(self) -> str | None:
        return None

    @property
    def directory(self) -> Path:
        if self._directory is None:
            # Not pytest's own directory, which another user (see postgres) cannot enter.
            self._directory = Path(tempfile.mkdtemp(prefix=f"notifications-{self.name}-"))
            self.prepare()
        return self._directory

    @property
    def log(self) -> Path:
        return self.directory / "log"

    def start(self) -> None:
        """Run and wait until it answers; nothing when it is running."""
        if self.is_running():
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=self.environment(),
                user=self.user(),
                start_new_session=True,
                preexec_fn=self._end_with_parent,
            )
        self._wait_until_ready(time.monotonic() + START_SECONDS)

    def stop(self) -> None:
        self._end(self.stop_signal)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End it and remove its directory."""
        if self.is_running():
            self.thaw()
            self.stop()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _wait_until_ready(self, deadline: float) -> None:
        while not self.is_ready():
            if not self.is_running() or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.05)

    def _end_with_parent(self) -> None:
        """In the child: a suite that is killed leaves no server behind. Linux only."""
        if PRCTL is not None:
            PRCTL(SET_PARENT_DEATH_SIGNAL, self.stop_signal)

    def _end(self, with_signal: signal.Signals) -> None:
        if self._process is None:
            return
        family = self._family()
        if with_signal is signal.SIGKILL:
            self._signal(with_signal)
        else:
            self._process.send_signal(with_signal)
        self._process.wait(timeout=30)
        # Children that outlive their parent for a moment would keep the port and the data locked.
        for process in psutil.wait_procs(family, timeout=10)[1]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process = None

    def _signal(self, number: signal.Signals) -> None:
        for process in self._family():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def _family(self) -> list[psutil.Process]:
        """The process and all its children: PostgreSQL's have sessions of their own."""
        if not self.is_running() or self._process is None:
            return []
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(ask: Callable[[], object], *errors: type[Exception]) -> bool:
    """Whether `ask` ends without one of the errors."""
    try:
        ask()
    except errors:
        return False
    return True


def package_directory(name: str) -> Path:
    """Where a package stands, without importing it; raises ModuleNotFoundError."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(name)
    return Path(spec.origin).parent
