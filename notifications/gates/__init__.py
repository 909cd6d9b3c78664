"""May it go now? Gates say when and how many; they delay, they never drop."""

from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from django.core.signals import setting_changed

from ..conf import GateSettings, get_settings
from .base import Breaker, Limiter, Pacer
from .circuit import Rules, tally

__all__ = [
    "Breaker",
    "Limiter",
    "Pacer",
    "forget_gates",
    "get_breaker",
    "get_limiter",
    "get_pacer",
    "problems",
    "tally",
]


@cache
def get_limiter() -> Limiter:
    """The limiter that the settings name; one for each process."""
    gates = get_settings().gates
    limiter: Limiter = _backend(gates.backend).Limiter(gates.options)
    return limiter


@cache
def get_breaker() -> Breaker:
    """The breaker that the settings name; one for each process."""
    settings = get_settings()
    rules = {
        name: Rules.of(provider.circuit, provider.timeout)
        for name, provider in settings.providers.items()
        if provider.circuit
    }
    breaker: Breaker = _backend(settings.gates.backend).Breaker(settings.gates.options, rules)
    return breaker


@cache
def get_pacer() -> Pacer:
    """The pacer that the settings name; one for each process."""
    gates = get_settings().gates
    pacer: Pacer = _backend(gates.backend).Pacer(gates.options)
    return pacer


def forget_gates(*, setting: str = "NOTIFICATIONS", **_: Any) -> None:
    """Make them anew next time; connected to Django's `setting_changed`."""
    if setting == "NOTIFICATIONS":
        get_limiter.cache_clear()
        get_breaker.cache_clear()
        get_pacer.cache_clear()


setting_changed.connect(forget_gates)


def problems(gates: GateSettings) -> list[str]:
    """What is wrong with the settings' `GATES`, a sentence each, for `manage.py check`."""
    try:
        backend = _backend(gates.backend)
    except (ImportError, TypeError, ValueError) as error:
        return [f'BACKEND "{gates.backend}" cannot be used: {error}.']
    limiter: type[Limiter] = backend.Limiter
    return limiter.problems(gates.options)


def _backend(path: str) -> ModuleType:
    """The module at `path`, which holds a `Limiter`, a `Breaker` and a `Pacer` of its own."""
    backend = import_module(path)
    for name, base in (("Limiter", Limiter), ("Breaker", Breaker), ("Pacer", Pacer)):
        found = getattr(backend, name, None)
        if not (isinstance(found, type) and issubclass(found, base)):
            raise TypeError(f"it has no class {name}")
    return backend
