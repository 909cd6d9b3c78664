"""What a Celery app needs to carry notifications, added to what it has."""

import logging
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from celery import Celery
from celery.apps.worker import Worker
from celery.signals import task_postrun, task_prerun, worker_init
from django.conf import settings
from django.core.checks import run_checks
from django.db import close_old_connections
from django.utils.module_loading import import_string
from kombu import Exchange, Queue

from ..enums import Channel, Priority
from ..pipeline.publish import OPERATIONS_QUEUE, queue_name
from ..schemes import IN_PROCESS, scheme_of
from .ticks import Ticks

logger = logging.getLogger(__name__)

SERVE_METRICS = "notifications.observability.exporter.start"
WORK = (
    "notifications.pipeline.tick",
    "notifications.pipeline.watch",
    "notifications.pipeline.deliver",
    "notifications.pipeline.prune",
    "notifications.observability.logs",
    "notifications.observability.minutes",
)
"""Named, not imported: this module is loaded before Django has its models."""

OPERATIONS = ("dispatch", "rescue", "prune", "job")

REDIS = ("redis", "rediss", "redis+socket")
AMQP = ("amqp", "amqps", "pyamqp")

TASKS_PER_CONNECTION = 1000


def setup(app: Celery) -> None:
    """Make `app` a complete worker: queues, routes, a rate limit that holds, ticks, safe defaults.

    What the project has set itself stays as it is. Call it once, where the app is made.
    """
    app.set_default()
    app.steps["consumer"].add(Ticks)
    app.on_after_configure.connect(_complete, weak=False)
    if _is_configured(app):
        _complete(app)
    worker_init.connect(_check_settings)
    worker_init.connect(_load_work)
    worker_init.connect(_serve_metrics)
    task_prerun.connect(_refresh_connections)
    task_postrun.connect(_refresh_connections)


def is_set_up(app: Celery) -> bool:
    """Whether `setup` has been called for `app`."""
    return Ticks in app.steps["consumer"]


def _is_configured(app: Any) -> bool:
    return bool(app.configured)


def defaults(broker_url: str | Sequence[str] | None) -> dict[str, Any]:
    """Celery settings for a broker, below the project's own."""
    in_process = scheme_of(broker_url) in IN_PROCESS
    return {**COMMON, **(WITHOUT_BROKER if in_process else {})}


COMMON: Mapping[str, Any] = {
    "worker_consumer": "notifications.worker.consumer:Consumer",
    # One message in hand for each slot of the pool: urgent work never waits behind prefetched bulk.
    "worker_prefetch_multiplier": 1,
    "task_serializer": "json",
    "accept_content": ["json"],
    # Quick to fail, as publishing never decides anything: the row is found by the next tick.
    # `task_publish_retry` must stay on; without it Celery takes 6 s to notice a dead broker.
    "task_publish_retry_policy": {
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0.1,
        "interval_max": 0.1,
    },
    "broker_connection_timeout": 2,
    "broker_connection_retry_on_startup": True,
    # RabbitMQ ends a channel for many a reason that passes; without it the worker would end too.
    "broker_channel_error_retry": True,
    # Celery gives up after a hundred tries, which is less than an hour.
    "broker_connection_max_retries": None,
    # For AMQP: a connection on which nothing has come for twice as long is given up by both ends.
    "broker_heartbeat": 15,
    # Cancelling what a provider may already have would send it twice.
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
    # Django's connections outlive a task; `_refresh_connections` looks after them.
    "CELERY_DB_REUSE_MAX": TASKS_PER_CONNECTION,
}

WITHOUT_BROKER: Mapping[str, Any] = {
    # The broker is in this process, so the pool has to be too.
    "worker_pool": "threads",
    "worker_timer": "notifications.worker.timer:Timer",
}


def _transport_options(scheme: str) -> dict[str, Any]:
    if scheme in REDIS:
        return {
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "visibility_timeout": 3600,
            "queue_order_strategy": "priority",
        }
    if scheme in AMQP:
        # Without them a frozen broker is waited for without end: with no answer to a declaration
        # there is no exception either, and `confirm_timeout` is about publishing alone.
        return {"confirm_publish": True, "read_timeout": 3, "write_timeout": 3}
    return {}


def _complete(sender: Celery, **_: Any) -> None:
    """Add to what the project has set: our settings, options of the broker, queues, routes."""
    app = sender
    conf: Any = app.conf
    scheme = scheme_of(conf.broker_url)
    # Just before Celery's own. `add_defaults` would put it before what the project has in a module.
    conf.maps.insert(-1, defaults(conf.broker_url))
    conf.broker_transport_options = {
        **_transport_options(scheme),
        **(conf.broker_transport_options or {}),
    }
    _add_queues(app, scheme)


def _add_queues(app: Celery, scheme: str) -> None:
    present = app.amqp.Queues(app.conf.task_queues)
    missing = [queue for queue in queues(scheme) if queue.name not in present]
    if missing:
        app.conf.task_queues = [*present.values(), *missing]
    if OPERATIONS_ROUTES not in (routes := _as_list(app.conf.task_routes)):
        app.conf.task_routes = [*routes, OPERATIONS_ROUTES]


OPERATIONS_ROUTES = {f"notifications.{name}": {"queue": OPERATIONS_QUEUE} for name in OPERATIONS}


QUORUM: Mapping[str, Any] = {
    "x-queue-type": "quorum",
    # RabbitMQ 4 has this limit by itself, 3 has none: a message that ends every worker it meets
    # must not go round for ever. Its rows are found without it.
    "x-delivery-limit": 20,
}


def queues(scheme: str) -> list[Queue]:
    """All queues of notifications, the most urgent first: brokers that keep an order serve it."""
    names = [queue_name(channel, priority) for priority in Priority for channel in Channel]
    exchange, arguments = _kind(scheme)
    return [
        Queue(name, exchange, routing_key=name, queue_arguments=arguments)
        for name in [OPERATIONS_QUEUE, *names]
    ]


def _kind(scheme: str) -> tuple[Exchange, Mapping[str, Any] | None]:
    if scheme in AMQP:
        # Celery's delayed delivery on RabbitMQ goes through no direct exchange.
        return Exchange("notifications.topic", type="topic"), QUORUM
    return Exchange("notifications", type="direct"), None


def _check_settings(**_: Any) -> None:
    """At the start of `celery worker`; Celery itself runs Django's checks and tells nobody.

    With an error the process ends, saying all there are; warnings are logged.
    """
    found = [message for message in run_checks(tags=["notifications"]) if not message.is_silenced()]
    errors = [message for message in found if message.is_serious()]
    if errors:
        # Celery swallows every other exception of a receiver.
        raise SystemExit("\n".join(map(str, errors)))
    for message in found:
        logger.warning("%s", message)


def _load_work(**_: Any) -> None:
    """What the tasks do is loaded once, before there is a pool whose children share it."""
    for name in WORK:
        import_module(name)


def _serve_metrics(sender: Any = None, **_: Any) -> None:
    """Before there is a pool; the embedded worker is told of by the web server it lives in."""
    port = getattr(settings, "WORKER_METRICS_PORT", None)
    if port and isinstance(sender, Worker):
        import_string(SERVE_METRICS)(port)


def _as_list(routes: Any) -> list[Any]:
    if routes is None:
        return []
    return list(routes) if isinstance(routes, list | tuple) else [routes]


def _refresh_connections(sender: Any = None, **_: Any) -> None:
    """Between two tasks, as Django does between two requests: close what is too old or broken."""
    if not getattr(sender.request, "is_eager", False):
        close_old_connections()
