"""A notification delivery engine for Django.

    from notifications import notify
    notify("email", to="ada@example.com", subject="Hello", body="…", idempotency_key="hello-ada")

Accept once, deliver once, say honestly what happened, never lose anything.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .recipients import clean_address
    from .shortcuts import (
        acancel,
        anotify,
        anotify_many,
        cancel,
        notify,
        notify_many,
        put_template,
        set_preference,
    )
    from .types import NotificationType

__all__ = (
    "NotificationType",
    "acancel",
    "anotify",
    "anotify_many",
    "cancel",
    "clean_address",
    "notify",
    "notify_many",
    "put_template",
    "set_preference",
)


ELSEWHERE = {"NotificationType": "types", "clean_address": "recipients"}
"""What does not come from `shortcuts`."""


def __getattr__(name: str) -> Any:
    """Load the Python API on first use: models cannot be imported before the apps are ready."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"notifications.{ELSEWHERE.get(name, 'shortcuts')}"), name)
