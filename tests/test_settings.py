"""What the environment makes of the settings, and of a process that is started with them."""

import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path
from runpy import run_path
from typing import Any
from unittest.mock import patch

import django
import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.processes import ROOT

POSTGRES = {
    "DATABASE_URL": "postgres://user@127.0.0.1:1/none",
    "SECRET_KEY": "x" * 50,
    "ALLOWED_HOSTS": "notifications.example.com",
}
CHECK = """
import os; os.environ["DJANGO_SETTINGS_MODULE"] = "project.settings"
import django; django.setup()
from django.core.management import call_command
call_command("check")
"""


def read(env: dict[str, str]) -> dict[str, Any]:
    """The settings under `env` and nothing else."""
    with patch.dict(os.environ, {"PATH": os.environ["PATH"], **env}, clear=True):
        found = run_path(str(ROOT / "project" / "settings.py"))
    return {name: value for name, value in found.items() if name.isupper()}


def run(env: dict[str, str], code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], **env},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_with_nothing_set_it_is_sqlite_and_the_embedded_broker() -> None:
    settings = read({})
    database = settings["DATABASES"]["default"]
    assert database["ENGINE"] == "django.db.backends.sqlite3"
    assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert settings["CELERY_BROKER_URL"].startswith("embedded://")
    assert settings["PORT"] == 8000
    assert not settings["DEBUG"]
    assert not settings["SECURE_SSL_REDIRECT"]


def test_the_embedded_secret_key_is_made_once_and_kept_to_the_owner() -> None:
    first, second = read({}), read({})
    assert first["SECRET_KEY"] == second["SECRET_KEY"]
    assert len(first["SECRET_KEY"]) >= 50
    kept = Path(first["VAR_DIR"]) / "secret_key"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_serving_others_without_a_secret_key_says_what_to_type() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"SECRET_KEY is not set[\s\S]*python -c"):
        read({"ALLOWED_HOSTS": "notifications.example.com"})


def test_the_production_shape_on_one_host_needs_no_more_than_its_three_urls() -> None:
    settings = read({"DATABASE_URL": POSTGRES["DATABASE_URL"]})
    assert len(settings["SECRET_KEY"]) >= 50
    assert not settings["SECURE_SSL_REDIRECT"]


def test_production_keeps_connections_and_checks_them() -> None:
    database = read(POSTGRES)["DATABASES"]["default"]
    assert database["CONN_MAX_AGE"] == 600
    assert database["CONN_HEALTH_CHECKS"]
    assert database["OPTIONS"]["connect_timeout"] == 2


def test_production_sends_cookies_over_https_only_unless_it_is_turned_off() -> None:
    assert read(POSTGRES)["SESSION_COOKIE_SECURE"]
    assert not read({**POSTGRES, "HTTPS": "false"})["SESSION_COOKIE_SECURE"]


def test_production_redirects_browsers_and_leaves_clients_and_probes_alone() -> None:
    code = """
import django; django.setup()
from django.test import Client
for path in ("/admin/", "/docs", "/healthz", "/metrics", "/notify"):
    print(path, Client(SERVER_NAME="notifications.example.com").head(path).status_code == 301)
"""
    env = {**POSTGRES, "DATABASE_URL": "sqlite://", "DJANGO_SETTINGS_MODULE": "project.settings"}
    redirected = dict(line.split() for line in run(env, code).stdout.splitlines())
    assert redirected == {
        "/admin/": "True",
        "/docs": "True",
        "/healthz": "False",
        "/metrics": "False",
        "/notify": "False",
    }


def test_a_redis_url_takes_the_gates_to_that_redis() -> None:
    gates = read({"REDIS_URL": "redis://redis.example.com/1"})["NOTIFICATIONS"]["GATES"]
    assert gates["BACKEND"] == "notifications.gates.redis"
    assert gates["OPTIONS"] == {"URL": "redis://redis.example.com/1"}
    assert "GATES" not in read({})["NOTIFICATIONS"]


def test_an_email_url_takes_email_to_that_server() -> None:
    settings = read({"EMAIL_URL": "submission://ada:secret@mail.example.com"})
    assert settings["NOTIFICATIONS"]["CHANNELS"]["email"]["PROVIDERS"] == ["smtp"]
    if django.VERSION < (6, 1):
        assert settings["EMAIL_HOST"] == "mail.example.com"
        assert settings["EMAIL_PORT"] == 587
        assert settings["EMAIL_TIMEOUT"] == settings["MAIL_TIMEOUT_SECONDS"]
    else:
        options = settings["MAILERS"]["default"]["OPTIONS"]
        assert options["host"] == "mail.example.com"
        assert options["port"] == 587
        assert options["timeout"] == settings["MAIL_TIMEOUT_SECONDS"]


def test_django_opens_a_mail_connection_to_that_server() -> None:
    code = """
import django; django.setup()
from django.core.mail import get_connection
c = get_connection(); print(c.host, c.port, c.use_tls, c.username)
"""
    env = {"EMAIL_URL": "submission://ada:secret@mail.example.com"}
    done = run({**env, "DJANGO_SETTINGS_MODULE": "project.settings"}, code)
    assert done.stdout.split() == ["mail.example.com", "587", "True", "ada"], done.stderr


