"""`manage.py check`: every setting that cannot work or breaks a promise, and what to type instead.

| id                 | it means |
|--------------------|----------|
| notifications.E001 | a key of NOTIFICATIONS is unknown, missing or unusable |
| notifications.E002 | a provider's BACKEND cannot be imported |
| notifications.E003 | a provider's BACKEND is not a subclass of Provider |
| notifications.E004 | a provider cannot work with its OPTIONS |
| notifications.E005 | a channel uses a provider that cannot carry it |
| notifications.E006 | the BACKEND of GATES, or its OPTIONS, cannot be used |
| notifications.E007 | Celery accepts pickle: whoever reaches the broker could run code |
| notifications.E008 | PostgreSQL confirms commits before they are on disk |
| notifications.E009 | a frozen broker would be waited for without end |
| notifications.E010 | Celery would ask of quorum queues what RabbitMQ refuses |
| notifications.E011 | webhooks may be sent to this machine itself, and DEBUG is off |
| notifications.E012 | an entry of MAILERS with our backend cannot be used |
| notifications.E013 | workers cannot serve metrics as WORKER_METRICS_PORT says |
| notifications.W001 | SQLite is not in WAL mode |
| notifications.W002 | SQLite's transactions do not begin IMMEDIATE |
| notifications.W003 | Celery runs tasks where they are published instead of in a worker |
| notifications.W004 | a lost connection to the broker ends deliveries in the middle |
| notifications.W005 | publishing takes long to notice that the broker is away |
| notifications.W006 | the first worker takes all messages there are |
| notifications.W007 | messages are published to RabbitMQ without confirms |
| notifications.W008 | a worker ends when the broker is away |
| notifications.W009 | Redis gives out messages again that are still worked on |
| notifications.W010 | a queue of ours on RabbitMQ is no quorum queue |
| notifications.W011 | the consumer of the workers is not ours |
| notifications.W012 | Django's e-mails are for a tenant that there is not |
| notifications.E020 | django-notifications-hq is installed in the same place |
| notifications.E021 | the RECIPIENT of a channel cannot be used |
| notifications.W020 | the notifications are outside of the project's own transactions |
| notifications.W021 | what was just written may be read from elsewhere |
| notifications.W022 | each process of a worker has a pool of connections |
| notifications.W023 | connections that broke meanwhile are not noticed |
| notifications.W024 | the Celery app of the project does not carry notifications |
| notifications.W025 | urgent messages wait behind bulk in the hands of a worker |
| notifications.W026 | annotations of Celery overrule our tasks |
| notifications.I001 | with `check --deploy`: a channel goes to the simulated provider |

The ids stay what they are: projects name them in SILENCED_SYSTEM_CHECKS.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.utils.module_loading import import_string

from . import gates
from .check_list import TAG
from .conf import ProviderSettings, Settings, lenient_settings, parse
from .mail import EmailBackend
from .models import Tenant
from .pipeline import database
from .providers.base import Provider

DURABLE = "Remove it; every other level than `off` keeps what was answered with 202."


def check_settings(**_: Any) -> list[CheckMessage]:
    """The dict NOTIFICATIONS, and what its providers say of their own options."""
    settings, problems = parse(getattr(django_settings, "NOTIFICATIONS", {}))
    found: list[CheckMessage] = [
        Error(f"NOTIFICATIONS{p.path} {p.message}", hint=p.hint, id=f"{TAG}.E001") for p in problems
    ]
    found += _check_loopback(settings)
    return [*found, *_check_providers(settings), *_check_gates(settings)]


def check_database_settings(**_: Any) -> list[CheckMessage]:
    """How the database of the notifications is configured, without connecting to it."""
    connection = connections[database.alias()]
    options = connection.settings_dict["OPTIONS"]
    if connection.vendor == "sqlite":
        return list(_check_sqlite(connection.settings_dict["NAME"], options))
    if re.search(r"synchronous_commit\s*=\s*off", str(options.get("options", "")), re.IGNORECASE):
        return [_not_durable("OPTIONS sets it")]
    return []


def check_durability(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """What PostgreSQL itself says; asked by `migrate` and by `check --database`."""
    alias = database.alias()
    if alias not in (databases or ()) or connections[alias].vendor != "postgresql":
        return []
    with connections[alias].cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        [level] = cursor.fetchone()
    return [_not_durable("the server, the database or the role sets it")] if level == "off" else []


def check_mailers(**_: Any) -> list[CheckMessage]:
    """The entries of Django's MAILERS that lead to us: they are made only when they are used."""
    found: list[CheckMessage] = []
    for alias, options in _our_mailers().items():
        try:
            EmailBackend(alias=alias, **options)
        except (ImproperlyConfigured, TypeError) as error:
            hint = "Its OPTIONS may be `tenant` and `priority`."
            problem = f'MAILERS["{alias}"] cannot be used: {error}'
            found.append(Error(problem, hint=hint, id=f"{TAG}.E012"))
    return found


