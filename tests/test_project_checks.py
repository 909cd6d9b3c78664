"""What the project around us can have set wrong, made on purpose; and the page of all checks."""

import re
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from django.core.checks import run_checks
from django.db import connection, connections
from django.test import override_settings

from notifications import checks, project_checks
from project.celery import app
from tests.processes import ROOT
from tests.test_checks import DJANGO_EMAIL, found
from tests.test_docs import table

PAGE = ROOT / "docs" / "checks.md"


def test_the_page_lists_every_check_there_is() -> None:
    modules = (ROOT / "notifications").glob("*checks.py")
    source = "".join(path.read_text() for path in modules)
    used = {f"notifications.{id}" for id in re.findall(r'"?\b([EWI]\d{3})"', source)}
    headings = ("Errors", "Warnings", "With check --deploy")
    listed = [id.strip("`") for heading in headings for id in table(PAGE, heading)]
    assert sorted(listed) == sorted(used), "docs/checks.md"
    documented = re.findall(r"^\| (notifications\.\w+)", checks.__doc__ or "", re.MULTILINE)
    assert set(documented) == used, "the docstring of checks.py"


def test_every_hint_is_there() -> None:
    for path in (ROOT / "notifications").glob("*checks.py"):
        source = path.read_text()
        made = len(re.findall(r"\b(?:Error|Warning|Info)\(", source))
        assert made == len(re.findall(r"hint=", source)), path.name


@pytest.mark.parametrize("path", ["no.such.function", "tests.test_project_checks.PAGE"])
def test_a_recipient_that_is_no_function_is_an_error(settings: Any, path: str) -> None:
    settings.NOTIFICATIONS = {"CHANNELS": {"sms": {"RECIPIENT": path}}}
    [message] = found("E021")
    assert path in message.msg
    settings.NOTIFICATIONS = {"CHANNELS": {"sms": {"RECIPIENT": "tests.test_checks.found"}}}
    assert not found("E021")


def test_a_package_of_the_same_name_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert not found("E020")
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.distribution(project_checks.NAMESAKE)
    installed = tmp_path / "django_notifications_hq-1.8.3.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Name: django-notifications-hq\nVersion: 1.8.3\n")
    monkeypatch.syspath_prepend(tmp_path)
    [message] = found("E020")
    assert "pip uninstall django-notifications-hq" in (message.hint or "")


class Elsewhere:
    """A router that keeps the notifications in another database, or reads them there."""

    writes, reads = "default", "default"

    def db_for_write(self, model: Any, **_: Any) -> str:
        return self.writes

    def db_for_read(self, model: Any, **_: Any) -> str:
        return self.reads


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """The alias of another database, which is only looked at."""
    connections.settings["letters"] = dict(connection.settings_dict)
    yield "letters"
    del connections.settings["letters"]
    if hasattr(connections._connections, "letters"):
        del connections["letters"]


class Apart(Elsewhere):
    writes, reads = "letters", "letters"


class Replica(Elsewhere):
    reads = "letters"


@pytest.mark.parametrize(("router", "id"), [(Apart, "W020"), (Replica, "W021")])
def test_a_router_that_breaks_a_promise_is_told_of(
    elsewhere: str, router: type[Elsewhere], id: str
) -> None:
    assert not found(id)
    with override_settings(DATABASE_ROUTERS=[router()]):
        [message] = found(id)
    assert elsewhere in message.msg


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("values", "id"),
    [
        ({"OPTIONS": {"pool": True}}, "W022"),
        ({"CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": False}, "W023"),
        ({"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": False}, "W023"),
    ],
)
def test_connections_that_cost_more_than_they_bring_are_told_of(
    monkeypatch: pytest.MonkeyPatch, values: Mapping[str, Any], id: str
) -> None:
    monkeypatch.setitem(connection.settings_dict, "CONN_HEALTH_CHECKS", True)
    for name, value in values.items():
        monkeypatch.setitem(connection.settings_dict, name, value)
    monkeypatch.setitem(app.conf, "worker_pool", "prefork")
    assert len(found(id)) == 1


def test_an_app_of_celery_that_is_not_set_up_is_told_of() -> None:
    try:
        Celery("bare", set_as_current=True)
        assert len(found("W024")) == 1
    finally:
        app.set_current()
    assert not found("W024")


def test_prefetching_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(app.conf, "worker_prefetch_multiplier", 4)
    assert len(found("W025")) == 1


@pytest.mark.parametrize(
    "annotations",
    [{"*": {"rate_limit": "10/s"}}, [{"notifications.deliver_sms": {"max_retries": 1}}]],
)
def test_annotations_of_our_tasks_are_told_of(
    monkeypatch: pytest.MonkeyPatch, annotations: Any
) -> None:
    monkeypatch.setitem(app.conf, "task_annotations", {"shop.pack": {"rate_limit": "1/s"}})
    assert not found("W026")
    monkeypatch.setitem(app.conf, "task_annotations", annotations)
    assert len(found("W026")) == 1


def test_before_a_deployment_what_sends_nothing_is_named(settings: Any) -> None:
    settings.NOTIFICATIONS = {
        "CHANNELS": {"email": {"PROVIDERS": ["smtp"]}},
        "PROVIDERS": {"smtp": {"BACKEND": DJANGO_EMAIL}},
    }

    def told() -> list[str]:
        messages = run_checks(tags=[checks.TAG], include_deployment_checks=True)
        return [m.msg for m in messages if m.id == "notifications.I001"]

    assert [re.findall(r'"(\w+)"', message)[0] for message in told()] == ["sms", "webhook"]
    settings.DEBUG = True
    assert told() == []
