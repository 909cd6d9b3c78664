"""Who is asking: an API key in `Authorization: Bearer`, and the tenant it belongs to.

Whatever is wrong with a key, the answer is the same 401, and so is the work done for it. Keys are
looked up at most every few seconds in each process, so a revoked one is out soon everywhere.
"""

import time
from dataclasses import dataclass

from django.db.models.functions import Now
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from ..api_keys import NO_DIGEST, same_digest, split
from ..models import APIKey, Tenant
from .problems import TENANT_DISABLED, UNAUTHENTICATED, Refused

SCHEME = "Bearer "

FRESH_SECONDS = 3.0
"""How long a looked-up key is believed; a revoked one is refused everywhere after that."""

CACHE_MAX = 10_000
"""Ids remembered at most; made-up ones must not fill the memory."""

USED_EVERY_SECONDS = 60.0
"""How often a process notes that a key is in use."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request comes from, in the place of Django's user."""

    tenant: Tenant

    @property
    def is_authenticated(self) -> bool:
        return True


class KeyAuthentication(BaseAuthentication):
    """Lets in whoever shows a live key of an active tenant."""

    def authenticate(self, request: Request) -> tuple[Principal, APIKey]:
        key = _live_key(request.META.get("HTTP_AUTHORIZATION", ""))
        if key is None:
            raise Refused(UNAUTHENTICATED)
        if not key.tenant.is_active:
            raise Refused(TENANT_DISABLED)
        _note_use(key)
        return Principal(key.tenant), key

    def authenticate_header(self, request: Request) -> str:
        return SCHEME.strip()


def forget_keys() -> None:
    """Look every key up anew; called where this process has changed one."""
    _keys.clear()
    _noted.clear()


_keys: dict[str, tuple[float, APIKey | None]] = {}
_noted: dict[int, float] = {}


def _live_key(header: str) -> APIKey | None:
    # RFC 9110 has the name of a scheme in any capitals.
    is_ours = header[: len(SCHEME)].lower() == SCHEME.lower()
    parts = split(header[len(SCHEME) :]) if is_ours else None
    if parts is None:
        return None
    public_id, digest = parts
    key = _look_up(public_id)
    matches = same_digest(digest, key.digest if key else NO_DIGEST)
    return key if matches else None


def _look_up(public_id: str) -> APIKey | None:
    until, key = _keys.get(public_id, (0.0, None))
    if time.monotonic() < until:
        return key
    key = APIKey.objects.live().select_related("tenant").filter(public_id=public_id).first()
    if len(_keys) >= CACHE_MAX:
        _keys.clear()
    _keys[public_id] = (time.monotonic() + FRESH_SECONDS, key)
    return key


def _note_use(key: APIKey) -> None:
    now = time.monotonic()
    if now - _noted.get(key.pk, -USED_EVERY_SECONDS) >= USED_EVERY_SECONDS:
        _noted[key.pk] = now
        APIKey.objects.filter(pk=key.pk).update(last_used_at=Now())
