"""Nothing personal and nothing secret gets out: marked, sent through all of it, and searched for.

Real processes with all their loggers at DEBUG, servers that repeat what they are sent, a provider
and a database whose errors hold whole rows. What a test of one function cannot see is what all the
libraries in between write down.
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl

import psycopg
import pytest
import redis

from tests.canaries.load import MARKS, PHONE, Load, email, leaks, mark
from tests.processes import Processes, wait_until
from tests.providers import http_server, smtp_server
from tests.providers.http_server import RESET, Answer, Request
from tests.racing.stack import Product

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(300)]

BROKEN = """
    ALTER TABLE notifications_notification ADD CONSTRAINT no_such_luck
        CHECK (NOT (state = 'sent' AND metadata ->> 'break' = 'database')) NOT VALID;
    ALTER TABLE notifications_suppression ADD CONSTRAINT no_such_note
        CHECK (note NOT LIKE '%explode%') NOT VALID;
"""
"""PostgreSQL tells of a broken constraint with the whole row."""


def twilio_or_hook(request: Request) -> Answer | str:
    """Twilio refuses and repeats the number; a hook does what its path says."""
    if "Messages.json" in request.path:
        sent = dict(parse_qsl(request.body.decode()))
        said = {"code": 21211, "message": f"Invalid 'To' {sent['To']}: {sent['Body']}"}
        return Answer(400, json.dumps(said).encode())
    if "/v2/email" in request.path:
        said = {"message": f"Email address not verified: {request.body.decode()}"}
        return Answer(400, json.dumps(said).encode(), {"x-amzn-ErrorType": "MessageRejected"})
    way = request.path.split("/")[1]
    if way == "reset":
        return RESET
    headers = {"Location": request.path} if way == "302" else {}
    return Answer(int(way) if way.isdigit() else 200, request.body, headers)


def settings(peer: str) -> dict[str, Any]:
    path = "notifications.providers"
    twilio = {"ACCOUNT_SID": "AC" + "0" * 32, "AUTH_TOKEN": mark("token"), "FROM": "+15005550006"}
    ses = {"REGION": "eu-west-1", "ACCESS_KEY_ID": mark("aws"), "FROM": "shop@example.com"}
    retry = {"MAX_ATTEMPTS": 2, "BACKOFF": 0.2, "BACKOFF_MAX": 0.5}
    chosen = {"email": ["smtp", "ses"], "sms": ["breaking", "twilio"], "webhook": ["webhook"]}
    return {
        "CHANNELS": {
            name: {"PROVIDERS": providers, "RETRY": retry} for name, providers in chosen.items()
        },
        "PROVIDERS": {
            "smtp": {"BACKEND": f"{path}.django_email.DjangoEmailProvider", "TIMEOUT": 2},
            "ses": {
                "BACKEND": f"{path}.ses.SESProvider",
                "OPTIONS": {**ses, "SECRET_ACCESS_KEY": mark("password"), "ENDPOINT_URL": peer},
            },
            "breaking": {
                "BACKEND": "tests.canaries.breaking.BreakingProvider",
                "OPTIONS": {"PASSWORD": mark("password")},
            },
            "twilio": {
                "BACKEND": f"{path}.twilio.TwilioProvider",
                "OPTIONS": {**twilio, "BASE_URL": peer},
            },
            "webhook": {"BACKEND": f"{path}.webhook.WebhookProvider", "TIMEOUT": 2},
        },
        "WEBHOOK_LOOPBACK": True,
        "PUBLIC_URL": "https://notify.example.com",
        "LEASE_SECONDS": 13,
    }


@contextmanager
def everything_told_to(url: str) -> Iterator[list[str]]:
    """What the broker is told meanwhile, as Redis' own MONITOR has it."""
    heard: list[str] = []
    with redis.Redis.from_url(url, socket_timeout=None) as client, client.monitor() as monitor:

        def listen() -> None:
            while not heard or "end-of-canaries" not in heard[-1]:
                heard.append(str(monitor.next_command()["command"]))

        thread = Thread(target=listen, daemon=True)
        thread.start()
        try:
            yield heard
        finally:
            with redis.Redis.from_url(url) as other:
                other.set("end-of-canaries", 1)
            thread.join(10)


