"""The one dict `settings.NOTIFICATIONS`, read in one place into frozen values.

`parse` never raises: it returns what it understood with every problem it met, each with what
to type instead. `manage.py check` shows the problems; `get_settings` refuses to work with them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from .enums import Channel, OnUnknown, Priority

T = TypeVar("T")

SIMULATED = "notifications.providers.simulated.SimulatedProvider"
SECONDS_PER = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Problem:
    """One unusable setting: where it is, what is wrong, what to type instead."""

    path: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Rate:
    """So many units in so many seconds, as in `50/s` or `5000/d`."""

    units: int
    seconds: int

    @property
    def per_second(self) -> float:
        return self.units / self.seconds

    @property
    def burst(self) -> int:
        """Units that may go at once after a rest: one second's worth, for days a day's."""
        return max(1, self.units if self.seconds >= 86400 else round(self.per_second))

    def __str__(self) -> str:
        unit = next(u for u, s in SECONDS_PER.items() if s == self.seconds)
        return f"{self.units}/{unit}"


def parse_rates(text: str) -> tuple[Rate, ...]:
    """The rates in `100/s` or `100/s, 5000/d`; raises ValueError when it is no such text."""
    return tuple(_parse_rate(part.strip()) for part in text.split(",") if part.strip())


def _parse_rate(text: str) -> Rate:
    count, slash, unit = text.partition("/")
    if not (slash and count.isascii() and count.isdigit() and int(count) and unit in SECONDS_PER):
        raise ValueError(
            f"{text!r} is not a rate; write a number and a unit, such as 50/s or 5000/d"
        )
    return Rate(int(count), SECONDS_PER[unit])


NO_RATES: tuple[Rate, ...] = ()


@dataclass(frozen=True, slots=True)
class Retry:
    """When a channel tries again: `backoff * 2**n` seconds, at most `backoff_max`.

    With a `schedule` it says after how many seconds each next attempt comes.
    """

    max_attempts: int = 8
    backoff: float = 2.0
    backoff_max: float = 600.0
    jitter: bool = True
    schedule: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """`providers` in the order of preference; with `weights` each goes first for its share."""

    providers: tuple[str, ...] = ("simulated",)
    weights: Mapping[str, int] = field(default_factory=dict, metadata={"key": "PROVIDERS"})
    rate_limit: tuple[Rate, ...] = ()
    worker_rate_limit: str | None = None
    retry: Retry = Retry()
    on_unknown: OnUnknown = OnUnknown.PARK
    recipient: str | None = None


@dataclass(frozen=True, slots=True)
class CircuitSettings:
    """When a provider is no longer asked: so large a part of at least so many calls failed."""

    failure_ratio: float = 0.5
    min_calls: int = 10
    window: float = 60.0
    open_for: float = 30.0


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    backend: str
    options: Mapping[str, Any] = field(default_factory=dict)
    rate_limit: tuple[Rate, ...] = ()
    timeout: float = 10.0
    concurrency: int | None = None
    circuit: CircuitSettings | None = None


@dataclass(frozen=True, slots=True)
class GateSettings:
    backend: str = "notifications.gates.database"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MailSettings:
    """E-mails of Django's mail API: for which tenant, and how urgent, where they do not say.

    No e-mail may be larger than `max_bytes`, attachments given to `notify` included.
    """

    tenant: str | None = None
    priority: Priority = Priority.NORMAL
    max_bytes: int = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the package can be told; times are in seconds."""

    channels: Mapping[Channel, ChannelSettings]
    providers: Mapping[str, ProviderSettings]
    gates: GateSettings = GateSettings()
    mail: MailSettings = MailSettings()
    tenant_rate_limit: tuple[Rate, ...] = ()
    tenant_daily_limit: int | None = None
    api_rate_limit: tuple[Rate, ...] = ()
    default_tenant: str = "default"
    lease_seconds: float = 60.0
    batch_size: int = 100
    relay_milliseconds: float = 50.0
    dispatch_seconds: float = 1.0
    hint_seconds: float = 30.0
    max_abandons: int = 5
    retention_days: int = 90
    webhook_loopback: bool = False
    public_url: str = ""
    tracing: bool = False

    def channel(self, channel: str) -> ChannelSettings:
        return self.channels[Channel(channel)]