def test_an_email_url_without_a_known_scheme_says_which_there_are() -> None:
    with pytest.raises(ImproperlyConfigured, match="smtp://HOST"):
        read({"EMAIL_URL": "carrier-pigeon://loft"})


SES = {"AWS_REGION": "eu-west-1", "DEFAULT_FROM_EMAIL": "Shop <shop@example.com>"}
TWILIO = {
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "hush",
    "TWILIO_FROM": "+15005550006",
}


def test_a_region_of_aws_and_a_sender_take_email_to_ses() -> None:
    notifications = read(SES)["NOTIFICATIONS"]
    assert notifications["CHANNELS"] == {"email": {"PROVIDERS": ["ses"]}}
    assert notifications["PROVIDERS"]["ses"]["OPTIONS"] == {"REGION": "eu-west-1"}
    notifications = read({**SES, "AWS_SES_CONFIGURATION_SET": "events"})["NOTIFICATIONS"]
    assert notifications["PROVIDERS"]["ses"]["OPTIONS"]["CONFIGURATION_SET"] == "events"


def test_the_region_that_aws_sets_in_its_containers_alone_sends_no_email() -> None:
    assert read({"AWS_REGION": "eu-west-1"})["NOTIFICATIONS"] == {}


def test_an_email_url_goes_before_ses() -> None:
    notifications = read({**SES, "EMAIL_URL": "smtp://mail.example.com"})["NOTIFICATIONS"]
    assert notifications["CHANNELS"] == {"email": {"PROVIDERS": ["smtp"]}}
    assert list(notifications["PROVIDERS"]) == ["smtp"]


def test_an_account_at_twilio_takes_sms_there() -> None:
    notifications = read(TWILIO)["NOTIFICATIONS"]
    assert notifications["CHANNELS"] == {"sms": {"PROVIDERS": ["twilio"]}}
    assert notifications["PROVIDERS"]["twilio"]["OPTIONS"] == {
        name.removeprefix("TWILIO_"): value for name, value in TWILIO.items()
    }


@pytest.mark.parametrize("env", [SES, TWILIO, SES | TWILIO], ids=["ses", "twilio", "both"])
def test_what_the_environment_makes_of_the_providers_is_usable(env: dict[str, str]) -> None:
    done = run(env, CHECK)
    assert "no issues" in done.stdout, done.stderr


def test_who_knows_its_own_address_gets_twilio_s_reports_there() -> None:
    known = {name: v for name, v in TWILIO.items() if name != "TWILIO_STATUS_CALLBACK"}
    read_so = read(known | {"PUBLIC_URL": "https://notify.example.com/"})["NOTIFICATIONS"]
    options = read_so["PROVIDERS"]["twilio"]["OPTIONS"]
    assert options["STATUS_CALLBACK"] == "https://notify.example.com/receipts/twilio"
    assert "STATUS_CALLBACK" not in read(known)["NOTIFICATIONS"]["PROVIDERS"]["twilio"]["OPTIONS"]


def test_half_an_account_at_twilio_is_reported_with_what_is_missing() -> None:
    done = run({"TWILIO_ACCOUNT_SID": TWILIO["TWILIO_ACCOUNT_SID"]}, CHECK)
    assert done.returncode
    assert '"AUTH_TOKEN"' in done.stderr
    assert '"MESSAGING_SERVICE_SID"' in done.stderr


def test_a_stray_host_header_leaves_a_line_and_no_traceback() -> None:
    code = """
import django; django.setup()
from django.test import Client
print(Client(headers={"host": "stray.example"}).get("/healthz").status_code)
"""
    done = run({"DJANGO_SETTINGS_MODULE": "project.settings"}, code)
    assert done.stdout.strip() == "400", done.stderr
    assert "Traceback" not in done.stderr
    assert "ERROR" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1


def test_celery_keeps_its_database_connection_between_tasks() -> None:
    done = run({}, "from project.celery import app; print(app.conf.get('CELERY_DB_REUSE_MAX'))")
    assert done.stdout.strip() == "1000", done.stderr


def test_metrics_of_all_processes_share_a_directory() -> None:
    done = run({}, "import project.settings, os; print(os.environ['PROMETHEUS_MULTIPROC_DIR'])")
    assert done.stdout.strip() == str(ROOT / "var" / "metrics")


def test_containers_with_the_same_process_numbers_share_metrics_all_the_same(
    tmp_path: Path,
) -> None:
    code = """
import django; django.setup()
from notifications.observability.metrics import FENCED
FENCED.inc()
"""
    env = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "project.settings"}
    assert run(env, code).returncode == 0
    [name] = [path.name for path in tmp_path.glob("counter_*")]
    assert re.fullmatch(rf"counter_{re.escape(socket.gethostname())}-\d+\.db", name)
