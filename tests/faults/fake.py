"""The handle of the provider's process."""

import json
from pathlib import Path

import requests

from tests.faults.verdict import Line, read_log
from tests.processes import Processes, wait_until
from tests.servers.base import free_port


class Fake:
    """Starts, kills and instructs the provider; its log outlives it, and its port stays."""

    def __init__(self, processes: Processes, log: Path, honours_keys: bool) -> None:
        self._processes, self._log = processes, log
        self._port = free_port()
        self._options = ["--honours-keys"] if honours_keys else []
        self._log.touch()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        arguments = [str(self._port), str(self._log), *self._options]
        self._process = self._processes.python("tests.faults.provider", *arguments)
        self._process.wait_for_http(self.url)

    def kill(self) -> None:
        self._process.kill()

    def obey(self, rules: dict[str, str]) -> None:
        """Behave so from now on; `{}` accepts all."""
        requests.post(f"{self.url}/rules", data=json.dumps(rules), timeout=10).raise_for_status()

    def lines(self, *what: str) -> list[Line]:
        return [line for line in read_log(self._log) if not what or line.what in what]

    def wait_for(self, what: str, count: int = 1, timeout: float = 60) -> list[Line]:
        """Until the log has so many such lines."""
        told = f"{count} {what}"
        wait_until(lambda: len(self.lines(what)) >= count, timeout, told, every=0.01)
        return self.lines(what)
