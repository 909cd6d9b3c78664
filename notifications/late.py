"""Functions by their names: who starts with Django loads what they need when they are called."""

from collections.abc import Callable
from typing import Any

from django.utils.module_loading import import_string


def late(name: str) -> Callable[..., Any]:
    """A function that calls the one at `name`, a path below `notifications`."""
    path = f"notifications.{name}"

    def call(*args: Any, **kwargs: Any) -> Any:
        return import_string(path)(*args, **kwargs)

    call.__name__ = call.__qualname__ = path
    return call
