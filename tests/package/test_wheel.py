"""What is published: all of the package and nothing else, with its extras, importing little."""

import json
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

from tests.processes import ROOT

NAME = "django-notifications-engine"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

NEEDED = (
    "py.typed",
    "migrations/0001_initial.py",
    "templates/notifications/unsubscribe.html",
    "templates/admin/notifications/notification/change_form.html",
    "static/notifications/admin.css",
    "gates/redis/gcra.lua",
    "locale/de/LC_MESSAGES/django.mo",
    "management/commands/serve.py",
    "pytest_plugin.py",
)

OPTIONAL = (
    "anymail",
    "boto3",
    "drf_spectacular_sidecar",
    "h11",
    "opentelemetry",
    "pytest",
    "redis",
    "tqdm",
    "twilio",
    "waitress",
)
"""What comes with extras, and a bare project must not load even where it is installed.

Not so prometheus_client and css_inline: where they are installed, each acceptance counts with the
one, and each template of an e-mail may want the other.
"""

SETUP = f"""
import json, sys
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework",
                    "notifications"],
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
)
import notifications
early = sorted(name for name in sys.modules if name.startswith("notifications."))
django.setup()
import notifications.urls
from notifications import notify
found = [name for name in {OPTIONAL!r} if name in sys.modules]
print(json.dumps([early, found, notifications.__file__]))
"""


START = """
import json, sys
import django
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "rest_framework",
                    "notifications"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
started = set(sys.modules)
from django.core.checks import registry
checks = [check.__name__ for check in registry.registry.get_checks(include_deployment_checks=True)]
from celery import current_app
tasks = [name for name in current_app.tasks if name.startswith("notifications.")]
print(json.dumps([sorted(started), checks, tasks, "notifications.pipeline" in sys.modules]))
"""

AT_START = {
    "apps",
    "check_list",
    "columns",
    "conf",
    "context",
    "discretion",
    "enums",
    "exceptions",
    "fields",
    "labels",
    "late",
    "lifecycle",
    "messages",
    "models",
    "native",
    "observability",
    "observability.wiring",
    "prepared",
    "querysets",
    "quiet_hours",
    "retry",
    "schemes",
    "senders",
    "settlements",
    "signals",
    "tasks",
    "validators",
    "worker",
    "worker.shutdown",
    "addresses",
}
"""The models and what they need, and what Celery and the signals have to know of: no stage of the
work, no door, nothing that renders, sends or counts."""


def tracked() -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "notifications"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return {name for name in listed.stdout.split("\n") if name and (ROOT / name).exists()}


def test_the_wheel_holds_the_whole_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == tracked()
    assert {f"notifications/{name}" for name in NEEDED} <= names


def test_the_sdist_holds_the_package_and_what_tells_of_it(distributions: Path) -> None:
    [path] = distributions.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    beside = {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", "PKG-INFO", ".gitignore"}
    assert names == tracked() | beside


def test_the_metadata_names_extras_and_the_fixtures_of_pytest(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        metadata = message_from_bytes(archive.read(name))
        entry_points = archive.read(name.replace("METADATA", "entry_points.txt")).decode()
    assert metadata["Name"] == NAME
    extras = set(metadata.get_all("Provides-Extra", ()))
    assert extras == set(PYPROJECT["optional-dependencies"])
    assert extras >= {"metrics", "openapi", "redis", "serve", "ses", "twilio", "webhook"}
    assert "[pytest11]\nnotifications = notifications.pytest_plugin" in entry_points
    assert not any("<" in line for line in metadata.get_all("Requires-Dist", ())), "no upper caps"


def test_no_optional_package_is_loaded_before_it_is_used(unpacked: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SETUP],
        env=os.environ | {"PYTHONPATH": str(unpacked), "DJANGO_SETTINGS_MODULE": ""},
        cwd=unpacked,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    early, found, path = json.loads(done.stdout)
    assert early == [], "importing the package alone loads none of its modules"
    assert found == []
    assert path.startswith(str(unpacked))


def test_a_project_that_starts_loads_the_models_and_little_else(unpacked: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", START],
        env=os.environ | {"PYTHONPATH": str(unpacked), "DJANGO_SETTINGS_MODULE": ""},
        cwd=unpacked,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    started, checks, tasks, is_work_loaded = json.loads(done.stdout)
    ours = {name.removeprefix("notifications.") for name in started if "notifications." in name}
    assert {name for name in ours if not name.startswith("models.")} - AT_START == set()
    optional = {*OPTIONAL, "prometheus_client", "css_inline", "psutil", "cryptography", "requests"}
    assert optional & set(started) == set()
    assert {"celery.worker", "rest_framework.views", "urllib3"} & set(started) == set()
    assert len([name for name in checks if name.startswith("notifications.")]) == 9
    assert {"notifications.deliver_email", "notifications.prune"} <= set(tasks)
    assert not is_work_loaded, "that there are tasks does not load what they do"


def test_pytest_finds_the_fixtures_of_an_installed_wheel(unpacked: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--fixtures", "-p", "no:django", "-c", os.devnull],
        env=os.environ | {"PYTHONPATH": str(unpacked)},
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "fixtures defined from notifications.pytest_plugin" in done.stdout, done.stderr
    for name in ("notifications_outbox", "deliver_notifications", "notifications_travel"):
        assert name in done.stdout
