"""Log lines: stable keys, joined ids, nothing personal, and nothing at all when switched off."""

import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from notifications import signals
from notifications.context import Origin, within
from notifications.enums import Channel, CircuitState, Priority, ReceiptState, Status, WaitReason
from notifications.messages import Outcome, Pace
from notifications.models import Notification, Tenant, new_id
from notifications.observability import logs
from notifications.observability.formats import (
    EVENTS,
    Events,
    JSONFormatter,
    LineFormatter,
    logging_config,
)
from notifications.pipeline.told import Received, Settled, Stored
from tests.observability.conftest import stored
from tests.processes import Processes, wait_until

ID = new_id()


class Written(logging.Handler):
    """What a formatter makes of the records."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.formatter = formatter
        self.text: list[str] = []
        self.records = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.records += 1
        self.text += self.format(record).split("\n")

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text]


@pytest.fixture
def written() -> Iterator[Written]:
    handler, logger = Written(JSONFormatter()), logging.getLogger(EVENTS)
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def send(signal: Any, **values: object) -> None:
    for _, result in signal.send_robust(sender=None, **values):
        assert not isinstance(result, Exception), result


def record(message: Any, exc_info: Any = None) -> logging.LogRecord:
    return logging.LogRecord("shop", logging.INFO, "x.py", 1, message, None, exc_info)


RECEIVED = Received(ID, "p", ReceiptState.UNDELIVERED, True, "bounce")
TOLD: tuple[tuple[Any, dict[str, Any], dict[str, Any]], ...] = (
    (
        signals.notification_accepted,
        {"counts": {}, "stored": [Stored(ID, "shop", Channel.SMS, Priority.BULK)]},
        {
            "event": "accepted",
            "notification": str(ID),
            "tenant": "shop",
            "channel": "sms",
            "priority": "bulk",
        },
    ),
    (
        signals.notifications_settled,
        {"settled": [Settled(ID, Channel.SMS, Status.EXPIRED)]},
        {"event": "settled", "notification": str(ID), "channel": "sms", "status": "expired"},
    ),
    (
        signals.receipts_received,
        {"received": [RECEIVED]},
        {
            "event": "receipt",
            "notification": str(ID),
            "provider": "p",
            "kind": "undelivered",
            "code": "bounce",
            "applied": True,
        },
    ),
    (
        signals.receipt_dismissed,
        {"provider": "p", "kind": ReceiptState.NONE, "result": "refused"},
        {"event": "receipt", "provider": "p", "kind": "none", "result": "refused"},
    ),
    (
        signals.rows_snoozed,
        {"channel": Channel.SMS, "reason": WaitReason.PAUSED, "scope": "tenant:x", "count": 3},
        {
            "event": "put_off",
            "channel": "sms",
            "reason": "paused",
            "scope": "tenant:x",
            "count": 3,
        },
    ),
    (
        signals.rows_rescued,
        {"reason": "leased", "count": 4},
        {"event": "rescued", "reason": "leased", "count": 4},
    ),
    (
        signals.writes_fenced,
        {"count": 5, "provider": "p"},
        {"event": "fenced", "provider": "p", "count": 5},
    ),
    (
        signals.circuit_changed,
        {"provider": "p", "state": CircuitState.OPEN, "reason": "failures"},
        {"event": "circuit", "provider": "p", "state": "open", "reason": "failures"},
    ),
    (
        signals.provider_slowed,
        {"provider": "p", "pace": Pace(1.23456, 2.0)},
        {"event": "slowed", "provider": "p", "held": 1.235, "rate": 2.0},
    ),
)


@pytest.mark.parametrize(("signal", "values", "expected"), TOLD, ids=[t[2]["event"] for t in TOLD])
def test_each_event_has_its_keys(
    written: Written, signal: Any, values: dict[str, Any], expected: dict[str, Any]
) -> None:
    send(signal, **values)
    [line] = written.events()
    assert set(line) - set(expected) == {"time", "level", "logger"}
    assert {name: line[name] for name in expected} == expected
    is_trouble = expected["event"] in ("rescued", "fenced", "circuit")
    assert line["level"] == ("WARNING" if is_trouble else "INFO")


@pytest.mark.django_db
def test_attempts_of_a_commit_are_one_record_and_a_line_each(written: Written) -> None:
    """The tenants are read once where the rows come without, as the rescuer's do."""
    tenant = Tenant.objects.create(name="shop")
    ids = [stored(tenant, attempt_count=2).pk for _ in range(3)]
    rows = list(Notification.objects.filter(pk__in=ids).order_by("pk"))
    outcome = replace(Outcome.transient("busy", "secret words"), seconds=0.123456)
    send(signals.attempts_finished, provider="p", notifications=rows, outcomes=[outcome] * 3)
    assert written.records == 1
    assert [line["notification"] for line in written.events()] == [str(id) for id in sorted(ids)]
    line = written.events()[0]
    assert {name: line[name] for name in list(line)[3:]} == {
        "event": "attempt",
        "notification": str(rows[0].pk),
        "tenant": "shop",
        "channel": "email",
        "provider": "p",
        "attempt": 2,
        "outcome": "transient",
        "code": "busy",
        "duration": 0.1235,
    }
    assert "secret" not in "".join(written.text)


