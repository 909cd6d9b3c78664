"""Who may be named as the sender of an e-mail by the keys of a tenant."""

from collections.abc import Collection

from .addresses import AddressError, fold_email, parse_email


def parse_senders(text: str) -> frozenset[str]:
    """The senders in `text`, one on each line: an address, or `@` and a domain for all of it.

    Raises ValueError for a line that is neither.
    """
    return frozenset(_sender(line.strip()) for line in text.splitlines() if line.strip())


def may_send_as(senders: Collection[str], address: str) -> bool:
    """Whether `address` is one of them, or of one of their domains."""
    folded = fold_email(address)
    return folded in senders or folded[folded.index("@") :] in senders


def _sender(line: str) -> str:
    try:
        if line.startswith("@"):
            return fold_email(parse_email(f"any{line}")).removeprefix("any")
        return fold_email(parse_email(line))
    except AddressError as error:
        raise ValueError(
            f"{line!r} is no sender: write shop@example.com or @example.com"
        ) from error
