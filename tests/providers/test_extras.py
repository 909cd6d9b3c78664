"""Packages that only one provider needs: nobody else does, and a missing one is named."""

import subprocess
import sys

import pytest

from tests.processes import ROOT

WITHOUT = """
import sys
sys.modules["{missing}"] = None
import django
from django.conf import settings
settings.configure(
    SECRET_KEY="x", USE_TZ=True, INSTALLED_APPS=["django.contrib.contenttypes", "notifications"],
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
    NOTIFICATIONS={{"PROVIDERS": {{"mine": {{"BACKEND": "{backend}"}}}}}},
)
django.setup()
from django.core.management import call_command
call_command("check")
"""


@pytest.mark.parametrize(
    ("missing", "backend", "extra"),
    [
        ("boto3", "notifications.providers.ses.SESProvider", "ses"),
        ("twilio", "notifications.providers.twilio.TwilioProvider", "twilio"),
        ("anymail", "notifications.providers.anymail.AnymailProvider", "anymail"),
    ],
)
def test_a_missing_package_is_named_by_the_check(missing: str, backend: str, extra: str):
    code = WITHOUT.format(missing=missing, backend=backend)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode
    assert f'pip install "django-notifications-engine[{extra}]"' in done.stderr


def test_nobody_imports_what_only_a_provider_needs():
    code = """
import django, sys
django.setup()
import notifications.tasks, notifications.checks, notifications.urls, notifications.worker
print([name for name in ("anymail", "boto3", "botocore", "twilio") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"DJANGO_SETTINGS_MODULE": "project.settings"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
