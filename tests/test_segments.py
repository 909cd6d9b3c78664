"""Segments as the networks count them."""

import pytest

from notifications.segments import count_segments


@pytest.mark.parametrize(
    ("text", "encoding", "count"),
    [
        ("", "GSM-7", 1),
        ("a" * 160, "GSM-7", 1),
        ("a" * 161, "GSM-7", 2),
        ("a" * 306, "GSM-7", 2),
        ("a" * 307, "GSM-7", 3),
        ("é\n@£Δ", "GSM-7", 1),
        ("€" * 80, "GSM-7", 1),
        ("€" * 81, "GSM-7", 2),
        ("a" * 152 + "€" * 77, "GSM-7", 3),  # the 153rd place of the first stays empty
        ("ё" * 70, "UCS-2", 1),
        ("ё" * 71, "UCS-2", 2),
        ("a" * 70 + "…", "UCS-2", 2),
        ("😀" * 35, "UCS-2", 1),
        ("😀" * 36, "UCS-2", 2),
        ("😀" * 67, "UCS-2", 3),  # 33 fit into one segment, not 33 and a half
    ],
)
def test_a_text_takes_as_many_segments_as_the_network_makes_of_it(
    text: str, encoding: str, count: int
) -> None:
    found = count_segments(text)
    assert (found.encoding, found.count) == (encoding, count)
