"""What is wrong with a template, or with what it is to be filled with."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing wrong: a code, and a sentence that names variables but never a value."""

    code: str
    detail: str


class TemplateError(ValueError):
    """The only error of this package; `flaws` lists what was found, at least one."""

    def __init__(self, flaws: Sequence[Flaw]) -> None:
        super().__init__("; ".join(flaw.detail for flaw in flaws))
        self.flaws = tuple(flaws)


class Unusable(ValueError):
    """A value does not fit its place; the caller knows the variable, and makes a flaw of it."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
