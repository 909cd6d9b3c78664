"""Every problem that `manage.py check` knows, made on purpose."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.db import connection

from notifications import checks
from project.celery import app
from tests.processes import ROOT

SIMULATED = "notifications.providers.simulated.SimulatedProvider"
DJANGO_EMAIL = "notifications.providers.django_email.DjangoEmailProvider"


def found(id: str) -> list[CheckMessage]:
    messages = run_checks(tags=[checks.TAG])
    return [message for message in messages if message.id == f"notifications.{id}"]


def test_the_sample_project_has_no_problem() -> None:
    assert run_checks(tags=[checks.TAG]) == []


@pytest.mark.parametrize(
    ("setting", "id", "words"),
    [
        ({"CHANELS": {}}, "E001", ["CHANELS", "not a known key"]),
        ({"CHANNELS": {"email": {"RATE_LIMIT": "fast"}}}, "E001", ["RATE_LIMIT", "50/s"]),
        (
            {"CHANNELS": {"email": {"ON_UNKNOWN": "maybe"}}},
            "E001",
            ["'park' or 'retry'", "The default is 'park'."],
        ),
        (
            {"CHANNELS": {"sms": {"RATE_LIMIT": "fast"}}},
            "E001",
            ["The default is to leave it out."],
        ),
        ({"LEASE_SECONDS": 5}, "E001", ["LEASE_SECONDS", "too short"]),
        ({"CHANNELS": {"sms": {"PROVIDERS": ["x"]}}}, "E001", ['"x"', "simulated"]),
        ([], "E001", ["must be a dict"]),
        ({"PUBLIC_URL": "notify.example.com"}, "E001", ["PUBLIC_URL", "https://"]),
        ({"PUBLIC_URL": "https://a:b@example.com"}, "E001", ["PUBLIC_URL"]),
        ({"PUBLIC_URL": "https://example.com/?a=b"}, "E001", ["PUBLIC_URL"]),
        ({"PUBLIC_URL": "https://example.com:http"}, "E001", ["PUBLIC_URL"]),
        ({"PUBLIC_URL": 7}, "E001", ["PUBLIC_URL"]),
        ({"CHANNELS": {"sms": {"PROVIDERS": {"simulated": 0}}}}, "E001", ['{"a": 3, "b": 1}']),
        ({"CHANNELS": {"sms": {"PROVIDERS": ["simulated"] * 2}}}, "E001", ["twice"]),
        ({"PROVIDERS": {"x": {"BACKEND": "no.such.thing"}}}, "E002", ["no.such.thing"]),
        ({"PROVIDERS": {"x": {"BACKEND": "decimal.Decimal"}}}, "E003", ["decimal.Decimal"]),
        ({"PROVIDERS": {"x": {"BACKEND": "time.time"}}}, "E003", ["time.time"]),
        (
            {"PROVIDERS": {"x": {"BACKEND": SIMULATED, "OPTIONS": {"NONSENSE": 1}}}},
            "E004",
            ["NONSENSE", "known are"],
        ),
        (
            {
                "PROVIDERS": {"mail": {"BACKEND": DJANGO_EMAIL}},
                "CHANNELS": {"sms": {"PROVIDERS": ["mail"]}},
            },
            "E005",
            ['["sms"]', '"mail"', "email"],
        ),
        ({"GATES": {"BACKEND": "notifications.gates.none"}}, "E006", ["notifications.gates.none"]),
        ({"GATES": {"OPTIONS": {"NONSENSE": 1}}}, "E006", ["NONSENSE"]),
        ({"WEBHOOK_LOOPBACK": True}, "E011", ["WEBHOOK_LOOPBACK", "DEBUG"]),
    ],
)
def test_an_unusable_setting_is_an_error_with_what_to_type(
    settings: Any, setting: Any, id: str, words: list[str]
) -> None:
    settings.NOTIFICATIONS = setting
    [error] = found(id)
    assert error.hint
    text = f"{error.msg} {error.hint}"
    assert all(word in text for word in words), text


def test_all_problems_are_told_at_once(settings: Any) -> None:
    settings.NOTIFICATIONS = {"A": 1, "B": 2, "PROVIDERS": {"x": {"BACKEND": "no.such.thing"}}}
    assert len(found("E001")) == 2
    assert len(found("E002")) == 1


def test_the_command_tells_instead_of_failing_on_what_is_unusable(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "from project.settings import *\n"
        'NOTIFICATIONS = {"LEASE_SECONDS": "long", "GATES": {"BACKEND": "nowhere"},\n'
        '  "PROVIDERS": {"x": {"BACKEND": "no.such.thing"}}}\n'
    )
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "broken",
        "SECRET_KEY": "for-tests-only",
        "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "metrics"),
    }
    command = [sys.executable, "manage.py", "check"]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for id in ("E001", "E002", "E006"):
        assert f"notifications.{id}" in done.stderr


@pytest.mark.parametrize("setting", ["accept_content", "task_serializer"])
def test_pickle_is_an_error(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    value: Any = "pickle" if setting == "task_serializer" else ["json", "pickle"]
    monkeypatch.setitem(app.conf, setting, value)
    [error] = found("E007")
    assert "CELERY_ACCEPT_CONTENT" in str(error.hint)


def test_eager_tasks_are_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.conf, "task_always_eager", True)
    [warning] = found("W003")
    assert "embedded://" in str(warning.hint)


sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="is about SQLite")


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> Any:
    def change(values: Mapping[str, Any]) -> None:
        monkeypatch.setitem(connection.settings_dict, "OPTIONS", values)

    return change


@sqlite
def test_sqlite_without_wal_is_warned_of(options: Any) -> None:
    options({"transaction_mode": "IMMEDIATE"})
    [warning] = found("W001")
    assert "journal_mode=WAL" in str(warning.hint)
    options({"transaction_mode": "immediate", "init_command": "pragma journal_mode = wal"})
    assert not found("W001")


@sqlite
def test_sqlite_with_deferred_transactions_is_warned_of(options: Any) -> None:
    options({"init_command": "PRAGMA journal_mode=WAL"})
    [warning] = found("W002")
    assert "IMMEDIATE" in str(warning.hint)


@pytest.mark.postgres
@pytest.mark.parametrize("text", ["-c synchronous_commit=off", "-c  Synchronous_Commit = OFF"])
def test_commits_that_are_not_durable_are_an_error(options: Any, text: str) -> None:
    options({"options": text})
    assert len(found("E008")) == 1
    options({"options": "-c synchronous_commit=local"})
    assert not found("E008")


@pytest.mark.postgres
@pytest.mark.django_db
def test_what_the_server_itself_says_counts_too() -> None:
    assert checks.check_durability(databases=["default"]) == []
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL synchronous_commit = off")
    [error] = checks.check_durability(databases=["default"])
    assert error.id == "notifications.E008"
    assert checks.check_durability(databases=None) == []
