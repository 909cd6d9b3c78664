"""Links by which a recipient unsubscribes without anybody's help (RFC 8058).

A link names a list and a recipient of it, and the category of what carries it, if it has one: then
only that is not sent any more. It is signed with the project's SECRET_KEY for this alone. It
does not expire: people find old messages too. With SECRET_KEY_FALLBACKS it outlives the key.
"""

from typing import NamedTuple

from django.core import signing
from django.urls import NoReverseMatch, reverse

from ..conf import get_settings
from ..enums import Channel, SuppressionReason
from ..models import Notification, Tenant
from ..suppression import Entry, fold
from . import preferences
from .suppress import Target
from .suppressions import add

SALT = "notifications.unsubscribe"


class Link(NamedTuple):
    """What is unsubscribed from: a category, or all that is not transactional."""

    tenant_id: int
    channel: str
    recipient: str
    category: str = ""


def link_of(notification: Notification) -> str:
    """Where its recipient unsubscribes; empty for what is transactional.

    Also empty without an https PUBLIC_URL, the only kind that mail programs use, or where the
    project does not serve our URLs.
    """
    base = get_settings().public_url
    if notification.is_transactional or not base.startswith("https://"):
        return ""
    channel, to = notification.channel, notification.to
    target = Target(notification.tenant_id, channel, fold(channel, to))
    return url_of(target, notification.category)


def url_of(target: Target, category: str = "") -> str:
    """The link for a recipient, where there can be one."""
    link = (*target, category) if category else target
    try:
        path = reverse("notifications:unsubscribe", args=(signing.dumps(link, salt=SALT),))
    except NoReverseMatch:
        return ""
    return f"{get_settings().public_url}{path}"


def read(token: str) -> Link | None:
    """Whom the token of a link names; None when it is none of ours."""
    try:
        return Link(*signing.loads(token, salt=SALT))
    except signing.BadSignature:
        return None


def unsubscribe(link: Link) -> bool:
    """Write it down, idempotently; False when there is no such tenant any more."""
    tenant = Tenant.objects.filter(pk=link.tenant_id).first()
    if tenant is None:
        return False
    channel = Channel(link.channel)
    if link.category:
        preferences.opt_out(tenant, channel, link.recipient, link.category)
    else:
        add(tenant, Entry(channel, link.recipient, SuppressionReason.UNSUBSCRIBE))
    return True
