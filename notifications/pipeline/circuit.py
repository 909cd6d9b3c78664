"""The circuit of the provider at hand, where the settings give it one.

It is advice: when its book cannot be reached, messages go as if it were closed, and what became
of them is settled all the same.
"""

import logging
from collections.abc import Sequence

from django.db import InterfaceError, OperationalError

from ..conf import get_settings
from ..gates import get_breaker, tally
from ..messages import Outcome, Passage
from ..providers.registry import get_provider

logger = logging.getLogger(__name__)


class Circuit:
    """Asks before a window is sent, tells what it came to; never inside a transaction."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        guarded = get_settings().providers[provider].circuit is not None
        self._is_guarded = guarded and get_provider(provider).one_account

    def wait(self) -> float:
        """Seconds until it is worth asking; 0 where a message, or a probe, may go now."""
        return self.ask(0).retry_after

    def ask(self, units: int) -> Passage:
        """How many of `units` may go now."""
        if not self._is_guarded:
            return Passage(units)
        try:
            return get_breaker().allow(self._provider, units)
        except (OperationalError, InterfaceError) as error:
            logger.warning("the circuit of %s is not known: %s", self._provider, _kind(error))
            return Passage(units)

    def tell(self, outcomes: Sequence[Outcome], passage: Passage) -> None:
        """Count what the provider answered; without outcomes, give an unused probe back."""
        if not self._is_guarded or not (outcomes or passage.probe):
            return
        try:
            get_breaker().record(self._provider, tally(outcomes), passage.probe)
        except (OperationalError, InterfaceError) as error:
            logger.warning("the circuit of %s was not told: %s", self._provider, _kind(error))


def _kind(error: Exception) -> str:
    return type(error).__name__