def rows(product: Product, table: str) -> str:
    return str(product.query(f"SELECT t::text FROM {table} t"))


def test_what_is_searched_for_is_found_in_every_form() -> None:
    name, token = mark("body"), email("ada")
    for text in (name, name.upper(), f"/x?to={token.replace('@', '%40')}", f"b'{PHONE}'"):
        assert leaks(MARKS, {"log": f"before {text} after"}), text
    assert leaks(MARKS, {"log": "nothing of the kind"}) == []


def test_nothing_marked_is_told_to_anybody_whom_it_does_not_concern(
    processes: Processes, production_env: dict[str, str], tmp_path: Path
) -> None:
    smtp = smtp_server.Server(smtp_server.Script())
    smtp.start()
    with http_server.Server(twilio_or_hook) as peer:
        env = production_env | {
            "CANARY_SMTP_PORT": str(smtp.port),
            "CANARY_METRICS_TOKEN": mark("metrics"),
            "SECRET_KEY": mark("secret-key"),
        }
        product = Product(processes, env, settings(peer.url), "tests.canaries.settings")
        with psycopg.connect(product.url, autocommit=True) as connection:
            connection.execute(BROKEN)
        with everything_told_to(env["CELERY_BROKER_URL"]) as broker:
            outputs, load = run(product, peer.url)
    smtp.stop()
    outputs["broker"] = "\n".join(broker)
    secrets = {f"secret {n}": secret for n, secret in enumerate(load.secrets)}
    found = leaks(MARKS | secrets | {"key": load.key}, outputs)
    assert not found, "\n".join(found)
    check_it_was_all_there(outputs, load, peer)


def run(product: Product, peer: str) -> tuple[dict[str, str], Load]:
    """The load on a server and a worker, to its end; all that they let out."""
    web, client = product.web("--log-level", "debug")
    worker = product.processes.worker(product.env, "--loglevel", "DEBUG")
    load = Load(client.base, client.headers["Authorization"].removeprefix("Bearer "), peer)
    load.all_of_it()
    wait_until(lambda: settled(product), 200, f"{product.states()}")
    pages = {path: load.session.get(client.base + path) for path in ("/healthz", "/readyz")}
    pages["/metrics"] = load.session.get(client.base + "/metrics")
    outputs = {path: page.text for path, page in pages.items()}
    outputs["status"] = product.processes.manage(product.env, "notifications_status")
    outputs["problems"] = "\n".join(load.problems)
    worker.kill()
    web.kill()
    outputs["results"] = rows(product, "django_celery_results_taskresult")
    for process in (web, worker):
        outputs[process.name] = process.text()
    return outputs, load


def settled(product: Product) -> bool:
    """All but what the database itself refuses to settle."""
    waiting = "state IN ('scheduled', 'queued', 'leased', 'dispatching', 'retry_wait')"
    broken = "metadata ->> 'break' = 'database'"
    sql = f"SELECT count(*) FROM notifications_notification WHERE {waiting} AND NOT ({broken})"
    attempts = "SELECT count(DISTINCT provider) FROM notifications_attempt"
    return product.query(sql) == [(0,)] and product.query(attempts) == [(5,)]


def check_it_was_all_there(outputs: dict[str, str], load: Load, peer: http_server.Server) -> None:
    """A search through nothing finds nothing: each output holds what it must."""
    assert {400, 401, 404, 409, 413, 415, 422, 500} <= set(load.statuses)
    assert Counter(load.statuses)[500] == 1
    assert Counter(load.statuses)[202] > 15
    assert {request.path.split("/")[1] for request in peer.arrived} >= {"ok", "500", "2010-04-01"}
    assert "notifications.deliver_email" in outputs["broker"]
    assert "DEBUG" in outputs["gunicorn"]
    assert "DEBUG" in outputs["worker"]
    assert "unexpected IntegrityError" in outputs["gunicorn"]
    assert "provider breaking raised ValueError" in outputs["worker"]
    assert "RuntimeError('IntegrityError in " in outputs["worker"]
    assert "notifications_attempts_total" in outputs["/metrics"]
    assert "IntegrityError" in outputs["results"]