def test_switched_off_nothing_is_made(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(EVENTS), "level", logging.WARNING)
    logging.getLogger(EVENTS).manager._clear_cache()  # type: ignore[attr-defined]
    logs.log_accepted(stored=SimpleNamespace())  # type: ignore[arg-type]  # not looked at
    logs.log_settled(settled=SimpleNamespace())  # type: ignore[arg-type]
    logs.log_dismissed("p", ReceiptState.NONE, "refused")
    assert written.text == []
    logs.log_fenced(1, "p")
    assert len(written.text) == 1
    monkeypatch.undo()
    logging.getLogger(EVENTS).manager._clear_cache()  # type: ignore[attr-defined]


def test_a_request_is_named_in_every_line_of_it() -> None:
    with within(Origin("req-1")):
        assert json.loads(JSONFormatter().format(record("hello")))["request"] == "req-1"
    assert "request" not in json.loads(JSONFormatter().format(record("hello")))


def test_what_is_logged_cannot_begin_a_line_of_its_own() -> None:
    for text in ("a\nb", "a\r\nb", "a\x1b[2Jb", "a\u2028b", "a\x85b"):
        line = LineFormatter().format(record(text))
        assert "a" in line
        assert line.isprintable(), line
        assert JSONFormatter().format(record(text)).isprintable()
    assert "\n" not in LineFormatter().format(record(Events([{"event": "x", "scope": "a\nb"}])))


@pytest.mark.parametrize("formatter", [JSONFormatter, LineFormatter])
def test_of_an_exception_the_place_is_told_and_the_text_only_when_debugging(formatter: Any) -> None:
    try:
        raise ValueError("ada@example.com")
    except ValueError:
        failed = record("it failed", exc_info=sys.exc_info())
    text = formatter().format(failed)
    assert "ValueError" in text
    assert "test_logs.py" in text
    assert "ada@" not in text
    assert "ada@" in formatter(debug=True).format(failed)


def test_another_formatter_shows_the_events_as_lines() -> None:
    events = Events([{"event": "settled", "status": "sent"}, {"event": "fenced", "count": 1}])
    assert logging.Formatter().format(record(events)) == "settled status=sent\nfenced count=1"
    assert len(LineFormatter().format(record(events)).splitlines()) == 2


def test_the_configuration_is_one_that_logging_takes() -> None:
    for format in ("line", "json"):
        config = logging_config(format, events=False)
        assert config["loggers"][EVENTS]["level"] == "WARNING"
        logging.config.DictConfigurator(config).configure_formatter(  # type: ignore[attr-defined]
            config["formatters"]["notifications"]
        )


def test_from_the_request_to_the_attempt_in_json_and_nothing_personal(
    processes: Processes, embedded_env: dict[str, str]
) -> None:
    """A real server: every line is JSON, and joined; what was sent is nowhere in it."""
    key = processes.manage(embedded_env, "create_api_key", "shop", "--create").split()[0]
    server, url = processes.serve(embedded_env | {"LOG_FORMAT": "json"})
    headers = {"Authorization": f"Bearer {key}", "X-Request-ID": "from-the-client"}
    sent = {"channel": "email", "to": "canary@example.com", "subject": "canary", "body": "canary"}
    for simulate in ("deliver", "transient,deliver", "reject", "timeout"):
        body = sent | {"metadata": {"simulate": simulate, "note": "canary"}}
        answer = requests.post(f"{url}/notify", json=body, headers=headers, timeout=10)
        assert answer.status_code == 202
    refused = requests.post(f"{url}/notify", json=sent | {"x": 1}, headers=headers, timeout=10)
    assert refused.status_code == 400

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in server.text().splitlines() if line.startswith("{")]

    def attempts() -> list[dict[str, Any]]:
        return [line for line in lines() if line.get("event") == "attempt"]

    wait_until(lambda: len(attempts()) == 5, 30, "five attempts", every=0.2)
    accepted = [line for line in lines() if line.get("event") == "accepted"]
    assert {line["request"] for line in accepted} == {"from-the-client"}
    assert {a["notification"] for a in attempts()} == {a["notification"] for a in accepted}
    assert all(line["task"] and line["tenant"] == "shop" for line in attempts())
    assert not any("request" in line for line in attempts())
    [bad_request] = [line for line in lines() if line["logger"] == "django.request"]
    assert bad_request["request"] == "from-the-client"
    others = [line for line in server.text().splitlines() if not line.startswith("{")]
    assert all(line.startswith(("Serving on", "Draining", "Stopped")) for line in others), others
    assert "canary" not in server.text()
    assert key not in server.text()
