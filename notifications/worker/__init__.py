"""Celery workers: what makes any Celery app a complete one, and one inside this process.

`setup(app)` belongs where the app is made; `EmbeddedWorker` runs it in a thread.
"""

from .configure import is_set_up, setup
from .embedded import EmbeddedWorker
from .shutdown import stopping

__all__ = ["EmbeddedWorker", "is_set_up", "setup", "stopping"]