@cache
def get_settings() -> Settings:
    """The parsed settings; raises ImproperlyConfigured when there is any problem."""
    parsed, problems = parse(getattr(django_settings, "NOTIFICATIONS", {}))
    if problems:
        first = problems[0]
        raise ImproperlyConfigured(
            f"NOTIFICATIONS{first.path}: {first.message} {first.hint} "
            f"({len(problems)} in all; see `manage.py check`)"
        )
    return parsed


def lenient_settings() -> Settings:
    """The settings as far as they are usable, for what must be built before they are checked."""
    return parse(getattr(django_settings, "NOTIFICATIONS", {}))[0]


def forget_settings(*, setting: str = "NOTIFICATIONS", **_: Any) -> None:
    """Read the settings anew next time; connected to Django's `setting_changed`."""
    if setting == "NOTIFICATIONS":
        get_settings.cache_clear()


setting_changed.connect(forget_settings)


def parse(raw: Any) -> tuple[Settings, list[Problem]]:
    """The settings in `raw`, with every problem found; what is unusable is left at its default."""
    reader = _Reader("", raw)
    providers = _providers(reader)
    settings = Settings(
        providers=providers,
        channels=_channels(reader, providers),
        gates=_gates(reader),
        mail=_mail(reader.below("MAIL")),
        tenant_rate_limit=reader.take("TENANT_RATE_LIMIT", NO_RATES, _rates),
        tenant_daily_limit=reader.take("TENANT_DAILY_LIMIT", None, _optional(_positive_int)),
        api_rate_limit=reader.take("API_RATE_LIMIT", NO_RATES, _rates),
        default_tenant=reader.take("DEFAULT_TENANT", "default", _text),
        lease_seconds=reader.take("LEASE_SECONDS", 60.0, _positive),
        batch_size=reader.take("BATCH_SIZE", 100, _positive_int),
        relay_milliseconds=reader.take("RELAY_MILLISECONDS", 50.0, _positive),
        dispatch_seconds=reader.take("DISPATCH_SECONDS", 1.0, _positive),
        hint_seconds=reader.take("HINT_SECONDS", 30.0, _positive),
        max_abandons=reader.take("MAX_ABANDONS", 5, _positive_int),
        retention_days=reader.take("RETENTION_DAYS", 90, _positive_int),
        webhook_loopback=reader.take("WEBHOOK_LOOPBACK", False, _bool),
        public_url=reader.take("PUBLIC_URL", "", _public_url),
        tracing=reader.take("TRACING", False, _bool),
    )
    reader.finish()
    _check_leases(settings, reader.problems)
    return settings, reader.problems


def known_keys() -> list[str]:
    """The top-level keys, for documentation and for tests."""
    return sorted(f.name.upper() for f in fields(Settings))


class _Reader:
    """Takes known keys out of a mapping; what is left over at the end is a problem."""

    def __init__(self, path: str, raw: Any, problems: list[Problem] | None = None) -> None:
        self.path, self.problems = path, problems if problems is not None else []
        self.known: list[str] = []
        self.raw: dict[Any, Any] = {}
        if isinstance(raw, Mapping):
            self.raw = dict(raw)
        else:
            self.problem("", f"must be a dict, not {type(raw).__name__}.", "Write {...}.")

    def problem(self, key: str, message: str, hint: str) -> None:
        path = f'{self.path}["{key}"]' if key else self.path
        self.problems.append(Problem(path, message, hint))

    def take(self, key: str, default: T, convert: Callable[[Any], T]) -> T:
        self.known.append(key)
        if key not in self.raw:
            return default
        try:
            return convert(self.raw.pop(key))
        except ValueError as error:
            self.problem(key, f"is unusable: {error}.", f"The default is {_shown(default)}.")
            return default

    def below(self, key: str) -> "_Reader":
        self.known.append(key)
        return _Reader(f'{self.path}["{key}"]', self.raw.pop(key, {}), self.problems)

    def finish(self) -> None:
        for key in self.raw:
            self.problem(str(key), "is not a known key.", f"Known are: {', '.join(self.known)}.")


