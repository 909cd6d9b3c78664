"""Workers that race for the same rows."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections

from notifications.enums import Channel
from notifications.models import Attempt, Notification
from notifications.pipeline.deliver import deliver
from tests.pipeline.factories import sms

pytestmark = pytest.mark.postgres


@pytest.mark.django_db(transaction=True)
def test_two_workers_on_one_row_send_once() -> None:
    for _ in range(20):
        row, start = sms(), threading.Barrier(8)

        def race(id: Any = row.pk, start: threading.Barrier = start) -> int:
            start.wait()
            try:
                return deliver(Channel.SMS, [id]).settled
            finally:
                connections.close_all()

        with ThreadPoolExecutor(8) as pool:
            settled = [future.result() for future in [pool.submit(race) for _ in range(8)]]
        assert sum(settled) == 1
    assert Attempt.objects.count() == Notification.objects.count() == 20
