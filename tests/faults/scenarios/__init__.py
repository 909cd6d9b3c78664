"""All scenarios by name, a module for each family: start, hurt, wait, judge."""

from collections.abc import Mapping

from . import brokers, clients, databases, limits, payloads, preferences, providers, twins, workers
from .base import Scenario, Size

SCENARIOS: Mapping[str, Scenario] = {
    **workers.SCENARIOS,
    **brokers.SCENARIOS,
    **databases.SCENARIOS,
    **clients.SCENARIOS,
    **providers.SCENARIOS,
    **limits.SCENARIOS,
    **payloads.SCENARIOS,
    **preferences.SCENARIOS,
    **twins.SCENARIOS,
}

__all__ = ["SCENARIOS", "Size"]