def _shown(default: Any) -> str:
    """As it is typed in the settings."""
    if default in (NO_RATES, None):
        return "to leave it out"
    return repr(str(default) if isinstance(default, StrEnum) else default)


def _on_unknown(value: Any) -> OnUnknown:
    if value not in set(OnUnknown):
        raise ValueError(f"it must be {' or '.join(map(repr, map(str, OnUnknown)))}")
    return OnUnknown(value)


def _providers(reader: _Reader) -> dict[str, ProviderSettings]:
    below = reader.below("PROVIDERS")
    found = {str(name): _provider(below.below(str(name))) for name in list(below.raw)}
    found.setdefault("simulated", ProviderSettings(SIMULATED))
    return found


def _provider(reader: _Reader) -> ProviderSettings:
    if "BACKEND" not in reader.raw:
        reader.problem("BACKEND", "is missing.", f'Name a class, such as "{SIMULATED}".')
    values = ProviderSettings(
        backend=reader.take("BACKEND", SIMULATED, _text),
        options=reader.take("OPTIONS", {}, _mapping),
        rate_limit=reader.take("RATE_LIMIT", NO_RATES, _rates),
        timeout=reader.take("TIMEOUT", 10.0, _positive),
        concurrency=reader.take("CONCURRENCY", None, _optional(_positive_int)),
        circuit=_circuit(reader),
    )
    reader.finish()
    return values


def _circuit(above: _Reader) -> CircuitSettings | None:
    """Only where it is asked for: an empty dict asks for the defaults."""
    if above.raw.get("CIRCUIT") is None:
        above.take("CIRCUIT", None, _none)
        return None
    reader, default = above.below("CIRCUIT"), CircuitSettings()
    values = CircuitSettings(
        failure_ratio=reader.take("FAILURE_RATIO", default.failure_ratio, _ratio),
        min_calls=reader.take("MIN_CALLS", default.min_calls, _positive_int),
        window=reader.take("WINDOW", default.window, _positive),
        open_for=reader.take("OPEN_FOR", default.open_for, _positive),
    )
    reader.finish()
    return values


def _channels(
    reader: _Reader, providers: Mapping[str, ProviderSettings]
) -> dict[Channel, ChannelSettings]:
    below = reader.below("CHANNELS")
    found = {channel: _channel(below.below(channel.value), channel) for channel in Channel}
    below.finish()
    for channel, values in found.items():
        for name in values.providers:
            if name not in providers:
                reader.problem(
                    "CHANNELS",
                    f'names the provider "{name}" for {channel.value}, which is not defined.',
                    f"Define it under PROVIDERS, or use one of: {', '.join(sorted(providers))}.",
                )
    return found


def _channel(reader: _Reader, channel: Channel) -> ChannelSettings:
    # A webhook's receiver drops what it has seen (by the id), so trying again is safe there.
    on_unknown = OnUnknown.RETRY if channel is Channel.WEBHOOK else OnUnknown.PARK
    values = ChannelSettings(
        weights=_weights(reader.raw.get("PROVIDERS")),
        providers=reader.take("PROVIDERS", ("simulated",), _names),
        rate_limit=reader.take("RATE_LIMIT", NO_RATES, _rates),
        worker_rate_limit=reader.take("WORKER_RATE_LIMIT", None, _optional(_celery_rate)),
        retry=_retry(reader.below("RETRY")),
        on_unknown=reader.take("ON_UNKNOWN", on_unknown, _on_unknown),
        recipient=reader.take("RECIPIENT", None, _optional(_text)),
    )
    reader.finish()
    return values


def _retry(reader: _Reader) -> Retry:
    default = Retry()
    schedule = reader.take("SCHEDULE", default.schedule, _seconds)
    most = len(schedule) + 1 if schedule else default.max_attempts
    values = Retry(
        schedule=schedule,
        max_attempts=reader.take("MAX_ATTEMPTS", most, _positive_int),
        backoff=reader.take("BACKOFF", default.backoff, _positive),
        backoff_max=reader.take("BACKOFF_MAX", default.backoff_max, _positive),
        jitter=reader.take("JITTER", default.jitter, _bool),
    )
    reader.finish()
    return values


