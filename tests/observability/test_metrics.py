"""What signals add up to, in one process and over several that live and die."""

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import OperationalError
from prometheus_client.parser import text_string_to_metric_families

from notifications import signals
from notifications.enums import (
    Channel,
    Priority,
    ReceiptState,
    State,
    Status,
    WaitReason,
)
from notifications.messages import Outcome
from notifications.models import Notification, Tenant
from notifications.observability import metrics, stats
from notifications.pipeline.told import Received, Settled
from tests.observability.conftest import stored

pytestmark = pytest.mark.django_db

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parse(text: str) -> Samples:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scraped() -> Samples:
    return parse(metrics.scrape().decode())


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((f"notifications_{name}", frozenset(labels.items())), 0.0)


def send(signal: object, **values: object) -> None:
    for _, result in signal.send_robust(sender=None, **values):  # type: ignore[attr-defined]
        assert not isinstance(result, Exception), result


def test_signals_are_counted_under_the_published_names(tenant: Tenant) -> None:
    before = scraped()
    now = datetime.now(UTC)
    row = Notification(
        tenant=tenant, channel="sms", priority=0, created_at=now - timedelta(seconds=2)
    )
    outcome = replace(Outcome.accepted(), seconds=0.25)
    send(signals.notification_accepted, notifications=[row, row], counts={("sms", 0): 2}, stored=[])
    send(signals.attempts_finished, provider="p", notifications=[row, row], outcomes=[outcome] * 2)
    send(signals.notifications_settled, settled=[Settled(row.pk, Channel.SMS, Status.SENT)] * 2)
    send(
        signals.receipts_received,
        received=[Received(row.pk, "p", ReceiptState.DELIVERED, True)],
    )
    send(
        signals.rows_snoozed,
        channel=Channel.SMS,
        reason=WaitReason.RATE_LIMIT,
        scope="tenant:shop:5/s",
        count=3,
    )
    send(signals.rows_rescued, reason="leased", count=4)
    send(signals.writes_fenced, count=5)
    send(signals.limiter_degraded, reason="TimeoutError")
    after = scraped()

    def added(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    assert added("accepted_total", channel="sms", priority="urgent") == 2
    assert added("attempts_total", channel="sms", provider="p", outcome="accepted") == 2
    assert added("settled_total", channel="sms", status="sent") == 2
    assert added("time_to_send_seconds_count", channel="sms", priority="urgent") == 2
    waited = added("time_to_send_seconds_sum", channel="sms", priority="urgent")
    assert 4 <= waited < 60
    assert added("provider_seconds_sum", provider="p") == pytest.approx(0.5)
    assert added("receipts_total", provider="p", kind="delivered", result="applied") == 1
    assert added("rate_limited_total", channel="sms", scope="tenant") == 3
    assert added("rescued_total", reason="leased") == 4
    assert added("fenced_total") == 5
    assert added("limiter_degraded_total") == 1


def test_what_is_put_off_for_another_reason_is_not_rate_limited(db: None) -> None:
    before = scraped()
    send(signals.rows_snoozed, channel="sms", reason=WaitReason.PAUSED, scope="tenant:x", count=1)
    assert value(scraped(), "rate_limited_total", channel="sms", scope="tenant") == value(
        before, "rate_limited_total", channel="sms", scope="tenant"
    )


def test_time_to_send_counts_from_send_at(tenant: Tenant) -> None:
    now = datetime.now(UTC)
    row = Notification(
        tenant=tenant,
        channel="email",
        priority=Priority.BULK,
        created_at=now - timedelta(days=1),
        send_at=now - timedelta(seconds=1),
    )
    labels = {"channel": "email", "priority": "bulk"}
    before = value(scraped(), "time_to_send_seconds_sum", **labels)
    send(
        signals.attempts_finished,
        provider="p",
        notifications=[row],
        outcomes=[Outcome.accepted()],
    )
    assert 1 <= value(scraped(), "time_to_send_seconds_sum", **labels) - before < 60


def test_gauges_show_what_is_there_and_zeros_for_what_is_not(tenant: Tenant) -> None:
    stored(tenant, due_at=datetime.now(UTC) - timedelta(seconds=60))
    stored(tenant, state=State.SENT)
    samples = scraped()
    labels = {"channel": "email", "priority": "normal"}
    assert value(samples, "backlog", status="queued", **labels) == 1
    assert value(samples, "oldest_due_seconds", **labels) > 59
    assert (
        samples[
            "notifications_backlog",
            frozenset({("channel", "sms"), ("priority", "bulk"), ("status", "unknown")}),
        ]
        == 0
    )
    assert not any(name == "backlog" and "sent" in dict(ls).values() for name, ls in samples)


def test_without_a_database_the_counters_are_still_there(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise OperationalError

    monkeypatch.setattr(stats, "backlog", away)
    send(signals.writes_fenced, count=1)
    samples = scraped()
    assert value(samples, "fenced_total") >= 1
    assert not any(name == "notifications_backlog" for name, _ in samples)


def test_no_label_names_a_tenant_or_a_recipient(tenant: Tenant) -> None:
    stored(tenant)
    text = metrics.scrape().decode()
    assert "shop" not in text
    assert "ada" not in text


WORKER = """
    import os, sys, django
    django.setup()
    from notifications import signals
    signals.writes_fenced.send_robust(sender=None, count=1)
    if os.fork() == 0:
        signals.writes_fenced.send_robust(sender=None, count=10)
        print("counted", flush=True)
        sys.stdin.read()
    else:
        os.wait()
"""


def test_any_process_answers_for_all_of_them_the_dead_included(tmp_path: Path) -> None:
    """Two processes and their forked children count; all are killed; a fifth is asked."""
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WORKER)],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            assert process.stdout
            assert process.stdout.readline() == b"counted\n"
            os.killpg(process.pid, signal.SIGKILL)
    script = (
        "import django; django.setup(); "
        "from notifications.observability import metrics, stats; "
        "stats.backlog = stats.oldest_due = lambda: []; "
        "print(metrics.scrape().decode())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
    )
    assert value(parse(done.stdout), "fenced_total") == 22


@pytest.mark.parametrize("is_shared", [True, False])
def test_what_nobody_has_counted_yet_is_there_by_its_name(
    is_shared: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    if is_shared:
        monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    text = metrics.scrape().decode()
    families = {family.name: family.type for family in text_string_to_metric_families(text)}
    assert families["notifications_rescued"] == "counter"
    assert families["notifications_time_to_send_seconds"] == "histogram"
    assert len(metrics.METRICS) == sum(kind != "gauge" for kind in families.values())
