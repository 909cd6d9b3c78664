"""The colours of the statuses, judged by WCAG's own arithmetic."""

import re
from itertools import pairwise

import pytest
from django.contrib.staticfiles import finders

from notifications.enums import Status

AA = 4.5

with open(str(finders.find("notifications/admin.css"))) as file:
    CSS = file.read()

COLOUR = re.compile(r"--ns-(\w+)-(fg|bg): (#[0-9a-f]{6});")


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_every_pair_of_colours_is_readable_in_every_theme() -> None:
    found = COLOUR.findall(CSS)
    pairs = [(a, b) for a, b in pairwise(found) if a[0] == b[0] and (a[1], b[1]) == ("fg", "bg")]
    assert len(pairs) == len(found) / 2 == 21
    for (name, _, text), (_, _, ground) in pairs:
        assert contrast(text, ground) >= AA, f"{name}: {text} on {ground}"


@pytest.mark.parametrize("status", set(Status) - {"cancelled", "expired", "suppressed", "digested"})
def test_every_status_but_the_grey_ones_has_a_colour(status: Status) -> None:
    assert f".notification-status-{status}" in CSS