def check_mail_tenants(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Whether there are the tenants that e-mails of Django's are accepted for."""
    alias, settings = database.alias(), lenient_settings()
    named = [settings.mail.tenant, *(o.get("tenant") for o in _our_mailers().values())]
    missing = {str(name) for name in named if name} - {settings.default_tenant}
    if alias not in (databases or ()) or not missing or not _is_migrated(alias):
        return []
    known = set(Tenant.objects.using(alias).filter(name__in=missing).values_list("name", flat=True))
    return [
        Warning(
            f'There is no tenant "{name}": e-mails of Django\'s that are for it are refused.',
            hint=f"Create it: manage.py create_api_key {name}, or in the admin.",
            id=f"{TAG}.W012",
        )
        for name in sorted(missing - known)
    ]


def _our_mailers() -> dict[str, dict[str, Any]]:
    """The options of those entries of MAILERS that are of our backend, by their alias."""
    mailers = getattr(django_settings, "MAILERS", {})
    ours = {a: m for a, m in mailers.items() if _import(m.get("BACKEND", "")) is EmailBackend}
    return {alias: dict(mailer.get("OPTIONS", {})) for alias, mailer in ours.items()}


def _is_migrated(alias: str) -> bool:
    with connections[alias].cursor() as cursor:
        return Tenant._meta.db_table in connections[alias].introspection.table_names(cursor)


def _check_providers(settings: Settings) -> Iterator[CheckMessage]:
    for name, provider in settings.providers.items():
        backend = _import(provider.backend)
        if isinstance(backend, ImportError):
            yield _unusable(name, f'"{provider.backend}" cannot be imported: {backend}', "E002")
        elif not (isinstance(backend, type) and issubclass(backend, Provider)):
            yield _unusable(name, f'"{provider.backend}" is no subclass of Provider', "E003")
        else:
            yield from _check_provider(name, provider, backend, settings)


def _check_provider(
    name: str, provider: ProviderSettings, backend: type[Provider], settings: Settings
) -> Iterator[CheckMessage]:
    for problem in backend.problems(provider.options):
        yield Error(
            f'NOTIFICATIONS["PROVIDERS"]["{name}"]["OPTIONS"] is unusable: {problem}',
            hint=f"See the docstring of {provider.backend}.",
            id=f"{TAG}.E004",
        )
    for channel, values in settings.channels.items():
        if name in values.providers and channel not in backend.channels:
            carried = ", ".join(sorted(c.value for c in backend.channels))
            yield Error(
                f'NOTIFICATIONS["CHANNELS"]["{channel.value}"]["PROVIDERS"] names "{name}", '
                f"which carries only: {carried}.",
                hint=f'Name a provider there whose backend carries "{channel.value}".',
                id=f"{TAG}.E005",
            )


def _check_loopback(settings: Settings) -> Iterator[CheckMessage]:
    if settings.webhook_loopback and not django_settings.DEBUG:
        yield Error(
            'NOTIFICATIONS["WEBHOOK_LOOPBACK"] is on and DEBUG is off: '
            "tenants could reach what this machine serves to itself alone.",
            hint="Leave it out; it is for development.",
            id=f"{TAG}.E011",
        )


def _check_gates(settings: Settings) -> Iterator[CheckMessage]:
    for problem in gates.problems(settings.gates):
        yield Error(
            f'NOTIFICATIONS["GATES"] is unusable: {problem}',
            hint='Write {"BACKEND": "notifications.gates.database"}, or leave GATES out.',
            id=f"{TAG}.E006",
        )


def _check_sqlite(name: Any, options: Mapping[str, Any]) -> Iterable[CheckMessage]:
    command = str(options.get("init_command", ""))
    in_memory = "memory" in str(name)
    if not in_memory and not re.search(r"journal_mode\s*=\s*wal", command, re.IGNORECASE):
        yield Warning(
            "SQLite is not in WAL mode: readers and writers lock each other out.",
            hint='Add to OPTIONS: "init_command": "PRAGMA journal_mode=WAL;".',
            id=f"{TAG}.W001",
        )
    if str(options.get("transaction_mode", "")).upper() not in ("IMMEDIATE", "EXCLUSIVE"):
        yield Warning(
            'SQLite\'s transactions begin DEFERRED: under load they end in "database is locked".',
            hint='Add to OPTIONS: "transaction_mode": "IMMEDIATE", "timeout": 20.',
            id=f"{TAG}.W002",
        )


def _not_durable(where: str) -> CheckMessage:
    return Error(
        f"PostgreSQL's synchronous_commit is off ({where}): a crash loses what was accepted.",
        hint=DURABLE,
        id=f"{TAG}.E008",
    )


def _unusable(name: str, what: str, number: str) -> CheckMessage:
    return Error(
        f'NOTIFICATIONS["PROVIDERS"]["{name}"]["BACKEND"]: {what}.',
        hint="Name a class by its full path, such as "
        '"notifications.providers.simulated.SimulatedProvider".',
        id=f"{TAG}.{number}",
    )


def _import(path: str) -> Any:
    """What `path` names, or the ImportError that says why it names nothing."""
    try:
        return import_string(path)
    except ImportError as error:
        return error
