"""Publishing on every kind of broker: what it asks for, and how soon it gives up."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
from celery import Celery
from kombu.simple import SimpleQueue

from notifications.enums import Channel, Priority
from notifications.exceptions import BrokerUnavailable
from notifications.pipeline.publish import OPERATIONS_QUEUE, publish, request_dispatch
from notifications.pipeline.relay import Relay
from notifications.transport import broker
from notifications.worker import setup
from project.celery import app as project_app
from tests.servers.rabbitmq import RabbitMQ

SEVERAL_SECONDS = 12


@pytest.fixture(params=["embedded", "redis", "rabbitmq"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    fixtures = {"redis": "empty_redis", "rabbitmq": "empty_rabbitmq"}
    name = fixtures.get(request.param)
    yield request.getfixturevalue(name) if name else "embedded://"
    broker.queues.clear()


@pytest.fixture
def app(url: str) -> Iterator[Celery]:
    yield from current(url)


@pytest.fixture
def app_on_rabbitmq(empty_rabbitmq: str) -> Iterator[Celery]:
    yield from current(empty_rabbitmq)


def current(url: str) -> Iterator[Celery]:
    """An app on this broker, through which everything is published meanwhile."""
    app = Celery("lab", broker=url, set_as_current=False)
    setup(app)
    app.set_current()
    purge(app)
    yield app
    purge(app)
    project_app.set_default()
    project_app.set_current()


def purge(app: Celery) -> None:
    with operations(app) as queue:
        queue.clear()


def waiting(app: Celery) -> int:
    with operations(app) as queue:
        return len(queue)


@contextmanager
def operations(app: Celery) -> Iterator[SimpleQueue]:
    with app.connection_for_write() as connection:
        yield connection.SimpleQueue(app.amqp.queues[OPERATIONS_QUEUE])


def test_requests_to_dispatch_do_not_pile_up_where_nobody_reads_them(app: Celery) -> None:
    for _ in range(5):
        request_dispatch()
    assert waiting(app) == 1


def test_a_request_that_was_read_makes_room_for_the_next(app: Celery) -> None:
    request_dispatch()
    with operations(app) as queue:
        message = queue.get(block=False)
        assert message.headers["task"] == "notifications.dispatch"
        message.ack()
    request_dispatch()
    assert waiting(app) == 1


def test_a_frozen_rabbitmq_is_given_up_within_seconds_and_used_again_once_it_thaws(
    app_on_rabbitmq: Celery, rabbitmq_server: RabbitMQ
) -> None:
    publish(Channel.SMS, Priority.NORMAL, [uuid4()])
    relay = Relay()
    rabbitmq_server.freeze()
    try:
        # To a queue that is not declared yet: that is where it once waited without end.
        assert gives_up_after(Channel.EMAIL) < SEVERAL_SECONDS
        assert gives_up_after(Channel.SMS) < SEVERAL_SECONDS
        relay.offer((Channel.SMS, Priority.NORMAL), [uuid4()])
        assert relay.flush(SEVERAL_SECONDS)
    finally:
        rabbitmq_server.thaw()
    publish(Channel.SMS, Priority.NORMAL, [uuid4()])
    request_dispatch()
    assert waiting(app_on_rabbitmq) == 1


def gives_up_after(channel: Channel) -> float:
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        publish(channel, Priority.URGENT, [uuid4()])
    return time.monotonic() - started
