"""What `manage.py check` says of Celery's settings; the table of ids is in `checks.py`."""

import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from celery import current_app
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from kombu.utils.imports import symbol_by_name

from .check_list import TAG
from .conf import lenient_settings
from .schemes import scheme_of
from .tasks import HARD_TIME_LIMIT
from .worker.configure import AMQP, REDIS, queues
from .worker.consumer import Consumer

PICKLE = frozenset({"pickle", "application/x-python-serialize"})

TIMEOUTS = {
    **dict.fromkeys(REDIS, ("socket_timeout", "socket_connect_timeout")),
    **dict.fromkeys(AMQP, ("read_timeout", "write_timeout")),
}


def check_celery(**_: Any) -> list[CheckMessage]:
    """Settings of Celery that would break a promise."""
    conf: Any = current_app.conf
    scheme = scheme_of(conf.broker_url)
    options: Mapping[str, Any] = conf.broker_transport_options or {}
    return [
        *_check_serializers(conf),
        *_check_eager(conf),
        *_check_publishing(conf),
        *_check_consuming(conf),
        *_check_lasting(conf),
        *_check_timeouts(scheme, options),
        *(_check_redis(options) if scheme in REDIS else ()),
        *(_check_amqp(conf, scheme, options) if scheme in AMQP else ()),
    ]


def check_metrics_port(**_: Any) -> list[CheckMessage]:
    """WORKER_METRICS_PORT, on which each worker serves what its processes have counted."""
    port = getattr(settings, "WORKER_METRICS_PORT", None)
    if port is None:
        return []
    if type(port) is not int or not 0 < port < 65536:
        return [_no_metrics(f"is {port!r}", "Set it to a port number such as 9100, or to None.")]
    if not find_spec("prometheus_client"):
        hint = 'pip install "django-notifications-engine[metrics]"'
        return [_no_metrics("is set, and prometheus-client is missing", hint)]
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        hint = "Call notifications.multiprocess.share_metrics(DIRECTORY) in the settings."
        return [_no_metrics("is set, and the processes share no directory", hint)]
    return []


def _no_metrics(what: str, hint: str) -> CheckMessage:
    return Error(f"WORKER_METRICS_PORT {what}.", hint=hint, id=f"{TAG}.E013")


def _check_serializers(conf: Any) -> Iterator[CheckMessage]:
    accepted = {str(kind) for kind in conf.accept_content or ()} | {str(conf.task_serializer)}
    if accepted & PICKLE:
        yield Error(
            "Celery accepts pickle: whoever can write to the broker could run code here.",
            hint='Set CELERY_ACCEPT_CONTENT = ["json"] and CELERY_TASK_SERIALIZER = "json".',
            id=f"{TAG}.E007",
        )


def _check_eager(conf: Any) -> Iterator[CheckMessage]:
    if conf.task_always_eager:
        yield Warning(
            "CELERY_TASK_ALWAYS_EAGER runs deliveries in the process that publishes them.",
            hint='Remove it; without a broker use CELERY_BROKER_URL = "embedded://" instead.',
            id=f"{TAG}.W003",
        )


def _check_publishing(conf: Any) -> Iterator[CheckMessage]:
    if not conf.task_publish_retry:
        yield Warning(
            "CELERY_TASK_PUBLISH_RETRY is off: it takes 6 s to notice that the broker is away.",
            hint="Remove it; CELERY_TASK_PUBLISH_RETRY_POLICY says how often it is tried.",
            id=f"{TAG}.W005",
        )


def _check_consuming(conf: Any) -> Iterator[CheckMessage]:
    if conf.worker_prefetch_multiplier == 0:
        yield Warning(
            "CELERY_WORKER_PREFETCH_MULTIPLIER is 0: the first worker takes all there is, and what "
            "is urgent waits behind it.",
            hint="Remove it; it is 1 then.",
            id=f"{TAG}.W006",
        )
    if conf.worker_cancel_long_running_tasks_on_connection_loss:
        yield Warning(
            "CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS is on: when the broker is "
            "lost for a moment, deliveries are ended while a provider may have them.",
            hint="Remove it; it is off then.",
            id=f"{TAG}.W004",
        )
    if not issubclass(symbol_by_name(conf.worker_consumer), Consumer):
        yield Warning(
            "CELERY_WORKER_CONSUMER is not ours: a WORKER_RATE_LIMIT may fall far below its "
            "figure, and a worker that no longer hears its broker does not notice it.",
            hint="Remove it, or name a subclass of notifications.worker.consumer.Consumer.",
            id=f"{TAG}.W011",
        )


def _check_lasting(conf: Any) -> Iterator[CheckMessage]:
    ending = [name for name in LASTING if conf[name] is False]
    if conf.broker_connection_max_retries:
        ending.append("broker_connection_max_retries")
    for name in ending:
        yield Warning(
            f"CELERY_{name.upper()} = {conf[name]!r} lets a worker end when the broker is away, "
            "and not come back by itself.",
            hint="Remove it; workers then wait for the broker, however long.",
            id=f"{TAG}.W008",
        )


LASTING = (
    "broker_connection_retry",
    "broker_connection_retry_on_startup",
    "broker_channel_error_retry",
)


def _check_timeouts(scheme: str, options: Mapping[str, Any]) -> Iterator[CheckMessage]:
    for name in TIMEOUTS.get(scheme, ()):
        if not options.get(name):
            yield Error(
                f'CELERY_BROKER_TRANSPORT_OPTIONS["{name}"] = {options.get(name)!r}: a broker that '
                "is frozen would be waited for without end.",
                hint="Remove the key; a safe value takes its place.",
                id=f"{TAG}.E009",
            )


def _check_redis(options: Mapping[str, Any]) -> Iterator[CheckMessage]:
    longest = lenient_settings().lease_seconds * HARD_TIME_LIMIT
    if options["visibility_timeout"] < longest:
        yield Warning(
            f'CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"] is under {longest:g} s, '
            "which a task may take: Redis would give out its message again and again meanwhile.",
            hint="Remove the key; it is an hour then. Rows of a killed worker do not wait for it.",
            id=f"{TAG}.W009",
        )


def _check_amqp(conf: Any, scheme: str, options: Mapping[str, Any]) -> Iterator[CheckMessage]:
    if not options.get("confirm_publish"):
        yield Warning(
            'CELERY_BROKER_TRANSPORT_OPTIONS["confirm_publish"] is off: what is published while '
            "RabbitMQ fails is lost unnoticed, and waits HINT_SECONDS for another message.",
            hint="Remove the key; it is on then.",
            id=f"{TAG}.W007",
        )
    kinds = {name: _kind_of(name) for name in (queue.name for queue in queues(scheme))}
    for name in (name for name, kind in kinds.items() if kind != "quorum"):
        yield Warning(
            f"The queue {name} is no quorum queue: it may lose messages with a node of RabbitMQ.",
            hint="Leave it out of CELERY_TASK_QUEUES; then it is declared as one.",
            id=f"{TAG}.W010",
        )
    if "quorum" in kinds.values() and not conf.worker_detect_quorum_queues:
        yield Error(
            "CELERY_WORKER_DETECT_QUORUM_QUEUES is off: RabbitMQ refuses every worker's consumer.",
            hint="Remove it; it is on then.",
            id=f"{TAG}.E010",
        )


def _kind_of(name: str) -> str:
    arguments = current_app.amqp.queues[name].queue_arguments or {}
    return str(arguments.get("x-queue-type", "classic"))
