"""Alerts, runbook, dashboard and page of metrics: they fit the code and each other, and work."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.core import GaugeMetricFamily

from notifications.observability.gauges import Gauges
from notifications.observability.metrics import METRICS
from tests.processes import ROOT, Processes, wait_until
from tests.racing.stack import Product
from tests.servers.base import free_port
from tests.servers.prometheus import PROMTOOL, Prometheus, is_installed
from tests.test_docs import anchors

RULES = ROOT / "ops/prometheus/alerts.yml"
RUNBOOK = ROOT / "docs/runbook.md"
PAGE = ROOT / "docs/metrics.md"
DASHBOARD = ROOT / "ops/grafana/dashboard.json"
NAME = re.compile(r"\bnotifications[_:][a-z_]+\b")

needs_prometheus = pytest.mark.skipif(
    not is_installed(), reason="prometheus and promtool are not on the PATH"
)


def rules() -> list[dict[str, Any]]:
    return [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if "targets" in panel]


def expressions() -> dict[str, str]:
    """Those of the dashboard by panel, as Grafana would fill them in."""
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        .replace("$__rate_interval", "1m")
        .replace("$channel", ".*")
        for panel in panels()
        for target in panel["targets"]
    }


def counted() -> set[str]:
    return {name for metric in METRICS for name in _names(metric._type, metric._name)}


def _names(kind: str, name: str) -> list[str]:
    if kind == "histogram":
        return [f"{name}{ending}" for ending in ("", "_bucket", "_count", "_sum")]
    return [f"{name}_total"]


def read() -> dict[str, GaugeMetricFamily]:
    return {family.name: family for family in Gauges().collect()}


def promtool(*arguments: object) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL
    command = [PROMTOOL, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


# The pages


def test_every_alert_has_its_entry_in_the_runbook_and_the_reverse() -> None:
    headings = re.findall(r"^## (.+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(alerts())
    for name, rule in alerts().items():
        path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert ROOT / path == RUNBOOK
        assert anchor == name.lower()
        assert anchor in anchors(RUNBOOK)


@pytest.mark.parametrize("part", ["What it means.", "How to look.", "What to do."])
def test_every_entry_says_what_it_means_how_to_look_and_what_to_do(part: str) -> None:
    for entry in RUNBOOK.read_text().split("\n## ")[1:]:
        assert entry.count(f"**{part}**") == 1, entry.splitlines()[0]


@pytest.mark.django_db
def test_the_page_of_metrics_lists_each_with_its_labels() -> None:
    rows = re.findall(r"^\| `(notifications_\w+)` \|(.+)$", PAGE.read_text(), re.MULTILINE)
    told = {name: cells.split("|") for name, cells in rows}
    assert len(rows) == len(told)
    for metric in METRICS:
        name = _names(metric._type, metric._name)[0]
        kind, labels, *_ = told.pop(name)
        assert kind.strip() == metric._type
        assert _split(labels) == list(metric._labelnames), name
    for name, family in read().items():
        labels, *_ = told.pop(name)
        assert _split(labels) == list(family._labelnames), name
    assert not told, "what is not there"


def _split(cell: str) -> list[str]:
    return [label.strip() for label in cell.split(",") if label.strip()]


@pytest.mark.django_db
def test_rules_and_dashboard_name_only_metrics_that_exist() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    known = counted() | set(read()) | recorded
    for text in [rule["expr"] for rule in rules()] + list(expressions().values()):
        named = set(NAME.findall(text))
        assert named or "up{" in text, text
        assert named <= known, named - known


def test_every_metric_is_on_the_dashboard_or_in_an_alert() -> None:
    shown = " ".join([*expressions().values(), *(rule["expr"] for rule in rules())])
    for metric in METRICS:
        assert metric._name in shown


# With a real Prometheus


@needs_prometheus
def test_the_rules_are_valid_and_fire_when_they_should(tmp_path: Path) -> None:
    for file in ("alerts.yml", "alerts.test.yml"):
        shutil.copy(RULES.with_name(file), tmp_path)
    checked = promtool("check", "rules", tmp_path / "alerts.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = promtool("test", "rules", tmp_path / "alerts.test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_alert_is_made_to_fire_by_a_test() -> None:
    tests = yaml.safe_load(RULES.with_name("alerts.test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case.get("exp_alerts")} == set(alerts())


@needs_prometheus
def test_the_configuration_is_valid(tmp_path: Path) -> None:
    shutil.copy(RULES, tmp_path)
    config = RULES.with_name("prometheus.yml").read_text()
    (tmp_path / "token").write_text("secret")
    config = config.replace("/run/secrets/metrics_token", str(tmp_path / "token"))
    (tmp_path / "prometheus.yml").write_text(config)
    checked = promtool("check", "config", tmp_path / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


UNREACHABLE = {
    "BACKEND": "tests.faults.http_provider.HTTPProvider",
    "OPTIONS": {"URL": "http://127.0.0.1:1", "HONOURS_KEY": True},
    "TIMEOUT": 1,
}
DOWN = {
    "CHANNELS": {
        "email": {"PROVIDERS": ["down"], "RETRY": {"BACKOFF": 0.2, "BACKOFF_MAX": 1}},
        "sms": {"PROVIDERS": ["guarded"]},
        "webhook": {"RATE_LIMIT": "1/s"},
    },
    "PROVIDERS": {
        "down": UNREACHABLE,
        "guarded": UNREACHABLE | {"CIRCUIT": {"MIN_CALLS": 5}},
    },
}
COUNTS_NOTHING_HERE = {"Rescued A"}
"""Nobody is killed, and a counter with labels is not there before it has counted."""


@pytest.fixture
def product(processes: Processes, production_env: dict[str, str]) -> Product:
    return Product(processes, production_env, DOWN)


@pytest.fixture
def prometheus(product: Product) -> Iterator[Prometheus]:
    """One that scrapes a web server and a worker; the shipped rules, but with no patience."""
    port = free_port()
    product.worker(WORKER_METRICS_PORT=str(port))
    _, client = product.web()
    shipped = yaml.safe_load(RULES.read_text())
    for group in shipped["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            rule.pop("for", None)
    server = Prometheus([client.base.removeprefix("http://"), f"127.0.0.1:{port}"], shipped)
    server.start()
    wait_until(lambda: len(server.query("up == 1")) == 2, 20, "both targets are up")
    for body in 2 * (
        {"channel": "email", "to": "ada@example.com", "subject": "Hello", "body": "Hello"},
        {"channel": "webhook", "to": "https://example.com/hook", "payload": {}},
        {"channel": "sms", "to": "+14155550123", "body": "Hello"},
    ):
        for _ in range(12):
            assert client._post("notify", body, 10).status_code == 202
    yield server
    server.close()


@needs_prometheus
@pytest.mark.postgres
def test_alerts_fire_while_a_provider_is_down_and_the_dashboard_shows_it(
    prometheus: Prometheus,
) -> None:
    expected = {"NotificationsCircuitOpen", "NotificationsFailureRatioHigh"}
    fired: set[str] = set()

    def seen() -> bool:
        fired.update(prometheus.firing())
        return expected <= fired

    wait_until(seen, 60, f"{expected} fire", every=0.3)
    never = {"NotificationsNoWorker", "NotificationsBrokerUnreachable", "NotificationsTargetDown"}
    assert not never & fired
    _wait_for_figures(prometheus)


def _wait_for_figures(prometheus: Prometheus) -> None:
    """Until every expression of the dashboard has answered with something."""
    left = {k: v for k, v in expressions().items() if k not in COUNTS_NOTHING_HERE}
    deadline = time.monotonic() + 30
    while left and time.monotonic() < deadline:
        left = {panel: text for panel, text in left.items() if not prometheus.query(text)}
        time.sleep(0.3)
    assert not left
