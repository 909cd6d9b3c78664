"""Numbers and times as they are read at a glance."""

import pytest

from notifications.dashboard.words import amount, duration, reason_in_words, short
from notifications.enums import WaitReason


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.042, "42 ms"),
        (1.26, "1.3 s"),
        (42, "42 s"),
        (65, "1 min 5 s"),
        (600, "10 min"),
        (659, "10 min"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (86400 * 3 + 4 * 3600, "3 d 4 h"),
    ],
)
def test_a_duration_is_said_in_its_largest_units(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0"),
        (0.0416, "0.0416"),
        (1.25, "1.25"),
        (420, "420"),
        (12_430, "12.4k"),
        (3.1e6, "3.1M"),
    ],
)
def test_a_rate_is_said_in_three_digits(value: float, said: str) -> None:
    assert short(value) == said


def test_an_amount_has_commas() -> None:
    assert amount(1234567.4) == "1,234,567"


@pytest.mark.parametrize("reason", WaitReason)
def test_every_reason_has_words(reason: WaitReason) -> None:
    assert reason_in_words(reason, "provider:smtp", "timeout")
