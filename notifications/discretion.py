"""What may be told of an error that was not foreseen: its kind and its place, never its text.

A database quotes the values of its rows, a provider's library what it was to send.
"""

import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

PACKAGE = str(Path(__file__).parent)


def describe(error: BaseException) -> str:
    """The kind of `error`, where it arose, and which place of ours that was called from."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(PACKAGE)]
    places = dict.fromkeys(map(_place, [*frames[-1:], *ours[-1:]]))
    return " in ".join(filter(None, (type(error).__name__, ", from ".join(places))))


def _place(frame: traceback.FrameSummary) -> str:
    return f"{frame.name} ({frame.filename}:{frame.lineno})"


def discreet(*passed: type[BaseException]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let errors of the kinds `passed` through, and of all others only what may be told.

    Celery writes down what a task raises, in its log and among its results.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except passed:
                raise
            except Exception as error:
                raise RuntimeError(describe(error)) from None

        return called

    return decorate
