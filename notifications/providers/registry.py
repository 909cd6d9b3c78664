"""The providers that the settings name: one instance of each for a process."""

import os
import threading
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from ..conf import get_settings
from .base import Provider

WATCHED = frozenset({"NOTIFICATIONS", "MAILERS", "ANYMAIL", "DEFAULT_FROM_EMAIL"})

_lock = threading.Lock()
_providers: dict[str, Provider] = {}


def get_provider(name: str) -> Provider:
    """The provider called `name`, made when it is first asked for.

    Raises ImproperlyConfigured when the settings know none or it cannot work with them.
    """
    with _lock:
        if name not in _providers:
            _providers[name] = _make(name)
        return _providers[name]


def forget_providers() -> None:
    """Close them all; the next one asked for is made anew."""
    with _lock:
        forgotten = list(_providers.values())
        _providers.clear()
    for provider in forgotten:
        provider.close()


def _make(name: str) -> Provider:
    settings = get_settings().providers.get(name)
    if settings is None:
        raise ImproperlyConfigured(f'NOTIFICATIONS["PROVIDERS"] has no "{name}".')
    backend = import_string(settings.backend)
    provider: Provider = backend(name, settings.options, settings.timeout)
    provider.concurrency = settings.concurrency or provider.concurrency
    provider.window = max(provider.window, provider.concurrency)
    return provider


def _forget_changed(*, setting: str, **_: Any) -> None:
    """Settings of Django's mail count too: a provider keeps its connection open."""
    if setting in WATCHED or setting.startswith("EMAIL_"):
        forget_providers()


setting_changed.connect(_forget_changed)


def _start_anew() -> None:
    """A child begins with nothing: its parent's connections are not its own, not even to close."""
    global _lock
    _lock = threading.Lock()
    _providers.clear()


os.register_at_fork(after_in_child=_start_anew)
