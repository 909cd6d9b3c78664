"""The sample project's settings, on the database that TEST_DB names: sqlite or postgres."""

import os
import tempfile

SCRATCH = tempfile.TemporaryDirectory(prefix="notifications-tests-", ignore_cleanup_errors=True)

# Before the settings are read: tests must neither see nor leave anything in `var`.
os.environ.setdefault("SECRET_KEY", "for-tests-only")
os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", f"{SCRATCH.name}/metrics")
for name in (
    "DATABASE_URL",
    "CELERY_BROKER_URL",
    "REDIS_URL",
    "EMAIL_URL",
    "WEBHOOKS",
    "WEBHOOK_LOOPBACK",
    "METRICS_TOKEN",
    "WORKER_METRICS_PORT",
    "LOG_FORMAT",
    "LOG_LEVEL",
    "LOG_EVENTS",
    "TRACING",
    "PUBLIC_URL",
    "SIMULATED_RECEIPT_TOKEN",
    "DEBUG",
    "HTTPS",
):
    os.environ.pop(name, None)

import dj_database_url

from project.settings import *  # noqa: F403 - a settings module takes all of another
from project.settings import DATABASES, POSTGRES_OPTIONS, SQLITE
from tests.servers import running

TEST_DB = os.environ.get("TEST_DB", "sqlite")
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

if TEST_DB == "postgres":
    # Only where it will be: the `django_db_modify_db_settings` of conftest starts it.
    url = os.environ.get("TEST_DATABASE_URL") or running.postgres().url
    DATABASES["default"] = dict(dj_database_url.parse(url)) | {"OPTIONS": POSTGRES_OPTIONS}
else:
    # A file, not memory, which would know neither several connections nor the WAL.
    DATABASES["default"] = SQLITE | {"TEST": {"NAME": f"{SCRATCH.name}/test.sqlite3"}}
