"""What makes a function a scenario: its name, and how large it is played."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from tests.faults.lab import Lab
from tests.faults.verdict import Verdict

T = TypeVar("T")

Scenario = Callable[[Lab, "Size"], Verdict]


@dataclass(frozen=True, slots=True)
class Size:
    """`size(10_000, 500)` is the first at full size, the second at a small one."""

    full: bool

    def __call__(self, full: T, small: T) -> T:
        return full if self.full else small


def named(*scenarios: Scenario) -> Mapping[str, Scenario]:
    return {scenario.__name__: scenario for scenario in scenarios}
