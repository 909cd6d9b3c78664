"""The Python API: notify from inside your own transaction."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Required, TypedDict, Unpack
from uuid import UUID

from asgiref.sync import sync_to_async

from .conf import get_settings
from .exceptions import (
    ContentError,
    FieldError,
    InvalidNotification,
    NotificationError,
    TenantUnavailable,
)
from .models import Notification, Preference, Template, Tenant
from .pipeline import control, database, template_store
from .pipeline.accept import Accepted, accept_many, accept_one
from .pipeline.preferences import put
from .preference import parse_wish
from .recipients import address_of
from .template_validation import parse_template
from .validation import parse_notification, parse_template_name


class Fields(TypedDict, total=False):
    """What `notify` takes beside channel and recipient: the fields of `POST /notify`."""

    template: str
    context: Mapping[str, Any]
    subject: str
    body: str
    html: str
    cc: Sequence[str]
    bcc: Sequence[str]
    reply_to: Sequence[str]
    headers: Mapping[str, str]
    attachments: Sequence[Mapping[str, Any]]
    event: str
    payload: Any
    priority: str
    send_at: datetime | str
    expires_at: datetime | str
    idempotency_key: str
    metadata: Mapping[str, str]
    category: str
    digest: Any


class Parts(TypedDict, total=False):
    """The texts of a template."""

    subject: str
    body: str
    html: str


From = TypedDict("From", {"from": str}, total=False)
"""A field whose name no parameter can have; `notify` calls it `from_`."""


class Item(Fields, From, total=False):
    """One of those that `notify_many` takes."""

    channel: Required[str]
    to: Required[Any]


def notify(
    channel: str,
    *,
    to: Any,
    from_: str | None = None,
    tenant: str | Tenant | None = None,
    **fields: Unpack[Fields],
) -> Notification:
    """Accept one notification; it is sent once the surrounding transaction has committed.

    `to` is an address, or a user (or whatever the channel's RECIPIENT finds an address of).
    `fields` are those of `POST /notify`: the channel's content, or `template` and `context` in its
    place, `priority`, `send_at` and `expires_at` (aware datetimes or RFC 3339), `idempotency_key`,
    `metadata`, `category`, `digest`. The same key returns the same notification. `from_` is the
    field `from`, which may name anybody here; the content of an attachment may be bytes. Raises
    InvalidNotification with every error at once, IdempotencyConflict when the key holds other
    content, TenantUnavailable.
    """
    item: dict[str, Any] = {"channel": channel, "to": address_of(channel, to), **fields}
    if from_ is not None:
        item["from"] = from_
    return accept_one(tenant_of(tenant), parse_notification(item)).notification


def notify_many(
    items: Iterable[Item | Mapping[str, Any]], *, tenant: str | Tenant | None = None
) -> list[Notification]:
    """Accept many, all or none, in a constant number of statements.

    Each item holds what `notify` takes. Raises the error of the first item that is refused;
    nothing is stored then.
    """
    drafts = [parse_notification(_addressed(item)) for item in items]
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


def put_template(
    name: str,
    channel: str,
    *,
    tenant: str | Tenant | None = None,
    is_transactional: bool = True,
    category: str | None = None,
    **parts: Unpack[Parts],
) -> Template:
    """Keep what a template says; with something else than before, this is its next version.

    `parts` are what its channel has of `subject`, `body` and `html`. What is not transactional may
    have a `category`. Raises InvalidNotification with what is wrong, TenantUnavailable.
    """
    given = {"channel": channel, "is_transactional": is_transactional, "category": category}
    draft = parse_template({**given, **parts})
    version, _ = template_store.put(tenant_of(tenant), _template_name(name), draft)
    return version.template


def cancel(notification: Notification | UUID | str) -> Notification:
    """Cancel a notification, or the one with this id; the row as it is afterwards.

    Its status is `cancelled` when nothing will be sent after the surrounding transaction has
    committed; with an attempt in flight `cancel_requested` is set instead, and no other follows.
    Raises NotPossible when it is sent or settled, Notification.DoesNotExist.
    """
    if not isinstance(notification, Notification):
        notification = Notification.objects.get(pk=notification)
    return control.cancel(notification)


async def anotify(
    channel: str,
    *,
    to: Any,
    from_: str | None = None,
    tenant: str | Tenant | None = None,
    **fields: Unpack[Fields],
) -> Notification:
    """`notify`, for asynchronous code."""
    return await sync_to_async(notify)(channel, to=to, from_=from_, tenant=tenant, **fields)


async def anotify_many(
    items: Iterable[Item | Mapping[str, Any]], *, tenant: str | Tenant | None = None
) -> list[Notification]:
    """`notify_many`, for asynchronous code."""
    return await sync_to_async(notify_many)(items, tenant=tenant)


async def acancel(notification: Notification | UUID | str) -> Notification:
    """`cancel`, for asynchronous code."""
    return await sync_to_async(cancel)(notification)


def _template_name(name: str) -> str:
    try:
        return parse_template_name(name)
    except ContentError as error:
        raise InvalidNotification([FieldError("/name", error.code, error.detail)]) from error


def _addressed(item: Item | Mapping[str, Any]) -> dict[str, Any]:
    return {**item, "to": address_of(item.get("channel"), item.get("to"))}


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
