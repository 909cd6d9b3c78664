"""Amazon SNS: which addresses are its own, and the certificates that it signs with.

Whoever can call us can name an address to us. Only SNS's own are ever asked, and seldom.
"""

import re
import threading
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import load_pem_x509_certificate

from ..exceptions import NotAuthentic, NotJudged
from .download import FetchFailed, NotThere, download, is_at

__all__ = ["Certificates", "Fetch", "FetchFailed", "NotThere", "fetch", "is_of_sns"]

HOST = re.compile(r"sns\.[a-z0-9-]+\.amazonaws\.com(\.cn)?")
CERTIFICATE_PATH = re.compile(r"/SimpleNotificationService-[A-Za-z0-9]+\.pem")
CONFIRMATION_PATH = re.compile("/")

TIMEOUT_SECONDS = 3.0
ANSWER_MAX = 64 * 1024
KEPT = 16
"""Certificates remembered; SNS changes its own about once a year."""

REST_SECONDS = 10.0
"""At most one certificate is asked for in so long a time, beyond the first `FREE` of them."""

FREE = 4

Fetch = Callable[[str], bytes]


def fetch(url: str) -> bytes:
    """What is at `url`, following nothing; raises FetchFailed, NotThere."""
    return download(url, ANSWER_MAX, TIMEOUT_SECONDS)


def is_of_sns(url: str, path: re.Pattern[str]) -> bool:
    """Whether SNS itself answers there, under such a path."""
    return is_at(url, HOST) and path.fullmatch(urlsplit(url).path) is not None


class Certificates:
    """The public keys of SNS, each fetched once; a flood of made-up names fetches few."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._keys: dict[str, RSAPublicKey] = {}
        self._lock = threading.Lock()
        self._free, self._renewed = float(FREE), time.monotonic()

    def key(self, url: str) -> RSAPublicKey:
        """The key of the certificate there; raises NotAuthentic, or NotJudged while it is away."""
        found = self._keys.get(url)
        if found is not None:
            return found
        if not self._lock.acquire(blocking=False):  # nobody waits in line behind a slow answer
            raise NotJudged("another certificate is being fetched")
        try:
            return self._keys.get(url) or self._fetched(url)
        finally:
            self._lock.release()

    def _fetched(self, url: str) -> RSAPublicKey:
        self._take()
        try:
            body = self._fetch(url)
        except NotThere as error:
            raise NotAuthentic from error
        except FetchFailed as error:
            raise NotJudged(str(error)) from error
        key = _key(body)
        while len(self._keys) >= KEPT:
            self._keys.pop(next(iter(self._keys)))
        self._keys[url] = key
        return key

    def _take(self) -> None:
        now = time.monotonic()
        self._free = min(FREE, self._free + (now - self._renewed) / REST_SECONDS)
        self._renewed = now
        if self._free < 1:
            raise NotJudged("too many certificates are asked for")
        self._free -= 1


def _key(certificate: bytes) -> RSAPublicKey:
    try:
        key = load_pem_x509_certificate(certificate).public_key()
    except ValueError as error:
        raise NotAuthentic from error
    if not isinstance(key, RSAPublicKey):
        raise NotAuthentic
    return key
