"""The Celery tasks: a list of ids each, and Celery's own options from the settings.

The row decides, Celery carries. What is to be tried again is in its row before the task asks
Celery to come back; Celery's retry is the fast path, the dispatcher the safety net.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import UUID

from celery import Task, shared_task
from celery.exceptions import Ignore, Reject, Retry
from django.db import InterfaceError, OperationalError
from kombu.exceptions import OperationalError as BrokerError

from .conf import lenient_settings
from .discretion import discreet
from .enums import Channel
from .exceptions import BrokerUnavailable, TransientFailure
from .late import late
from .retry import FAST_RETRY_SECONDS
from .worker.shutdown import stopping

if TYPE_CHECKING:
    from .pipeline.deliver import deliver
    from .pipeline.dispatch import dispatch_due
    from .pipeline.jobs import run as run_job
    from .pipeline.lease import Report
    from .pipeline.prune import prune as prune_rows
    from .pipeline.rescue import expire as expire_rows
    from .pipeline.rescue import rescue as rescue_rows
else:  # a process that only publishes tasks loads nothing of what they do
    deliver = late("pipeline.deliver.deliver")
    dispatch_due = late("pipeline.dispatch.dispatch_due")
    run_job = late("pipeline.jobs.run")
    prune_rows = late("pipeline.prune.prune")
    expire_rows = late("pipeline.rescue.expire")
    rescue_rows = late("pipeline.rescue.rescue")

INFRASTRUCTURE = (OperationalError, InterfaceError, BrokerError, BrokerUnavailable)
"""What passes by itself: the database or the broker is away for a moment."""

told = discreet(TransientFailure, *INFRASTRUCTURE)
"""Celery has to see these; of all other errors it logs and stores what may be told."""

Deliver = Callable[[list[str]], None]

SOFT_TIME_LIMIT = 2
HARD_TIME_LIMIT = 3
"""In leases: by then the lease is long lost, and whatever still hangs may be ended."""


class DeliveryTask(Task[..., None] if TYPE_CHECKING else Task):  # type: ignore[misc]  # generic in the stubs alone
    """A task whose retries are already written in the rows.

    It asks Celery to come back only for rows that are due within a minute, with just those
    ids. A retry that cannot be published, or that Celery counts as one too many, is no loss:
    the dispatcher finds the rows.
    """

    abstract = True

    @property
    def store_errors_even_if_ignored(self) -> bool:
        """A failure is recorded; a retry, of which Celery keeps a record for ever, is not."""
        return not self.request.get("comes_back")

    def retry(self, args: Any = None, kwargs: Any = None, **options: Any) -> NoReturn:
        failure = options.get("exc")
        options.pop("max_retries", None)  # given for one call, it would leak into the next ones
        if isinstance(failure, TransientFailure):
            args = ([str(id) for id in failure.ids],)
            options["countdown"] = failure.delay
        try:
            raise super().retry(args, kwargs, **options)
        except Retry:
            self.request.update(comes_back=True)
            raise
        except (Reject, BrokerError, TransientFailure) as error:
            raise Ignore from error


def _deliver(channel: Channel, ids: Sequence[str]) -> None:
    report = deliver(channel, [UUID(id) for id in ids], stopping)
    if report.again:
        raise TransientFailure(list(report.again), _earliest(report))


def _earliest(report: "Report") -> float:
    """When to come back: just after the first is due, so that it is due by the database's clock."""
    return min(min(report.again.values()) + 0.1, FAST_RETRY_SECONDS)


def _task_of(channel: Channel) -> Callable[[Deliver], Deliver]:
    """The decorator that makes a channel's task, with Celery's options from the settings."""
    decorator: Callable[[Deliver], Deliver] = shared_task(**_options(channel))
    return decorator


def _options(channel: Channel) -> dict[str, Any]:
    settings = lenient_settings()
    values = settings.channel(channel)
    return {
        "name": channel.task,
        "base": DeliveryTask,
        "rate_limit": values.worker_rate_limit,
        "autoretry_for": (TransientFailure, *INFRASTRUCTURE),
        "retry_backoff": values.retry.backoff,
        "retry_backoff_max": values.retry.backoff_max,
        "retry_jitter": values.retry.jitter,
        "max_retries": values.retry.max_attempts - 1,
        "acks_late": True,
        "soft_time_limit": settings.lease_seconds * SOFT_TIME_LIMIT,
        "time_limit": settings.lease_seconds * HARD_TIME_LIMIT,
        "ignore_result": True,
    }


@_task_of(Channel.EMAIL)
@told
def deliver_email(ids: list[str]) -> None:
    """Deliver e-mails; `ids` are a hint, the rows decide."""
    _deliver(Channel.EMAIL, ids)


@_task_of(Channel.SMS)
@told
def deliver_sms(ids: list[str]) -> None:
    """Deliver text messages; `ids` are a hint, the rows decide."""
    _deliver(Channel.SMS, ids)


@_task_of(Channel.WEBHOOK)
@told
def deliver_webhook(ids: list[str]) -> None:
    """Deliver webhooks; `ids` are a hint, the rows decide."""
    _deliver(Channel.WEBHOOK, ids)


@shared_task(name="notifications.dispatch", ignore_result=False)
@told
def dispatch() -> int:
    """Publish what is owed a message, now; returns how many notifications that was."""
    return dispatch_due()


@shared_task(name="notifications.rescue", ignore_result=False)
@told
def rescue() -> dict[str, int]:
    """Take in hand what lost workers held and what is past its time, now; returns the counts."""
    return {"rescued": rescue_rows(), "expired": expire_rows()}


@shared_task(name="notifications.job", ignore_result=True, acks_late=True)
def job(id: str) -> None:
    """Go on with a job until it is done, this worker stops, or another one has it."""
    run_job(UUID(id), stop=stopping)


@shared_task(name="notifications.prune", ignore_result=False)
@told
def prune(days: int | None = None) -> dict[str, int]:
    """Delete what was settled long ago; returns the counts. A shutdown ends it early."""
    return asdict(prune_rows(days, stop=stopping))
