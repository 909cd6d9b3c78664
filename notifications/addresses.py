"""Where a notification may go: strict forms of addresses, numbers and URLs.

Each function returns the form that is stored, or raises `AddressError` with a code and a
sentence that never repeats the value.
"""

import re
from urllib.parse import SplitResult, urlsplit

import phonenumbers
from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from phonenumbers import PhoneNumberType

from .conf import get_settings

UNSAFE_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Control characters, line separators and bidi controls: never in a header or an address."""

E164 = re.compile(r"\+[1-9][0-9]{6,14}")
REFUSED_NUMBERS = frozenset(
    {
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.UAN,
        PhoneNumberType.PAGER,
        PhoneNumberType.VOICEMAIL,
        PhoneNumberType.TOLL_FREE,
    }
)

HOST_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
PRIVATE_SUFFIXES = (".local", ".internal", ".localhost", ".home.arpa")
URL_PORTS = frozenset({None, 443, 8443})
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
URL_MAX = 2048
SCHEME_AND_HOST = re.compile(r"\A[^/?#]*//[^/?#]*")

_check_email = EmailValidator(allowlist=[])


class AddressError(ValueError):
    """The address is unusable for its channel."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def parse_email(text: str) -> str:
    """One bare address, its domain in ASCII."""
    local, at, domain = text.rpartition("@")
    if not at or UNSAFE_TEXT.search(text) or not local.isascii() or domain.startswith("["):
        raise _bad_email()
    try:
        ascii_domain = domain if domain.isascii() else domain.encode("idna").decode("ascii")
        _check_email(f"{local}@{ascii_domain}")
    except (ValidationError, UnicodeError) as error:
        raise _bad_email() from error
    if len(local) > 64 or local.startswith('"') or len(local) + len(ascii_domain) > 253:
        raise _bad_email()
    return f"{local}@{ascii_domain}"


def parse_phone(text: str) -> str:
    """One number in E.164 form that a message may be sent to."""
    if not E164.fullmatch(text):
        raise _bad_phone("write it in E.164 form: + and 7 to 15 digits, such as +14155550123")
    number = phonenumbers.parse(text)
    if not phonenumbers.is_possible_number(number):
        raise _bad_phone("its length does not fit its country code")
    if phonenumbers.number_type(number) in REFUSED_NUMBERS:
        raise _bad_phone("premium, shared-cost, toll-free and service numbers are refused")
    return text


def parse_url(text: str) -> str:
    """One https URL of a public host, by name; where the name leads is checked when sending."""
    if len(text) > URL_MAX or not text.isascii() or re.search(r"[\x00-\x20\x7f\\#]", text):
        raise _bad_url(
            f"at most {URL_MAX:,} ASCII characters without spaces, backslashes and fragments"
        )
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _bad_url("it cannot be parsed") from error
    if "@" in parts.netloc:
        raise _bad_url("it must not hold a user name or password")
    if not (loopback_is_allowed() and _is_for_development(parts)):
        _check_public(parts, port)
    return text


def loopback_is_allowed() -> bool:
    """Whether URLs may lead to this machine: while developing, with WEBHOOK_LOOPBACK."""
    return get_settings().webhook_loopback


def _is_for_development(parts: SplitResult) -> bool:
    return parts.scheme in ("http", "https") and parts.hostname in LOOPBACK_HOSTS


def _check_public(parts: SplitResult, port: int | None) -> None:
    if parts.scheme != "https":
        raise _bad_url("it must begin with https://")
    if port not in URL_PORTS:
        raise _bad_url("the port must be 443 or 8443")
    _check_host(parts)


def fold_email(address: str) -> str:
    """In small letters: no two mailboxes differ by capitals alone."""
    return address.lower()


def fold_phone(number: str) -> str:
    """E.164 has one form for a number."""
    return number


def fold_url(url: str) -> str:
    """The scheme and the host of a URL may be written in capitals, the rest may not."""
    return SCHEME_AND_HOST.sub(lambda found: found[0].lower(), url)


def _check_host(parts: SplitResult) -> None:
    host = (parts.hostname or "").removesuffix(".")
    labels = host.split(".")
    if len(host) > 253 or not all(HOST_LABEL.fullmatch(label) for label in labels):
        raise _bad_url("the host is not a valid domain name")
    if NUMERIC_LABEL.fullmatch(labels[-1]):
        raise _bad_url("write a domain name, not an IP address")
    if len(labels) < 2 or f".{host}".endswith(PRIVATE_SUFFIXES):
        raise _bad_url("the host must be a public domain name")


def _bad_email() -> AddressError:
    return AddressError("invalid_email", "write one address, such as ada@example.com")


def _bad_phone(reason: str) -> AddressError:
    return AddressError("invalid_phone", f"not a number to send to: {reason}")


def _bad_url(reason: str) -> AddressError:
    return AddressError("invalid_url", f"not a URL to send to: {reason}")
