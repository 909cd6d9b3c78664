"""Whether messages stand in the broker although their reader says that it has nothing to do."""

import logging
from collections.abc import Collection

from ..conf import get_settings
from ..exceptions import BrokerUnavailable
from ..settlements import RETRY_GRACE_SECONDS
from .owing import late
from .publish import queue_name, waiting_messages

logger = logging.getLogger(__name__)

LATE_SECONDS = RETRY_GRACE_SECONDS
"""How long a row is due at least; until then it may be waiting for Celery's own retry."""


def is_unheard(queues: Collection[str]) -> bool:
    """Whether one of `queues` holds messages, and rows that are due wait for theirs.

    The rows are asked first, by steps through an index: a worker with nothing to do asks often.
    Messages of a queue that is empty are with another worker, or lost; a new connection helps
    against neither. False as well when the broker does not answer.
    """
    doubtful = _late_queues() & set(queues)
    try:
        return any(waiting_messages(queue) for queue in sorted(doubtful))
    except BrokerUnavailable as error:
        logger.warning("the broker is away (%s)", error)
        return False


def _late_queues() -> set[str]:
    lanes = late(get_settings().hint_seconds, LATE_SECONDS)
    return {queue_name(lane.channel, lane.priority) for lane in lanes}
