"""Accept, task and provider as one trace: in one process, over several, and none when off."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from notifications import notify, notify_many
from notifications.api_keys import make_key
from notifications.enums import Channel
from notifications.models import Notification, Tenant
from notifications.observability import spans
from notifications.pipeline.deliver import deliver
from tests.processes import Processes, wait_until

EMAIL = {"to": "canary@example.com", "subject": "canary", "body": "canary"}
CLIENTS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Spans:
    """What was exported, by name, in the order of its end."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def all(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def named(self, start: str) -> list[ReadableSpan]:
        return [span for span in self.all() if span.name.startswith(start)]

    def one(self, start: str) -> ReadableSpan:
        [span] = self.named(start)
        return span


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(spans, "_tracer", provider.get_tracer("test"))
    spans.start()
    yield Spans(exporter)
    spans.stop()


def run_task(rows: list[Notification]) -> None:
    """As a worker does, between the signals of Celery."""
    task = SimpleNamespace(name="notifications.deliver_email")
    spans.begin_task(sender=task)
    try:
        deliver(Channel.EMAIL, [row.pk for row in rows])
    finally:
        spans.end_task(sender=task)


def trace_id(span: ReadableSpan) -> int:
    assert span.context
    return span.context.trace_id


def is_child(child: ReadableSpan, parent: ReadableSpan) -> bool:
    assert child.parent
    assert parent.context
    return (child.parent.trace_id, child.parent.span_id) == (
        parent.context.trace_id,
        parent.context.span_id,
    )


@pytest.mark.django_db(transaction=True)
def test_one_notification_is_one_trace_from_accept_to_provider(made: Spans) -> None:
    run_task([notify("email", **EMAIL)])
    accept, task, send = (
        made.one("notifications accept"),
        made.one("notifications d"),
        made.one("s"),
    )
    assert is_child(task, accept)
    assert is_child(send, task)
    assert (accept.kind, task.kind, send.kind) == (
        SpanKind.PRODUCER,
        SpanKind.CONSUMER,
        SpanKind.CLIENT,
    )
    assert not task.links
    assert send.attributes
    assert send.attributes["notifications.outcome"] == "accepted"
    assert send.status.status_code is StatusCode.UNSET
    assert not any("canary" in span.to_json() for span in made.all())


@pytest.mark.django_db(transaction=True)
def test_a_task_for_many_is_linked_to_each_and_attempts_stand_in_their_own(made: Spans) -> None:
    rows = [notify("email", **EMAIL) for _ in range(2)]
    rows += notify_many([EMAIL | {"channel": "email"} for _ in range(3)])
    run_task(rows)
    accepts, task = made.named("notifications accept"), made.one("notifications d")
    assert len(accepts) == 3
    assert {link.context.trace_id for link in task.links} == {trace_id(a) for a in accepts}
    assert task.parent is None
    sends = made.named("simulated")
    assert len(sends) == 5
    assert {trace_id(send) for send in sends} == {trace_id(a) for a in accepts}
    assert all(link.context == task.context for send in sends for link in send.links)
    assert all(len(send.links) == 1 for send in sends)
    assert all(any(is_child(send, accept) for accept in accepts) for send in sends)


@pytest.mark.django_db(transaction=True)
def test_a_failed_attempt_says_so_and_the_next_is_in_the_same_trace(made: Spans) -> None:
    row = notify("email", **EMAIL, metadata={"simulate": "throttle:0,reject"})
    run_task([row])
    Notification.objects.filter(pk=row.pk).update(due_at="2020-01-01T00:00:00Z")
    run_task([row])
    first, second = made.named("simulated")
    assert trace_id(first) == trace_id(second) == trace_id(made.one("notifications accept"))
    assert [send.status.status_code for send in (first, second)] == [StatusCode.ERROR] * 2
    assert second.status.description == "rejected"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("header", "is_theirs"), [(CLIENTS, True), ("00-nonsense-01", False)])
def test_the_trace_of_a_client_goes_on_here(made: Spans, header: str, is_theirs: bool) -> None:
    tenant, key = Tenant.objects.create(name="shop"), make_key()
    tenant.api_keys.create(public_id=key.public_id, digest=key.digest)
    body = {"channel": "email", **EMAIL}
    headers = {"Authorization": f"Bearer {key.token}", "traceparent": header}
    answer = Client().post("/notify", body, content_type="application/json", headers=headers)
    assert answer.status_code == 202
    assert "trace" not in answer.json()
    accept = made.one("notifications accept")
    assert (trace_id(accept) == int(CLIENTS.split("-")[1], 16)) is is_theirs
    row = Notification.objects.get()
    assert row.trace.split("-")[1] == f"{trace_id(accept):032x}"


@pytest.mark.django_db(transaction=True)
def test_a_row_that_nobody_traced_is_sent_within_the_task(made: Spans) -> None:
    spans.tracing.use()
    run_task([notify("email", **EMAIL)])
    assert is_child(made.one("simulated"), made.one("notifications d"))


@pytest.mark.django_db(transaction=True)
def test_what_fails_while_storing_leaves_no_text_of_it_in_the_span(made: Spans) -> None:
    with pytest.raises(RuntimeError), spans.accepting(1):
        raise RuntimeError("canary")
    assert "canary" not in made.one("notifications accept").to_json()


@pytest.mark.django_db(transaction=True)
def test_other_tasks_have_no_span(made: Spans) -> None:
    task = SimpleNamespace(name="notifications.dispatch")
    spans.begin_task(sender=task)
    spans.end_task(sender=task)
    assert made.all() == ()


def test_off_it_is_not_even_imported() -> None:
    code = (
        "import django; django.setup(); import sys; "
        "from notifications import tracing; "
        "print('notifications.observability.spans' in sys.modules); "
        "print(tracing.accepting(1).__enter__() == '')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_over_processes_the_broker_and_the_database_it_is_one_trace(
    processes: Processes, embedded_env: dict[str, str], empty_redis: str, tmp_path: Path
) -> None:
    file = tmp_path / "spans"
    file.touch()
    env = embedded_env | {
        "DJANGO_SETTINGS_MODULE": "tests.observability.traced",
        "CELERY_BROKER_URL": empty_redis,
        "TEST_SPANS": str(file),
    }
    processes.worker(env, "--concurrency", "1")
    key = f"key-{uuid4()}"
    command = ("notify", "sms", "+14155550123", "--body", "Hello", "--idempotency-key", key)
    processes.manage(env, *command)

    def found() -> list[dict[str, Any]]:
        return [json.loads(line) for line in file.read_text().splitlines()]

    wait_until(lambda: len(found()) == 3, 20, "three spans", every=0.2)
    by_name = {span["name"]: span for span in found()}
    accept, task, send = (
        by_name[name]
        for name in ("notifications accept", "notifications deliver sms", "simulated send")
    )
    assert len({span["context"]["trace_id"] for span in found()}) == 1
    assert task["parent_id"] == accept["context"]["span_id"]
    assert send["parent_id"] == task["context"]["span_id"]
    assert "+1415" not in file.read_text()
