"""The keys that clients show: their format, their making, their digest.

`nk_<environment>_<8 public id>_<43 base64url of 32 random bytes>_<6 base62 CRC32>`. The prefix and
the checksum let secret scanners recognise a leaked key without asking anybody. Only the SHA-256
of a whole token is ever stored: of 256 random bits a fast digest tells nobody anything.
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field

PUBLIC_ID_LENGTH = 8
SECRET_BYTES = 32
CHECKSUM_LENGTH = 6
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
PUBLIC_ID_ALPHABET = string.digits + string.ascii_lowercase

# The secret may hold underscores itself: only the fixed widths tell the parts from each other.
TOKEN = re.compile(
    r"(?P<body>nk_[a-z0-9]{1,16}_(?P<public_id>[a-z0-9]{8})_[A-Za-z0-9_-]{43})"
    r"_(?P<checksum>[A-Za-z0-9]{6})",
    re.ASCII,
)

NO_DIGEST = "0" * 64
"""Compared with when there is no key of that id, so that finding none takes as long."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made: `token` is shown to its owner once, the rest is stored."""

    token: str = field(repr=False)
    public_id: str
    digest: str


def make_key(environment: str = "live") -> NewKey:
    """A new key; `environment` is 1 to 16 lower-case letters and digits, such as live or test."""
    public_id = "".join(secrets.choice(PUBLIC_ID_ALPHABET) for _ in range(PUBLIC_ID_LENGTH))
    body = f"nk_{environment}_{public_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
    token = f"{body}_{_checksum(body)}"
    if not TOKEN.fullmatch(token):
        raise ValueError("environment must be 1 to 16 lower-case letters and digits")
    return NewKey(token, public_id, _digest(token))


def split(token: str) -> tuple[str, str] | None:
    """The public id and the digest of `token`; None when it is malformed."""
    match = TOKEN.fullmatch(token)
    if match is None or match["checksum"] != _checksum(match["body"]):
        return None
    return match["public_id"], _digest(token)


def same_digest(one: str, other: str) -> bool:
    """Whether two digests are equal, in a time that tells nothing about where they differ."""
    return hmac.compare_digest(one.encode(), other.encode())


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_LENGTH):
        number, digit = divmod(number, len(BASE62))
        digits = BASE62[digit] + digits
    return digits
