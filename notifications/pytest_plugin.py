"""Fixtures for the projects that test with pytest; it is loaded by the entry point `pytest11`.

Nothing of Django is imported before a fixture is asked for: pytest loads this in every project.
"""

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .testing.outbox import Outbox


@pytest.fixture
def notifications_outbox(db: Any) -> "Iterator[Outbox]":
    """The outbox, empty; meanwhile no broker is asked and every provider is a scripted one."""
    testing: Any = import_module("notifications.testing")
    testing.outbox.clear()
    with testing.isolated():
        yield testing.outbox
    testing.outbox.clear()


@pytest.fixture
def deliver_notifications(notifications_outbox: "Outbox") -> Callable[[], int]:
    """`deliver_due`: deliver all that is due now; how many attempts were made."""
    testing: Any = import_module("notifications.testing")
    deliver_due: Callable[[], int] = testing.deliver_due
    return deliver_due


@pytest.fixture
def notifications_travel(notifications_outbox: "Outbox") -> Callable[..., None]:
    """`travel`: let so much time go by, as `notifications_travel(minutes=10)`."""
    testing: Any = import_module("notifications.testing")
    travel: Callable[..., None] = testing.travel
    return travel
