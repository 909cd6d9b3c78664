"""What happens in the hostile project; it ends with an error where something is not as it was."""

import os
import sys
import time
from typing import Any

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "shop.settings"
django.setup()

from celery import current_app
from celery.signals import task_success
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.management import call_command
from django.db import connections, transaction
from django.test import Client
from django.urls import resolve
from people.models import Person
from shop.admin import support
from shop.celery import app, pack

from notifications import notify, notify_many
from notifications.api_keys import make_key
from notifications.fields import local
from notifications.models import Notification, Pause, Tenant
from notifications.worker import EmbeddedWorker

PREFIX = "/intern/post"


def main() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)
    call_command("migrate", "--run-syncdb", verbosity=0)
    call_command("migrate", "notifications", database="letters", verbosity=0)
    call_command("check", "--fail-level", "WARNING")
    tables_are_apart()
    worker = EmbeddedWorker(app)
    assert worker.start(20)
    try:
        over_http()
        from_python()
        own_tasks_still_run()
    finally:
        assert worker.stop()
    admin_speaks_german()


def tables_are_apart() -> None:
    for alias, connection in connections.databases.items():
        names = connections[alias].introspection.table_names()
        ours = [name for name in names if name.startswith("notifications_")]
        assert bool(ours) == (alias == "letters"), (alias, connection["NAME"], names)


def over_http() -> None:
    view: Any = resolve(f"{PREFIX}/notify").func
    assert view._non_atomic_requests >= {"default", "letters"}
    key = make_key()
    tenant = Tenant.objects.create(name="http")
    tenant.api_keys.create(public_id=key.public_id, digest=key.digest)
    client = Client(headers={"Authorization": f"Bearer {key.token}", "Accept": "application/xml"})
    body = {"channel": "sms", "to": "+14155550123", "body": "Hello"}
    answer = client.post(f"{PREFIX}/notify", body, content_type="application/json")
    assert answer.status_code == 202, answer.content
    assert answer["Location"].startswith(f"http://testserver{PREFIX}/notifications/")
    settled = until(lambda: _settled(client, answer["Location"]))
    assert settled["status"] == "delivered", settled
    assert settled["created_at"].endswith("Z"), settled
    assert settled["created_at"] <= settled["settled_at"], settled
    for path in ("/notifications", "/templates", "/suppressions", "/healthz", "/schema"):
        found = client.get(PREFIX + path)
        assert found.status_code == 200, (path, found.content)
        assert found["Content-Type"].startswith("application/"), found["Content-Type"]
    problem = Client().get(f"{PREFIX}/notifications")
    assert problem.status_code == 401, problem.content
    assert problem["Content-Type"] == "application/problem+json"
    assert client.post(f"{PREFIX}/notify", {"a": "b"}).status_code == 415


def _settled(client: Client, url: str) -> dict[str, Any] | None:
    found: dict[str, Any] = client.get(url.removeprefix("http://testserver")).json()
    return found if found["settled_at"] else None


def from_python() -> None:
    ada = Person.objects.create(handle="ada", contact="ada@example.com", phone="+14155550123")
    email = notify("email", to=ada, subject="Hello", body="Hello")
    [sms] = notify_many([{"channel": "sms", "to": ada, "body": "Hello"}])
    with transaction.atomic(using="letters"):
        gone = notify("sms", to=ada, body="Hello")
        transaction.set_rollback(True, using="letters")
    for row in (email, sms):
        status = until(lambda pk=row.pk: _status(pk))
        assert status == "delivered", status
    assert not Notification.objects.filter(pk=gone.pk).exists()
    assert email.tenant.name == "shop"


def _status(pk: Any) -> str | None:
    row = Notification.objects.get(pk=pk)
    return row.status.value if row.settled_at else None


def own_tasks_still_run() -> None:
    done: list[int] = []

    def listen(sender: Any, result: Any, **_: Any) -> None:
        if sender.name == pack.name:
            done.append(result)

    task_success.connect(listen)
    pack.delay(7)
    until(lambda: done or None)
    queues = set(current_app.amqp.queues)
    assert {"shop.default", "shop.slow", "notifications.email.normal"} <= queues, queues


def admin_speaks_german() -> None:
    boss = Person.objects.create(handle="boss", is_staff=True, is_superuser=True)
    for site, path in ((admin.site, "/verwaltung"), (support, "/support")):
        assert type(site._registry[Notification]).__name__ == "NotificationAdmin"
        client = Client()
        client.force_login(boss)
        for model in apps.get_app_config("notifications").get_models():
            if model in site._registry:
                address = f"{path}/notifications/{model._meta.model_name}/"
                page = client.get(address)
                assert page.status_code == 200, (address, page.status_code)
        page = client.get(f"{path}/notifications/notification/").content.decode()
        assert "Benachrichtigung" in page
        row = Notification.objects.first()
        log_by(boss, row, "Looked at")
        log_by(boss, Pause(pk=1, scope="channel", subject=row.channel), "Paused", row.created_at)
        page = client.get(f"{path}/notifications/notification/{row.pk}/change/")
        assert page.status_code == 200
        told = page.content.decode()
        assert "Looked at" in told
        assert f"channel {row.channel}: Paused" in told


def log_by(user: Person, row: Any, what: str, at: Any = None) -> None:
    """As the admin writes it, now or at another time."""
    entry = LogEntry.objects.log_actions(user.pk, [row], CHANGE, what, single_object=True)
    if at is not None:
        LogEntry.objects.filter(pk=entry.pk).update(action_time=local(at))


def until(look: Any) -> Any:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.05)
    raise AssertionError("it has not come to an end")


main()
sys.stdout.write("all as it should be\n")
