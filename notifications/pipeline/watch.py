"""Whether messages stand in the broker although their reader says that it has nothing to do."""

import logging
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

from amqp.exceptions import AMQPError
from celery import current_app
from django.db.models.functions import Now
from kombu.exceptions import OperationalError

from ..conf import get_settings
from ..enums import Channel, Priority
from ..models import Notification
from ..settlements import RETRY_GRACE_SECONDS
from .publish import queue_name

logger = logging.getLogger(__name__)

BROKER_ERRORS = (OperationalError, AMQPError, OSError)

LATE_SECONDS = RETRY_GRACE_SECONDS
"""How long a row is due at least; until then it may be waiting for Celery's own retry."""


def is_unheard(queues: Collection[str]) -> bool:
    """Whether one of `queues` holds messages, and rows that are due wait for theirs.

    The rows are asked first, with one probe of an index: a worker with nothing to do asks often.
    Messages of a queue that is empty are with another worker, or lost; a new connection helps
    against neither. False as well when the broker does not answer.
    """
    late = _late_queues() & set(queues)
    try:
        return any(_depth(queue) for queue in sorted(late))
    except BROKER_ERRORS as error:
        logger.warning("the broker is away (%s)", type(error).__name__)
        return False


def _late_queues() -> set[str]:
    hint = timedelta(seconds=get_settings().hint_seconds)
    rows = Notification.objects.waiting().filter(
        publish_at__gt=Now(),
        publish_at__lte=Now() + hint,
        due_at__lte=Now() - timedelta(seconds=LATE_SECONDS),
    )
    lanes = rows.values_list("channel", "priority").distinct()
    return {queue_name(Channel(channel), Priority(priority)) for channel, priority in lanes}


def _depth(name: str) -> int:
    """How many messages stand in the queue, those not counted that some worker holds."""
    queue = current_app.amqp.queues[name]
    retry: Mapping[str, Any] = current_app.conf.task_publish_retry_policy
    pool: Any = current_app.pool
    with pool.acquire(block=True) as connection:
        declared, _ = connection.autoretry(queue.queue_declare, **retry)()
    return int(declared.message_count)
