"""Secrets that must be read again: encrypted at rest, and made anew for each endpoint.

The keys are derived from Django's SECRET_KEY, and from SECRET_KEY_FALLBACKS for what was written
before it was changed. A dump of the database without them opens nothing.
"""

from base64 import b64encode, urlsafe_b64encode
from functools import lru_cache
from os import urandom

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

PREFIX = "whsec_"
SECRET_BYTES = 32
PURPOSE = b"notifications.secrets"


class Unreadable(ValueError):
    """It was encrypted with a SECRET_KEY that is in the settings no longer."""


def new_secret() -> str:
    """A secret to sign webhooks with, in the form of Standard Webhooks."""
    return PREFIX + b64encode(urandom(SECRET_BYTES)).decode()


def encrypt(secret: str) -> str:
    return _box().encrypt(secret.encode()).decode()


def decrypt(token: str) -> str:
    """The secret in `token`; raises Unreadable."""
    try:
        return _box().decrypt(token).decode()
    except InvalidToken as error:
        raise Unreadable("put the former SECRET_KEY into SECRET_KEY_FALLBACKS") from error


def _box() -> MultiFernet:
    return _box_of(settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)


@lru_cache(maxsize=4)
def _box_of(*keys: str) -> MultiFernet:
    return MultiFernet([Fernet(urlsafe_b64encode(_derive(key))) for key in keys])


def _derive(key: str | bytes) -> bytes:
    material = key if isinstance(key, bytes) else key.encode()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=PURPOSE).derive(material)
