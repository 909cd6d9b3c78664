"""What `manage.py check` finds of Django's e-mail that goes through us."""

from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.db import connection

from notifications import checks
from notifications.models import Tenant

OURS = "notifications.mail.EmailBackend"
DJANGO_EMAIL = "notifications.providers.django_email.DjangoEmailProvider"


def found(id: str, tags: list[str], **values: Any) -> list[CheckMessage]:
    messages = run_checks(tags=tags, **values)
    return [message for message in messages if message.id == f"notifications.{id}"]


def test_a_provider_that_would_hand_its_emails_to_us_is_refused(settings: Any) -> None:
    if hasattr(settings, "MAILERS"):
        del settings.MAILERS
    settings.EMAIL_BACKEND = OURS
    settings.NOTIFICATIONS = {"PROVIDERS": {"smtp": {"BACKEND": DJANGO_EMAIL}}}
    [error] = found("E004", [checks.TAG])
    assert "that is to itself" in error.msg
    smtp = {"BACKEND": "django.core.mail.backends.smtp.EmailBackend"}
    settings.NOTIFICATIONS = {"PROVIDERS": {"smtp": {"BACKEND": DJANGO_EMAIL, "OPTIONS": smtp}}}
    assert found("E004", [checks.TAG]) == []


def test_a_mailer_that_cannot_be_made_is_told(settings: Any) -> None:
    settings.MAILERS = {
        "soon": {"BACKEND": OURS, "OPTIONS": {"priority": "soon"}},
        "bulk": {"BACKEND": OURS, "OPTIONS": {"priority": "bulk"}},
    }
    [error] = found("E012", [checks.TAG])
    assert 'MAILERS["soon"]' in error.msg
    assert "urgent, normal, bulk" in error.msg


@pytest.mark.django_db
def test_a_tenant_that_there_is_not_is_told(settings: Any) -> None:
    settings.MAILERS = {"news": {"BACKEND": OURS, "OPTIONS": {"tenant": "news"}}}
    settings.NOTIFICATIONS = {"MAIL": {"TENANT": "shop"}}
    asked = {"tags": ["database"], "databases": [connection.alias]}
    assert ['"news"' in w.msg for w in found("W012", **asked)] == [True, False]
    for name in ("news", "shop"):
        Tenant.objects.create(name=name)
    assert found("W012", **asked) == []
    settings.MAILERS, settings.NOTIFICATIONS = {}, {"MAIL": {"TENANT": "default"}}
    assert found("W012", **asked) == []
