"""Whether messages stand in the broker although their reader says that it has nothing to do."""

import logging
from collections.abc import Collection
from datetime import timedelta

from django.db.models.functions import Now

from ..conf import get_settings
from ..enums import Channel, Priority
from ..exceptions import BrokerUnavailable
from ..lifecycle import FRESH, TRIED
from ..models import Notification
from ..settlements import RETRY_GRACE_SECONDS
from .publish import queue_name, waiting_messages

logger = logging.getLogger(__name__)

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
        return any(waiting_messages(queue) for queue in sorted(late))
    except BrokerUnavailable as error:
        logger.warning("the broker is away (%s)", error)
        return False


def _late_queues() -> set[str]:
    hint = timedelta(seconds=get_settings().hint_seconds)
    lanes: set[tuple[str, int]] = set()
    for states in (FRESH, TRIED):  # an index each
        rows = Notification.objects.in_states(states).filter(
            publish_at__gt=Now(),
            publish_at__lte=Now() + hint,
            due_at__lte=Now() - timedelta(seconds=LATE_SECONDS),
        )
        lanes.update(rows.values_list("channel", "priority").distinct())
    return {queue_name(Channel(channel), Priority(priority)) for channel, priority in lanes}
