"""One broker message: ids of one channel and priority, sent to a task by its name."""

from collections.abc import Sequence
from uuid import UUID

from celery import current_app
from kombu.exceptions import OperationalError

from ..channels import CHANNELS
from ..enums import Channel, Priority
from ..exceptions import BrokerUnavailable


def queue_name(channel: Channel, priority: Priority) -> str:
    return f"notifications.{channel.value}.{priority.label}"


def publish(channel: Channel, priority: Priority, ids: Sequence[UUID]) -> None:
    """Send a hint that `ids` are due; raises BrokerUnavailable, quickly.

    The message carries ids alone: losing it costs latency, repeating it is a no-op.
    """
    try:
        current_app.send_task(
            CHANNELS[channel].task,
            args=([str(id) for id in ids],),
            queue=queue_name(channel, priority),
            ignore_result=True,
        )
    except (OperationalError, OSError) as error:
        raise BrokerUnavailable(type(error).__name__) from error
