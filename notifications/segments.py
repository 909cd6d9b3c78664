"""How many text messages a text takes: the network cuts it into segments, and each is paid for."""

from dataclasses import dataclass

BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
EXTENDED = frozenset("\f^{}\\[~]|€")
"""Of the alphabet too (3GPP TS 23.038), but each takes two places."""

GSM7, UCS2 = "GSM-7", "UCS-2"

ROOM = {GSM7: (160, 153), UCS2: (70, 67)}
"""Places in a message that is alone, and in each of several, which carry a header."""


@dataclass(frozen=True, slots=True)
class Segments:
    """The alphabet a text needs, and how many segments it takes in it."""

    encoding: str
    count: int


def count_segments(text: str) -> Segments:
    """The segments of `text`; one sign outside of GSM-7 makes all of it UCS-2."""
    signs = set(text)
    encoding = GSM7 if signs <= BASIC | EXTENDED else UCS2
    sizes = [_size(sign, encoding) for sign in text]
    alone, each = ROOM[encoding]
    return Segments(encoding, 1 if sum(sizes) <= alone else _cut(sizes, each))


def _size(sign: str, encoding: str) -> int:
    if encoding == GSM7:
        return 2 if sign in EXTENDED else 1
    return 2 if ord(sign) > 0xFFFF else 1


def _cut(sizes: list[int], each: int) -> int:
    """No sign is cut in two: what does not fit goes into the next segment."""
    count, used = 1, 0
    for size in sizes:
        if used + size > each:
            count, used = count + 1, 0
        used += size
    return count
