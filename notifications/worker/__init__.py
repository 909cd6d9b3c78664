"""Celery workers: what makes any Celery app a complete one, and one inside this process.

`setup(app)` belongs where the app is made; `EmbeddedWorker` runs it in a thread.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .configure import is_set_up, setup
    from .embedded import EmbeddedWorker
    from .shutdown import stopping

__all__ = ["EmbeddedWorker", "is_set_up", "setup", "stopping"]

MODULES = {
    "EmbeddedWorker": "embedded",
    "is_set_up": "configure",
    "setup": "configure",
    "stopping": "shutdown",
}


def __getattr__(name: str) -> Any:
    """Loaded on first use: who only publishes needs none of Celery's worker."""
    if name not in MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{MODULES[name]}"), name)
