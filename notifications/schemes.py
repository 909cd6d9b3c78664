"""The schemes of broker URLs that are told apart, and the one that is ours."""

from kombu.transport import TRANSPORT_ALIASES

EMBEDDED = "embedded"

IN_PROCESS = (EMBEDDED, "memory")
"""Schemes of brokers that live in one process and that no other can reach."""

TRANSPORT_ALIASES[EMBEDDED] = "notifications.transport:Transport"
