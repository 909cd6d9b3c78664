"""The joint between accepting and whoever traces it, so that the one need not know the other."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Accepting = Callable[[int], AbstractContextManager[str]]
"""Takes how many are stored; within, it gives what is kept in their rows: a `traceparent`."""


def accepting(count: int) -> AbstractContextManager[str]:
    """Around the storing of `count` notifications; gives nothing while nobody traces."""
    return _accepting(count)


def use(tracer: Accepting | None = None) -> None:
    """Have `tracer` called from now on; nobody without one."""
    global _accepting
    _accepting = tracer or _nobody


def _nobody(count: int) -> AbstractContextManager[str]:
    return _nothing


_nothing = nullcontext("")
_accepting: Accepting = _nobody
