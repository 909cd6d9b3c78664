"""The endpoints of a tenant: registered, changed, given new secrets, switched off and on.

Each tenant has one more without a URL, its default: what goes to a URL that is registered nowhere
is signed with its secret.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import IntegrityError
from django.db.models import Q
from django.db.models.functions import Now

from ..enums import DisabledReason
from ..exceptions import NotPossible
from ..models import Endpoint, Tenant
from ..secrets import decrypt, encrypt, new_secret
from . import database, events

ENDPOINTS_MAX = 50
"""Each event is accepted once for each of them, in the transaction that it is about."""

BOTH_LIVE = timedelta(hours=24)
"""How long a secret goes on signing after another has taken its place."""


def create(tenant: Tenant, url: str, description: str = "", told: Sequence[str] = ()) -> Endpoint:
    """Register `url`, to be `told` of these events; `reveal` shows its secret.

    Raises NotPossible where it is registered already, or too many are.
    """
    if Endpoint.objects.registered(tenant).count() >= ENDPOINTS_MAX:
        raise NotPossible("", f"There are {ENDPOINTS_MAX} endpoints, which is the most.")
    endpoint = Endpoint(
        tenant=tenant,
        url=url,
        description=description,
        events=list(told),
        secret=encrypt(new_secret()),
    )
    return _save(endpoint, {})


def change(endpoint: Endpoint, values: Mapping[str, Any]) -> Endpoint:
    """Set `url`, `description` or `events`. Raises NotPossible where the URL is taken."""
    return _save(endpoint, values) if values else endpoint


def delete(endpoint: Endpoint) -> None:
    """What is still to go to its URL is signed with the default secret from now on."""
    endpoint.delete()
    database.on_commit(events.forget)


def rotate(endpoint: Endpoint) -> Endpoint:
    """Give it a new secret; the one before goes on signing for a day."""
    with database.atomic():
        row = Endpoint.objects.select_for_update().get(pk=endpoint.pk)
        row.previous_secret, row.secret = row.secret, encrypt(new_secret())
        row.previous_until = database.now() + BOTH_LIVE
        row.save(update_fields=["secret", "previous_secret", "previous_until"])
    return row


def enable(endpoint: Endpoint) -> Endpoint:
    """Send to it again, as if it had never failed."""
    values = {"is_active": True, "disabled_reason": "", "failing_since": None, "probe_at": None}
    Endpoint.objects.filter(pk=endpoint.pk).update(**values)
    database.on_commit(events.forget)
    endpoint.refresh_from_db()
    return endpoint


def disable(endpoint: Endpoint, reason: DisabledReason) -> bool:
    """Send nothing to it any more, and tell the tenant's other endpoints; False if it was off.

    One whose URL has changed since is left alone: it was not that URL that failed.
    """
    active = Endpoint.objects.filter(pk=endpoint.pk, url=endpoint.url, is_active=True)
    with database.atomic():
        if not active.update(is_active=False, disabled_reason=reason):
            return False
        events.record_disabled(endpoint, reason)
    database.on_commit(events.forget)
    return True


def default_of(tenant: Tenant) -> Endpoint:
    """The tenant's endpoint without a URL, made when it is first needed."""
    defaults = {"secret": encrypt(new_secret())}
    return Endpoint.objects.get_or_create(tenant=tenant, url="", defaults=defaults)[0]


def reveal(endpoint: Endpoint) -> str:
    """The newest secret, for the one answer that shows it."""
    return decrypt(endpoint.secret)


def live_secrets(endpoint: Endpoint) -> tuple[str, ...]:
    """What is signed with now, the newest first; nothing while it is disabled."""
    if not endpoint.is_active:
        return ()
    until = endpoint.previous_until
    former = [endpoint.previous_secret] if until and until > datetime.now(UTC) else []
    return tuple(decrypt(secret) for secret in [endpoint.secret, *former])


def mark_failing(endpoint: Endpoint) -> None:
    """Note since when it has done nothing but fail."""
    Endpoint.objects.filter(pk=endpoint.pk, failing_since=None).update(failing_since=Now())


def mark_working(endpoint: Endpoint) -> None:
    Endpoint.objects.filter(pk=endpoint.pk).update(failing_since=None, probe_at=None)


def take_probe(endpoint: Endpoint, seconds: float) -> bool:
    """Whether one message may go ahead to it now; if so, none other for so many seconds."""
    due = Endpoint.objects.filter(Q(probe_at=None) | Q(probe_at__lte=Now()), pk=endpoint.pk)
    return due.update(probe_at=Now() + timedelta(seconds=seconds)) > 0


def _save(endpoint: Endpoint, values: Mapping[str, Any]) -> Endpoint:
    for name, value in values.items():
        setattr(endpoint, name, value)
    try:
        with database.atomic():
            endpoint.save(update_fields=list(values) or None)
    except IntegrityError as error:
        raise NotPossible("", "There is an endpoint with this URL.") from error
    database.on_commit(events.forget)
    endpoint.refresh_from_db()
    return endpoint