def _gates(reader: _Reader) -> GateSettings:
    below = reader.below("GATES")
    values = GateSettings(
        backend=below.take("BACKEND", GateSettings().backend, _text),
        options=below.take("OPTIONS", {}, _mapping),
    )
    below.finish()
    return values


def _mail(reader: _Reader) -> MailSettings:
    default = MailSettings()
    values = MailSettings(
        tenant=reader.take("TENANT", default.tenant, _optional(_text)),
        priority=reader.take("PRIORITY", default.priority, _priority),
        max_bytes=reader.take("MAX_BYTES", default.max_bytes, _positive_int),
    )
    reader.finish()
    return values


def _check_leases(settings: Settings, problems: list[Problem]) -> None:
    used = {name for channel in settings.channels.values() for name in channel.providers}
    for name in sorted(used & set(settings.providers)):
        provider = settings.providers[name]
        least = provider.timeout + LEASE_MARGIN_SECONDS
        if settings.lease_seconds <= least:
            problems.append(
                Problem(
                    '["LEASE_SECONDS"]',
                    f'is {settings.lease_seconds:g}, too short for the provider "{name}", '
                    f"which may take {provider.timeout:g} s.",
                    f"Set it above {least:g}, better to three times the provider's TIMEOUT.",
                )
            )


LEASE_MARGIN_SECONDS = 2.0
"""How much of a lease must remain beyond the provider's timeout before a byte may leave."""


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("it must be a non-empty string")
    return value


def _public_url(value: Any) -> str:
    """Without a slash at its end; empty where there is none."""
    try:
        parts = urlsplit(value if isinstance(value, str) else "?")
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # such as a port that is no number
        usable = False
    if value and (not usable or parts.query or parts.fragment or parts.username):
        raise ValueError("write where this site is seen from outside: https://notify.example.com")
    return str(value or "").rstrip("/")


def _priority(value: Any) -> Priority:
    found = {priority.label: priority for priority in Priority}.get(value)
    if found is None:
        raise ValueError(f"it must be one of: {', '.join(Priority.labels)}")
    return found


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("it must be True or False")
    return value


def _positive(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError("it must be a number above 0")
    return float(value)


def _seconds(value: Any) -> tuple[float, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError("it must be a list of seconds, such as [5, 300, 1800]")
    return tuple(_positive(seconds) for seconds in value)


def _none(value: Any) -> None:
    return None


def _ratio(value: Any) -> float:
    if _positive(value) > 1:
        raise ValueError("it must be at most 1")
    return float(value)


def _positive_int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ValueError("it must be a whole number above 0")
    return value


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError("it must be a dict")
    return dict(value)


def _names(value: Any) -> tuple[str, ...]:
    usable = isinstance(value, list | tuple) or (isinstance(value, Mapping) and _weights(value))
    if not usable or not value or not all(isinstance(v, str) for v in value):
        raise ValueError(
            'it must be a non-empty list of names, or names with weights such as {"a": 3, "b": 1}'
        )
    if len(set(value)) < len(value):
        raise ValueError("it names a provider twice")
    return tuple(value)


def _weights(value: Any) -> dict[str, int]:
    """The weights in `value`; none where it is a list, or cannot be used."""
    weights = value if isinstance(value, Mapping) else {}
    usable = all(type(weight) is int and weight > 0 for weight in weights.values())
    return dict(weights) if usable else {}


def _rates(value: Any) -> tuple[Rate, ...]:
    return () if value is None else parse_rates(_text(value))


def _celery_rate(value: Any) -> str:
    count, slash, unit = _text(value).partition("/")
    if not (
        slash and count.isascii() and count.isdigit() and int(count) and unit in ("s", "m", "h")
    ):
        raise ValueError("Celery takes a rate such as 200/s, 1000/m or 5000/h")
    return str(value)


def _optional(convert: Callable[[Any], T]) -> Callable[[Any], T | None]:
    return lambda value: None if value is None else convert(value)
