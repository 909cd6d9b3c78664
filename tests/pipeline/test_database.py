"""The database's clock, asked or carried on."""

import time

import pytest

from notifications.pipeline import database

pytestmark = pytest.mark.django_db


def test_the_clock_that_is_carried_on_is_never_ahead_of_the_database() -> None:
    for _ in range(20):
        assert database.recent_now() <= database.now()
        time.sleep(0.01)


def test_the_clock_that_is_carried_on_goes_on() -> None:
    first = database.recent_now()
    time.sleep(0.05)
    assert (database.recent_now() - first).total_seconds() >= 0.04
