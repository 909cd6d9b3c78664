"""Who may read the metrics: whoever is on this host, and whoever shows the METRICS_TOKEN."""

import hmac
from ipaddress import ip_address

from django.conf import settings


def token() -> str:
    """The bearer that opens the metrics to other hosts; empty where they stay closed."""
    return getattr(settings, "METRICS_TOKEN", "") or ""


def may_read(address: str, authorization: str) -> bool:
    """Whether one who calls from `address` may; none where it is not known."""
    return _is_loopback(address) or _is_token(authorization)


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False  # a Unix socket, behind which stands a proxy


def _is_token(shown: str) -> bool:
    expected = token()
    return bool(expected) and hmac.compare_digest(shown.encode(), f"Bearer {expected}".encode())
