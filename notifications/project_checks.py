"""What `manage.py check` says of the project around us; the table of ids is in `checks.py`."""

from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

from celery import current_app
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Info, Warning
from django.db import DEFAULT_DB_ALIAS, connections, router
from django.utils.module_loading import import_string

from .check_list import TAG
from .conf import SIMULATED, lenient_settings
from .enums import Channel
from .models import Notification
from .worker.configure import is_set_up

NAMESAKE = "django-notifications-hq"
"""It installs a package `notifications` too, into the same directory."""


def check_project(**_: Any) -> list[CheckMessage]:
    """What else the project has installed and set, as far as it can break a promise."""
    return [
        *_check_namesake(),
        *_check_recipients(),
        *_check_routers(),
        *_check_connections(),
        *_check_celery_app(),
        *_check_annotations(current_app.conf.task_annotations),
    ]


def check_deployment(**_: Any) -> list[CheckMessage]:
    """What is fine for trying out, and nothing for production."""
    return list(_check_simulated())


def _check_namesake() -> Iterator[CheckMessage]:
    try:
        metadata.distribution(NAMESAKE)
    except metadata.PackageNotFoundError:
        return
    yield Error(
        f"{NAMESAKE} is installed too: both are a package and an app called `notifications`, and "
        "have overwritten files of each other.",
        hint=f"pip uninstall {NAMESAKE}, then pip install --force-reinstall --no-deps "
        "django-notifications-engine.",
        id=f"{TAG}.E020",
    )


def _check_recipients() -> Iterator[CheckMessage]:
    for channel, values in lenient_settings().channels.items():
        problem = _why_not_callable(values.recipient) if values.recipient else ""
        if problem:
            yield Error(
                f'NOTIFICATIONS["CHANNELS"]["{channel.value}"]["RECIPIENT"]: {problem}.',
                hint="Name a function by its full path, such as "
                '"shop.people.phone_of": it takes a user and returns an address or None.',
                id=f"{TAG}.E021",
            )


def _why_not_callable(path: str) -> str:
    try:
        return "" if callable(import_string(path)) else f'"{path}" is no function'
    except ImportError as error:
        return f'"{path}" cannot be imported: {error}'


def _check_routers() -> Iterator[CheckMessage]:
    writes, reads = router.db_for_write(Notification), router.db_for_read(Notification)
    if writes != DEFAULT_DB_ALIAS:
        yield Warning(
            f'DATABASE_ROUTERS keep the notifications in "{writes}": what your transactions on '
            f'"{DEFAULT_DB_ALIAS}" roll back is sent all the same.',
            hint=f'Call notify() inside transaction.atomic(using="{writes}"), and add '
            f'"{TAG}.W020" to SILENCED_SYSTEM_CHECKS; or keep them in "{DEFAULT_DB_ALIAS}".',
            id=f"{TAG}.W020",
        )
    if reads != writes:
        yield Warning(
            f'DATABASE_ROUTERS read the notifications from "{reads}" and write them to "{writes}": '
            "what was just accepted may not be found.",
            hint='Return one alias from db_for_read and db_for_write for the app "notifications".',
            id=f"{TAG}.W021",
        )


def _check_connections() -> Iterator[CheckMessage]:
    connection: Any = connections[router.db_for_write(Notification)]
    if connection.vendor != "postgresql":
        return
    values: Mapping[str, Any] = connection.settings_dict
    if values["OPTIONS"].get("pool") and current_app.conf.worker_pool == "prefork":
        yield Warning(
            'DATABASES has a "pool", and CELERY_WORKER_POOL is "prefork": each process has a pool '
            "for itself, which holds connections that nobody else can use, and is slower.",
            hint='Remove "pool" for workers and set CONN_MAX_AGE = 600, or set '
            'CELERY_WORKER_POOL = "threads".',
            id=f"{TAG}.W022",
        )
    if values["CONN_MAX_AGE"] != 0 and not values["CONN_HEALTH_CHECKS"]:
        yield Warning(
            "CONN_HEALTH_CHECKS is off and CONN_MAX_AGE keeps connections: after a restart of the "
            "database each process fails once for every connection it had.",
            hint='Add to DATABASES: "CONN_HEALTH_CHECKS": True.',
            id=f"{TAG}.W023",
        )


def _check_celery_app() -> Iterator[CheckMessage]:
    if not is_set_up(current_app):
        yield Warning(
            "The project's Celery app does not carry notifications: what is accepted waits, and "
            "nothing is delivered.",
            hint="Call notifications.worker.setup(app) where the app is made, and import that "
            "module in the __init__.py of the project.",
            id=f"{TAG}.W024",
        )
    elif current_app.conf.worker_prefetch_multiplier > 1:
        yield Warning(
            "CELERY_WORKER_PREFETCH_MULTIPLIER is over 1: what is urgent waits behind the bulk "
            "that a worker has taken in advance.",
            hint="Remove it; it is 1 then.",
            id=f"{TAG}.W025",
        )


def _check_annotations(annotations: Any) -> Iterator[CheckMessage]:
    """CELERY_TASK_ANNOTATIONS, which overrule what tasks say of themselves."""
    names = {channel.task for channel in Channel} | {"*"}
    for each in annotations if isinstance(annotations, list | tuple) else [annotations]:
        for name in sorted(names & set(each or ()) if isinstance(each, Mapping) else ()):
            yield Warning(
                f'CELERY_TASK_ANNOTATIONS["{name}"] overrules what our tasks set for themselves: '
                "rate limits, late acknowledgement, retries, time limits.",
                hint="Name your own tasks there; for a rate use WORKER_RATE_LIMIT of the channel.",
                id=f"{TAG}.W026",
            )


def _check_simulated() -> Iterator[CheckMessage]:
    settings = lenient_settings()
    for channel, values in settings.channels.items():
        backends = {
            settings.providers[n].backend for n in values.providers if n in settings.providers
        }
        if SIMULATED in backends and not django_settings.DEBUG:
            yield Info(
                f'The channel "{channel.value}" goes to the simulated provider: nothing is sent, '
                "and it is shown as delivered.",
                hint=f'Set NOTIFICATIONS["CHANNELS"]["{channel.value}"]["PROVIDERS"], if you '
                "use this channel.",
                id=f"{TAG}.I001",
            )
