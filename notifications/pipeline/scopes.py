"""What a limit, a pause or a circuit is laid on, as people say it."""

from ..enums import Scope
from ..labels import Phrase, phrase

PACE = "pace"
"""In the place of a rate: how far a provider has slowed us down."""


def in_words(scope: str) -> Phrase:
    """`channel:email` as `channel email`, and a limit's key as `of channel email (50/s)`."""
    kind, _, rest = scope.partition(":")
    name, _, rate = rest.partition(":")
    what = _named(kind, name)
    if not rate:
        return what
    if rate == PACE:
        return phrase("of {what} (slowed down, as it refuses)", what=what)
    return phrase("of {what} ({rate})", what=what, rate=rate)


def in_table(scope: str) -> Phrase:
    """`channel:email:50/s` as `channel email, 50/s`: where it stands alone."""
    kind, _, rest = scope.partition(":")
    name, _, rate = rest.partition(":")
    what = _named(kind, name)
    return phrase("{what}, {rate}", what=what, rate=rate) if rate else what


def _named(kind: str, name: str) -> Phrase:
    match kind:
        case Scope.CHANNEL:
            return phrase("channel {name}", name=name)
        case Scope.PROVIDER:
            return phrase("provider {name}", name=name)
        case Scope.TENANT:
            return phrase("tenant {name}", name=name)
        case Scope.TEMPLATE:
            return phrase("template {name}", name=name)
        case "endpoint":
            return phrase("endpoint {name}", name=name)
        case "digest":
            return phrase("digest {name}", name=name)
    return phrase("{kind} {name}", kind=kind, name=name)
