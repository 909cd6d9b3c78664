"""May it go now? Gates say when and how many; they delay, they never drop."""

from functools import cache
from importlib import import_module
from typing import Any

from django.core.signals import setting_changed

from ..conf import GateSettings, get_settings
from .base import Limiter

__all__ = ["Limiter", "forget_limiter", "get_limiter", "problems"]


@cache
def get_limiter() -> Limiter:
    """The limiter that the settings name; one for each process."""
    gates = get_settings().gates
    return _backend(gates.backend)(gates.options)


def forget_limiter(*, setting: str = "NOTIFICATIONS", **_: Any) -> None:
    """Make it anew next time; connected to Django's `setting_changed`."""
    if setting == "NOTIFICATIONS":
        get_limiter.cache_clear()


setting_changed.connect(forget_limiter)


def problems(gates: GateSettings) -> list[str]:
    """What is wrong with the settings' `GATES`, a sentence each, for `manage.py check`."""
    try:
        backend = _backend(gates.backend)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        return [f'BACKEND "{gates.backend}" cannot be used: {error}.']
    return backend.problems(gates.options)


def _backend(path: str) -> type[Limiter]:
    """The `Backend` class of the module at `path`."""
    backend = import_module(path).Backend
    if not (isinstance(backend, type) and issubclass(backend, Limiter)):
        raise TypeError(f"{path}.Backend is not a Limiter")
    return backend
