"""The schemes of broker URLs that are told apart, and the one that is ours."""

from collections.abc import Sequence

from kombu.transport import TRANSPORT_ALIASES

EMBEDDED = "embedded"

IN_PROCESS = (EMBEDDED, "memory")
"""Schemes of brokers that live in one process and that no other can reach."""

TRANSPORT_ALIASES[EMBEDDED] = "notifications.transport:Transport"


def scheme_of(broker_url: str | Sequence[str] | None) -> str:
    """The kind of broker: the first one's, where several are named."""
    first = broker_url if isinstance(broker_url, str) else next(iter(broker_url or ()), "")
    return first.partition("://")[0]
