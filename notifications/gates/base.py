"""The contract of a rate limiter: one for the whole cluster, whatever keeps its books."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from ..messages import Grant, Want


class Limiter(ABC):
    """Says how many units may go now; `gcra` holds the arithmetic that every backend follows.

    - A unit is granted only when all limits of its `Want` have it, and is then taken from all.
    - A `Want` gets as many units as its tightest limit has, which may be none.
    - What is refused costs nothing, so that a crowd that asks in vain does not starve itself.
    - Limits of one key are shared by all who name it, on any host; the clock is the backend's.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        """`options` are the `OPTIONS` of the settings' `GATES`."""
        self.options = options

    @classmethod
    def problems(cls, options: Mapping[str, Any]) -> list[str]:
        """What is wrong with `options`, a sentence each; by default none are known."""
        return [f'The option "{name}" is not known; this backend takes none.' for name in options]

    @abstractmethod
    def take(self, wants: Sequence[Want]) -> list[Grant]:
        """Answer each want, in order, all of them in one step.

        A want without limits is granted in full. Raises what the backend raises when it is away.
        """
