"""The Python API: notify from inside your own transaction."""

from collections.abc import Iterable, Mapping
from typing import Any

from .conf import get_settings
from .exceptions import NotificationError, TenantUnavailable
from .models import Notification, Preference, Tenant
from .pipeline import database
from .pipeline.accept import Accepted, accept_many, accept_one
from .pipeline.preferences import put
from .preference import parse_wish
from .validation import parse_notification


def notify(
    channel: str,
    *,
    to: str,
    from_: str | None = None,
    tenant: str | Tenant | None = None,
    **fields: Any,
) -> Notification:
    """Accept one notification; it is sent once the surrounding transaction has committed.

    `fields` are those of `POST /notify`: the channel's content, or `template` and `context` in its
    place, `priority`, `send_at` and
    `expires_at` (aware datetimes or RFC 3339), `idempotency_key`, `metadata`, `category`, `digest`.
    The same key returns the same notification. `from_` is the field `from`, which may name anybody
    here; the content of an attachment may be bytes. Raises InvalidNotification with every error at
    once,
    IdempotencyConflict when the key holds other content, TenantUnavailable.
    """
    if from_ is not None:
        fields["from"] = from_
    draft = parse_notification({"channel": channel, "to": to, **fields})
    return accept_one(tenant_of(tenant), draft).notification


def notify_many(
    items: Iterable[Mapping[str, Any]], *, tenant: str | Tenant | None = None
) -> list[Notification]:
    """Accept many, all or none, in a constant number of statements.

    Each item holds what `notify` takes. Raises the error of the first item that is refused;
    nothing is stored then.
    """
    drafts = [parse_notification(item) for item in items]
    with database.atomic():
        answers = accept_many(tenant_of(tenant), drafts)
        for answer in answers:
            if isinstance(answer, NotificationError):
                raise answer
    return [answer.notification for answer in answers if isinstance(answer, Accepted)]


def set_preference(
    channel: str,
    recipient: str,
    *,
    tenant: str | Tenant | None = None,
    opt_outs: Iterable[str] = (),
    quiet_hours: Mapping[str, str] | None = None,
) -> Preference:
    """Keep what a recipient wants, in place of whatever was kept before.

    `opt_outs` are categories; `quiet_hours` has `start`, `end` (as `22:00`) and `time_zone`.
    Raises InvalidNotification with every error at once, TenantUnavailable.
    """
    given = {"opt_outs": list(opt_outs), "quiet_hours": quiet_hours}
    wish = parse_wish({"channel": channel, "recipient": recipient, **given})
    return put(tenant_of(tenant), wish).preference


def tenant_of(tenant: str | Tenant | None) -> Tenant:
    """The tenant of this name, without one the default; raises TenantUnavailable."""
    if isinstance(tenant, Tenant):
        found = tenant
    else:
        found = _named(tenant or get_settings().default_tenant)
    if not found.is_active:
        raise TenantUnavailable(f"the tenant {found.name!r} is disabled")
    return found


def _named(name: str) -> Tenant:
    if name == get_settings().default_tenant:
        return Tenant.objects.get_or_create(name=name)[0]
    try:
        return Tenant.objects.get(name=name)
    except Tenant.DoesNotExist as error:
        raise TenantUnavailable(f"there is no tenant {name!r}; create it in the admin") from error
