"""The containers: valid, the same processes as `make up`, and configured so that they can work."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.up import environment, processes
from tests.processes import ROOT
from tests.test_settings import read

FILE = ROOT / "docker-compose.yml"
OURS = ("migrate", "web", "worker-1", "worker-2")
WATCHERS = {"mailpit", "prometheus", "grafana"}

SECRETS = {"SECRET_KEY": "s" * 50, "POSTGRES_PASSWORD": "p" * 16, "METRICS_TOKEN": "t" * 16}

ONLY_ON_ONE_MACHINE = {"PATH", "PYTHONUNBUFFERED", "UP_DIRECTORY"}
ONLY_BETWEEN_CONTAINERS = {"SECRET_KEY", "ALLOWED_HOSTS", "HTTPS", "METRICS_TOKEN", "EMAIL_URL"}
"""On one machine the key is kept in `var`, all is on loopback, and no mail catcher is there."""

VARIABLE = re.compile(r"\$\{(\w+)(?::?-([^}]*)|:\?[^}]*)?\}")


def interpolated(text: str, given: dict[str, str]) -> str:
    """As `docker compose` does with `${X-default}`, `${X:-default}` and `${X:?message}`."""
    return VARIABLE.sub(lambda found: given.get(found[1]) or found[2] or "", text)


def compose(**given: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(interpolated(FILE.read_text(), SECRETS | given))
    return loaded


def services() -> dict[str, Any]:
    found: dict[str, Any] = compose()["services"]
    return found


def read_by_the_settings() -> set[str]:
    return set(re.findall(r'"([A-Z_]+)"', (ROOT / "project" / "settings.py").read_text()))


def has_docker_compose() -> bool:
    asked = ["docker", "compose", "version"]
    return (
        bool(shutil.which("docker")) and not subprocess.run(asked, capture_output=True).returncode
    )


def test_it_is_valid_by_the_schema_of_the_compose_specification() -> None:
    check = ["check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    commands = [[sys.executable, "-m", *check]]
    if has_docker_compose():
        commands.append(["docker", "compose", "--file", str(FILE), "config", "--quiet"])
    for command in commands:
        env = os.environ | SECRETS
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_processes_are_those_of_the_procfile() -> None:
    assert set(services()) == set(processes()) | WATCHERS


@pytest.mark.parametrize("name", OURS)
def test_the_commands_are_those_of_the_procfile(name: str) -> None:
    assert services()[name]["command"] == processes()[name]


def test_the_variables_are_those_of_make_up() -> None:
    on_one_machine = set(environment(Path("var"), {"PATH": ""})) - ONLY_ON_ONE_MACHINE
    for name in OURS:
        told = set(services()[name]["environment"])
        if name.startswith("worker"):
            told.remove("WORKER_METRICS_PORT")
        assert told == on_one_machine | ONLY_BETWEEN_CONTAINERS
        assert told - {"GUNICORN_CMD_ARGS"} <= read_by_the_settings()


def test_with_what_they_are_told_the_settings_are_those_of_production() -> None:
    told = {name: str(value) for name, value in services()["web"]["environment"].items()}
    settings = read(told | {"PROMETHEUS_MULTIPROC_DIR": str(ROOT / "var" / "metrics")})
    database = settings["DATABASES"]["default"]
    assert (database["HOST"], database["PASSWORD"]) == ("postgres", SECRETS["POSTGRES_PASSWORD"])
    assert settings["CELERY_BROKER_URL"] == "redis://redis:6379/0"
    assert settings["NOTIFICATIONS"]["GATES"]["OPTIONS"]["URL"] == "redis://redis:6379/1"
    assert settings["NOTIFICATIONS"]["CHANNELS"]["email"]["PROVIDERS"] == ["smtp"]
    assert "mailpit" in json.dumps(settings.get("MAILERS", settings.get("EMAIL_HOST")))
    assert "localhost" in settings["ALLOWED_HOSTS"]


@pytest.mark.parametrize("variable", SECRETS)
def test_it_does_not_start_without_its_secrets(variable: str) -> None:
    assert f"${{{variable}:?" in FILE.read_text()
    assert f"${{{variable}}}" not in FILE.read_text()
    assert f"${{{variable}:-" not in FILE.read_text()


@pytest.mark.parametrize("name", OURS)
def test_our_containers_can_write_nowhere_but_in_memory(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"] == ["/tmp"]
    assert "volumes" not in service
    assert service["environment"]["PROMETHEUS_MULTIPROC_DIR"].startswith("/tmp/")


def test_nothing_starts_before_the_database_is_migrated() -> None:
    for name in OURS:
        waits = services()[name]["depends_on"]
        if name == "migrate":
            assert waits["postgres"]["condition"] == "service_healthy"
        else:
            assert waits["migrate"]["condition"] == "service_completed_successfully"
            assert waits["redis"]["condition"] == "service_healthy"


def test_nothing_is_open_to_other_hosts() -> None:
    for name, service in services().items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name


def test_every_container_that_counts_is_scraped_with_the_token() -> None:
    told = services()
    config = yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text())
    [scraped] = config["scrape_configs"]
    targets = dict(target.split(":") for target in scraped["static_configs"][0]["targets"])
    assert set(targets) == set(OURS) - {"migrate"}
    assert "web" in told["web"]["environment"]["ALLOWED_HOSTS"].split(",")
    assert f"--bind 0.0.0.0:{targets['web']}" in told["web"]["environment"]["GUNICORN_CMD_ARGS"]
    for name in ("worker-1", "worker-2"):
        assert told[name]["environment"]["WORKER_METRICS_PORT"] == int(targets[name])
    secret = Path(scraped["authorization"]["credentials_file"])
    assert secret.name in told["prometheus"]["secrets"]
    assert compose()["secrets"][secret.name] == {"environment": "METRICS_TOKEN"}


def test_the_files_that_are_mounted_are_there() -> None:
    for service in services().values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in compose()["volumes"] or (ROOT / source).is_file(), source


# The image

INSTRUCTION = re.compile(r"^([A-Z]+) (.+?)(?<!\\)$", re.MULTILINE | re.DOTALL)


def instructions(kind: str) -> list[str]:
    text = (ROOT / "Dockerfile").read_text()
    return [words for found, words in INSTRUCTION.findall(text) if found == kind]


def test_the_image_has_two_stages_and_a_user_that_is_not_root() -> None:
    assert len(instructions("FROM")) == 2
    user, _, group = instructions("USER")[-1].partition(":")
    assert int(user) > 0
    assert int(group) > 0


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignore = (ROOT / ".dockerignore").read_text().split()
    assert ignore[0] == "*"
    copied = [words.split()[0] for words in instructions("COPY") if "--from" not in words]
    assert {f"!{path}" for path in copied} == {line for line in ignore if line.startswith("!")}
    assert all((ROOT / path).exists() for path in copied)


def test_by_itself_it_is_the_web_server() -> None:
    assert json.loads(instructions("CMD")[-1]) == shlex.split(processes()["web"])
