"""What operators have said: pauses, limits and disabled tenants, read at most once a second."""

import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import CharField, Q, QuerySet, Value

from .. import prepared
from ..conf import Rate, get_settings, parse_rates
from ..enums import Scope
from ..messages import Limit
from ..models import Pause, RateLimit, TemplateVersion, Tenant
from . import database

FRESH_SECONDS = 1.0

Subject = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Policy:
    """A snapshot; subjects are (scope, name) such as ("tenant", "shop").

    `versions` are those of the templates that are paused, each with the template's subject.
    """

    pauses: Mapping[Subject, str]
    rates: Mapping[Subject, tuple[Rate, ...]]
    disabled: frozenset[str]
    versions: Mapping[int, str] = field(default_factory=dict)

    def pause_on(
        self, channel: str, provider: str, tenant: str, version: int | None = None
    ) -> str | None:
        """The scope that holds up this way, as `tenant:shop`; None when it is open.

        `version` is the id of the template's version that the message was made from.
        """
        if tenant in self.disabled:
            return f"{Scope.TENANT}:{tenant}"
        if not self.pauses:
            return None
        if version is not None and version in self.versions:
            return f"{Scope.TEMPLATE}:{self.versions[version]}"
        subjects = ((Scope.CHANNEL, channel), (Scope.PROVIDER, provider), (Scope.TENANT, tenant))
        return next((f"{s}:{n}" for s, n in subjects if (s, n) in self.pauses), None)

    def held_tenants(self) -> set[str]:
        """Tenants of which nothing may be sent now."""
        return {name for scope, name in self.pauses if scope == Scope.TENANT} | self.disabled

    def limits_on(self, channel: str, provider: str, tenant: str) -> tuple[Limit, ...]:
        """Every limit that one message on this way must be allowed by."""
        return (
            *self.limits_of(Scope.PROVIDER, provider),
            *self.limits_of(Scope.CHANNEL, channel),
            *self.limits_of(Scope.TENANT, tenant),
        )

    def limits_of(self, scope: Scope, name: str) -> tuple[Limit, ...]:
        rates = self.rates.get((scope, name))
        return tuple(
            Limit(f"{scope}:{name}:{rate}", rate.per_second, rate.burst)
            for rate in (_configured(scope, name) if rates is None else rates)
        )


def current() -> Policy:
    """The policy as it is, at most a second old."""
    return _cache.get()


def forget() -> None:
    """Read it anew next time; called where this process has changed it."""
    _cache.forget()


def _configured(scope: Scope, name: str) -> tuple[Rate, ...]:
    settings = get_settings()
    match scope:
        case Scope.CHANNEL:
            return settings.channel(name).rate_limit
        case Scope.PROVIDER:
            provider = settings.providers.get(name)
            return provider.rate_limit if provider else ()
        case Scope.TENANT:
            daily = settings.tenant_daily_limit
            return settings.tenant_rate_limit + ((Rate(daily, 86400),) if daily else ())
        case Scope.TEMPLATE:
            return ()


class _Cache:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._policy: Policy | None = None
        self._until = 0.0

    def get(self) -> Policy:
        with self._lock:
            if self._policy is None or time.monotonic() > self._until:
                self._policy = _read()
                self._until = time.monotonic() + FRESH_SECONDS
            return self._policy

    def forget(self) -> None:
        with self._lock:
            self._policy = None


def _read() -> Policy:
    pauses: dict[Subject, str] = {}
    rates: dict[Subject, tuple[Rate, ...]] = {}
    disabled: set[str] = set()
    for table, scope, name, said in prepared.select_all(database.alias(), "policy", _said):
        match table:
            case "pause":
                pauses[scope, name] = said
            case "limit":
                rates[scope, name] = parse_rates(said)
            case _:
                disabled.add(name)
    versions = _versions([name for scope, name in pauses if scope == Scope.TEMPLATE])
    return Policy(pauses, rates, frozenset(disabled), versions)


def _said() -> QuerySet[Any, Any]:
    """All of it by one statement, as every idle worker asks once for each message."""
    using = database.alias()
    pauses = Pause.objects.using(using).values_list(_text("pause"), "scope", "subject", "reason")
    limits = RateLimit.objects.using(using).values_list(_text("limit"), "scope", "subject", "rates")
    disabled = Tenant.objects.using(using).filter(is_active=False)
    tenants = disabled.values_list(_text("tenant"), _text(Scope.TENANT), "name", _text(""))
    return pauses.order_by().union(limits.order_by(), tenants.order_by(), all=True)


def _text(value: str) -> Value:
    return Value(value, CharField())


def _versions(subjects: Iterable[str]) -> Mapping[int, str]:
    """All versions of the templates named `tenant/name`; no query where there are none."""
    named = Q()
    for tenant, _, name in (subject.partition("/") for subject in subjects):
        named |= Q(template__tenant__name=tenant, template__name=name)
    if not named:
        return {}
    found = TemplateVersion.objects.filter(named)
    rows = found.values_list("pk", "template__tenant__name", "template__name")
    return {pk: f"{tenant}/{name}" for pk, tenant, name in rows}


_cache = _Cache()
