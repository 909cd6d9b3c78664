"""Links by which a recipient unsubscribes without anybody's help (RFC 8058).

A link names a list and a recipient of it, signed with the project's SECRET_KEY for this alone. It
does not expire: people find old messages too. With SECRET_KEY_FALLBACKS it outlives the key.
"""

from django.core import signing
from django.urls import NoReverseMatch, reverse

from ..conf import get_settings
from ..enums import Channel, SuppressionReason
from ..models import Notification, Tenant
from ..suppression import Entry, fold
from .suppress import Target
from .suppressions import add

SALT = "notifications.unsubscribe"


def link_of(notification: Notification) -> str:
    """Where its recipient unsubscribes; empty for what is transactional.

    Also empty without an https PUBLIC_URL, the only kind that mail programs use, or where the
    project does not serve our URLs.
    """
    base = get_settings().public_url
    if notification.is_transactional or not base.startswith("https://"):
        return ""
    channel, to = notification.channel, notification.to
    return url_of(Target(notification.tenant_id, channel, fold(channel, to)))


def url_of(target: Target) -> str:
    """The link for a recipient, where there can be one."""
    try:
        path = reverse("notifications:unsubscribe", args=(signing.dumps(target, salt=SALT),))
    except NoReverseMatch:
        return ""
    return f"{get_settings().public_url}{path}"


def read(token: str) -> Target | None:
    """Whom the token of a link names; None when it is none of ours."""
    try:
        return Target(*signing.loads(token, salt=SALT))
    except signing.BadSignature:
        return None


def unsubscribe(target: Target) -> bool:
    """Put the recipient on the list, idempotently; False when there is no such tenant any more."""
    tenant = Tenant.objects.filter(pk=target.tenant_id).first()
    if tenant is None:
        return False
    reason = SuppressionReason.UNSUBSCRIBE
    add(tenant, Entry(Channel(target.channel), target.recipient, reason))
    return True
