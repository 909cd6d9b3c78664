"""The project's settings with a scripted provider in the place of each, and no broker."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from django.conf import settings as django_settings
from django.test import override_settings
from django.utils.module_loading import import_string

from ..conf import ProviderSettings, get_settings
from ..pipeline import policy, relay
from .outbox import outbox

SCRIPTED = "notifications.testing.ScriptedProvider"

LIMITS = ("RATE_LIMIT", "WORKER_RATE_LIMIT")
TENANT_LIMITS = ("TENANT_RATE_LIMIT", "TENANT_DAILY_LIMIT")


@contextmanager
def isolated() -> Iterator[None]:
    """Inside the block nothing goes to a broker, and every provider is a `ScriptedProvider`.

    What the settings say of channels, retries and the order of providers holds; their rate limits,
    circuits and gates do not: they would make a test depend on those before it.
    """
    with ExitStack() as stack:
        stack.enter_context(relay.muted())
        stack.enter_context(override_settings(NOTIFICATIONS=scripted_settings()))
        policy.forget()
        stack.callback(policy.forget)
        yield


class NotificationsMixin:
    """For a `TestCase` or `TransactionTestCase`: every test is `isolated`, with an empty outbox."""

    def setUp(self) -> None:
        super().setUp()  # type: ignore[misc]  # of the TestCase it is mixed into
        context = isolated()
        context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)  # type: ignore[attr-defined]  # as above
        outbox.clear()


def scripted_settings() -> dict[str, Any]:
    """NOTIFICATIONS as the project has it, but for what has no place in a test."""
    raw: Mapping[str, Any] = getattr(django_settings, "NOTIFICATIONS", {})
    providers = get_settings().providers
    channels = {name: _without(LIMITS, one) for name, one in raw.get("CHANNELS", {}).items()}
    return {
        **_without((*TENANT_LIMITS, "GATES"), raw),
        "CHANNELS": channels,
        "PROVIDERS": {name: _scripted(provider) for name, provider in providers.items()},
    }


def _without(names: tuple[str, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in names}


def _scripted(provider: ProviderSettings) -> dict[str, Any]:
    backend: Any = None
    with suppress(ImportError):  # an extra that the tests are run without
        backend = import_string(provider.backend)
    abilities = {
        "HONOURS_KEY": bool(getattr(backend, "honours_key", False) is True),
        "REPORTS_DELIVERY": bool(getattr(backend, "reports_delivery", True)),
    }
    return {"BACKEND": SCRIPTED, "OPTIONS": abilities, "TIMEOUT": provider.timeout}
