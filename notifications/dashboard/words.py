"""Numbers and times as they are read at a glance."""

from ..enums import WaitReason
from ..labels import say, spoken
from ..pipeline.scopes import in_table

UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def amount(count: float) -> str:
    """With commas: 1,234,567."""
    return f"{count:,.0f}"


def short(value: float) -> str:
    """Three digits of it: 0.042, 1.25, 37, 1,420, 12.4k, 3.1M."""
    if value >= 1_000_000:
        return f"{value / 1_000_000:.3g}M"
    if value >= 10_000:
        return f"{value / 1000:.3g}k"
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def per_minute(rate: float) -> str:
    return f"{short(rate)}/min"


def duration(seconds: float) -> str:
    """In its largest unit, and the next one where that tells: 3 d 4 h, 12 min, 2 min 5 s, 42 ms."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    rest, parts = round(seconds), list[str]()
    for size, unit in UNITS:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count} {unit}")
        if parts and (len(parts) > 1 or not count or count >= 10):
            break
    return " ".join(parts)


def scope_in_words(scope: str) -> str:
    """`provider:smtp` as `provider smtp`, and a limit with its rate."""
    return str(spoken(in_table(scope)))


def reason_in_words(reason: WaitReason, scope: str, code: str) -> str:
    """What is waited for, in half a sentence."""
    where = scope_in_words(scope)
    match reason:
        case WaitReason.SCHEDULED:
            return say("scheduled for later")
        case WaitReason.DIGEST:
            return say("gathered in a digest")
        case WaitReason.QUIET_HOURS:
            return say("their recipients have quiet hours")
        case WaitReason.QUEUE:
            return say("due, waiting for a worker")
        case WaitReason.RATE_LIMIT:
            return say("the limit of {where} is used up", where=where)
        case WaitReason.CIRCUIT_OPEN:
            return say("the circuit of {where} is open", where=where)
        case WaitReason.BACKOFF:
            return say(
                "to be tried again after {code} at {where}",
                code=code or say("an error"),
                where=where,
            )
        case WaitReason.PAUSED:
            return say("{where} is paused", where=where)
        case WaitReason.RECONCILE:
            return say("the outcome at {where} is unknown", where=where)
