"""Messages that stand in the broker unread, told from those that are elsewhere."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery
from django.db.models.functions import Now
from redis import Redis

from notifications.enums import Channel, Priority
from notifications.models import Notification
from notifications.pipeline.publish import publish
from notifications.pipeline.watch import is_unheard
from notifications.transport import broker
from notifications.worker import setup
from project.celery import app as project_app
from tests.pipeline.factories import sms

pytestmark = pytest.mark.django_db

QUEUES = ["celery", "notifications.email.normal", "notifications.sms.normal"]


PREFIXED = {"global_keyprefix": "shop:"}
"""For a Redis that others use too."""


@pytest.fixture(autouse=True, params=["embedded", "redis", "rabbitmq"])
def _app(request: pytest.FixtureRequest) -> Iterator[None]:
    """An app on each kind of broker, through which everything goes meanwhile."""
    url = "embedded://"
    if request.param != "embedded":
        url = request.getfixturevalue(f"empty_{request.param}")
    app = Celery("lab", broker=url, set_as_current=False)
    app.conf.broker_transport_options = PREFIXED if request.param == "redis" else {}
    setup(app)
    app.set_current()
    broker.queues.clear()
    yield
    app.close()
    broker.queues.clear()
    project_app.set_default()
    project_app.set_current()


def hinted(due_for: float = 60, **fields: Any) -> Notification:
    """A row that has been due for so long, with a message that is believed to be on its way."""
    row = sms()
    values = {"publish_at": Now() + timedelta(seconds=20), **fields}
    due_at = Now() - timedelta(seconds=due_for)
    Notification.objects.filter(pk=row.pk).update(due_at=due_at, **values)
    return row


def send(row: Notification) -> None:
    publish(Channel.SMS, Priority.NORMAL, [row.pk])


def test_a_row_that_waits_and_a_message_that_stands_are_unheard() -> None:
    send(hinted())
    assert is_unheard(QUEUES)


@pytest.mark.parametrize("_app", ["redis"], indirect=True)
def test_a_prefix_for_the_keys_of_redis_is_kept(redis_url: str) -> None:
    send(hinted())
    with Redis.from_url(redis_url) as client:
        assert all(key.startswith(b"shop:") for key in client.keys("*"))
        assert client.llen("shop:notifications.sms.normal") == 1
    assert is_unheard(QUEUES)


def test_a_queue_that_is_not_read_here_does_not_count() -> None:
    send(hinted())
    assert not is_unheard(QUEUES[:-1])


def test_a_message_that_is_lost_or_with_another_is_not_unheard() -> None:
    hinted()
    assert not is_unheard(QUEUES)


@pytest.mark.parametrize(
    "fields",
    [
        {"due_for": 1},
        {"due_for": -10},
        {"state": "sent"},
        {"publish_at": Now()},
    ],
)
def test_a_message_for_a_row_that_does_not_wait_for_it_is_not_unheard(
    fields: dict[str, Any],
) -> None:
    send(hinted(**fields))
    assert not is_unheard(QUEUES)
