"""Prometheus, where the machine has one: `apt-get install prometheus` puts it on the PATH."""

import shutil
import signal
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.servers.base import Server, answers

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")


def is_installed() -> bool:
    return bool(PROMETHEUS and PROMTOOL)


class Prometheus(Server):
    """Scrapes `targets` every second, and judges the rules of `rules` as often."""

    name = "prometheus"
    stop_signal = signal.SIGTERM

    def __init__(self, targets: list[str], rules: dict[str, Any]) -> None:
        super().__init__()
        self._targets, self._rules = targets, rules

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def prepare(self) -> None:
        config = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [
                {"job_name": "notifications", "static_configs": [{"targets": self._targets}]}
            ],
        }
        Path(self.directory, "prometheus.yml").write_text(yaml.safe_dump(config))
        Path(self.directory, "rules.yml").write_text(yaml.safe_dump(self._rules))

    def command(self) -> list[str]:
        assert PROMETHEUS
        return [
            PROMETHEUS,
            f"--config.file={self.directory}/prometheus.yml",
            f"--storage.tsdb.path={self.directory}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]

    def is_ready(self) -> bool:
        def ask() -> None:
            requests.get(f"{self.url}/-/ready", timeout=1).raise_for_status()

        return answers(ask, requests.RequestException)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of an expression now; AssertionError where it is none."""
        found = requests.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=5)
        assert found.status_code == 200, f"{expression}: {found.text}"
        samples: list[dict[str, Any]] = found.json()["data"]["result"]
        return samples

    def firing(self) -> set[str]:
        """The names of the alerts that fire."""
        return {s["metric"]["alertname"] for s in self.query('ALERTS{alertstate="firing"}')}
