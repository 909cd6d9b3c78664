"""The way out of what the tests in a project with other packages send: a real SMTP server."""

from collections.abc import Iterator
from typing import Any

import pytest

from notifications.providers.registry import forget_providers
from tests.providers.smtp_server import Script, Server
from tests.test_mail import DJANGOS, PROVIDER


@pytest.fixture(scope="session")
def smtp() -> Iterator[Server]:
    server = Server(Script())
    server.start()
    yield server
    server.stop(no_assert=True)


@pytest.fixture
def script(settings: Any, smtp: Server) -> Iterator[Script]:
    """Where all e-mails go, of other packages and of ours alike."""
    smtp.handler.arrived.clear()
    if hasattr(settings, "MAILERS"):
        del settings.MAILERS
    settings.EMAIL_BACKEND = DJANGOS
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", smtp.port
    settings.NOTIFICATIONS = {
        "CHANNELS": {"email": {"PROVIDERS": ["smtp"]}},
        "PROVIDERS": {"smtp": {"BACKEND": PROVIDER, "OPTIONS": {"BACKEND": DJANGOS}}},
    }
    forget_providers()
    yield smtp.handler
    forget_providers()
