"""Broker messages: ids of one channel and priority for a task, or a request to dispatch."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any
from uuid import UUID

from amqp.exceptions import AMQPError
from celery import Celery, current_app
from celery.app import app_or_default
from kombu.exceptions import OperationalError

from ..enums import Channel, Priority
from ..exceptions import BrokerUnavailable
from ..schemes import IN_PROCESS, scheme_of

OPERATIONS_QUEUE = "notifications.operations"


listeners: set[str] = set()
"""The workers of this process, by their names; with a broker in it, nobody else hears us."""


def is_heard() -> bool:
    """Whether what is published can reach a worker: through a broker, or one in this process."""
    return bool(listeners) or not _is_in_process(app_or_default())


@cache
def _is_in_process(app: Celery) -> bool:
    """Kept, as it is asked for with each request, and Celery looks through all its settings."""
    return scheme_of(app.conf.broker_write_url or app.conf.broker_url) in IN_PROCESS


def queue_name(channel: Channel, priority: Priority) -> str:
    return f"notifications.{channel.value}.{priority.label}"


def publish(channel: Channel, priority: Priority, ids: Sequence[UUID]) -> None:
    """Send a hint that `ids` are due; raises BrokerUnavailable, within seconds.

    The message carries ids alone: losing it costs latency, repeating it is a no-op.
    """
    with _broker_errors():
        current_app.send_task(
            channel.task,
            args=([str(id) for id in ids],),
            queue=queue_name(channel, priority),
            ignore_result=True,
        )


def waiting_messages(queue: str) -> int:
    """How many messages wait in `queue`, not counting those that workers have in hand.

    One round trip; raises BrokerUnavailable.
    """
    with _broker_errors():
        return _depth(queue)


def request_dispatch() -> None:
    """Ask a worker to dispatch at once, rather than at its next tick; raises BrokerUnavailable.

    Nothing is asked while anything waits in the queue of operations: without a worker to read
    them, requests would pile up.
    """
    with _broker_errors():
        if _depth(OPERATIONS_QUEUE) == 0:
            current_app.send_task("notifications.dispatch", queue=OPERATIONS_QUEUE)


def request_job(id: UUID) -> None:
    """Ask a worker to go on with a job; raises BrokerUnavailable."""
    with _broker_errors():
        current_app.send_task(
            "notifications.job", args=(str(id),), queue=OPERATIONS_QUEUE, ignore_result=True
        )


def request_import(id: UUID) -> None:
    """Ask a worker to go on with an import; raises BrokerUnavailable."""
    with _broker_errors():
        current_app.send_task(
            "notifications.import", args=(str(id),), queue=OPERATIONS_QUEUE, ignore_result=True
        )


def _depth(name: str) -> int:
    """A declaration answers it. Not a passive one: on Redis an empty queue does not exist."""
    queue = current_app.amqp.queues[name]
    retry: Mapping[str, Any] = current_app.conf.task_publish_retry_policy
    pool: Any = current_app.pool
    with pool.acquire(block=True) as connection:
        declared, _ = connection.autoretry(queue.queue_declare, **retry)()
    return int(declared.message_count)


@contextmanager
def _broker_errors() -> Iterator[None]:
    try:
        yield
    except (OperationalError, AMQPError, OSError) as error:
        raise BrokerUnavailable(type(error).__name__) from error
