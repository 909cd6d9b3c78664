"""Which of a notification's recipients a receipt is about, and what it says of the notification.

Most notifications have one recipient, and whatever is told is of that one. Of several, each fares
in a way of its own: the notification fares as its `to` does.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple
from uuid import UUID

from ..addresses import AddressError
from ..channels import CHANNELS
from ..enums import Channel, ReceiptState
from ..messages import ProviderReceipt, recipients_of
from ..models import Notification

LISTS = ("to", "cc", "bcc")
"""Where the content of a notification has its further recipients."""


class Parties(NamedTuple):
    """Everybody whom a notification goes to; `to` is the one that it is known by."""

    channel: str
    to: str
    everybody: tuple[str, ...]

    @property
    def are_several(self) -> bool:
        return len(self.everybody) > 1

    def meant(self, named: str) -> str:
        """Whom a provider means by `named`; empty where that cannot be told.

        Nobody but a recipient of the notification is ever meant, whatever is named.
        """
        if not self.are_several:
            return self.everybody[0]
        wanted = _folded(self.channel, named)
        return next((to for to in self.everybody if _folded(self.channel, to) == wanted), "")

    def weigh(self, receipt: ProviderReceipt) -> ReceiptState:
        """What a receipt says of the notification as a whole.

        What is told of a copy, or of somebody unknown, proves that the provider has the message,
        and nothing of how its `to` fares.
        """
        is_of_all = not self.are_several or not receipt.recipient
        if is_of_all or self.meant(receipt.recipient) == self.to:
            return receipt.kind
        return min(receipt.kind, ReceiptState.ACCEPTED)


def parties_of(row: Notification) -> Parties:
    """Those of a row whose content has been read."""
    return Parties(row.channel, row.to, recipients_of(row.to, row.content))


def read_parties(ids: Collection[UUID]) -> Mapping[UUID, Parties]:
    """Those of the notifications with these ids, without the rest of their content."""
    if not ids:
        return {}
    lists = [f"content__{name}" for name in LISTS]
    rows = Notification.objects.filter(pk__in=ids).values_list("pk", "channel", "to", *lists)
    return {
        id: Parties(channel, to, recipients_of(to, _given(found)))
        for id, channel, to, *found in rows
    }


def _given(found: Collection[list[str] | None]) -> dict[str, list[str]]:
    return {name: given for name, given in zip(LISTS, found, strict=True) if given}


def _folded(channel: str, address: str) -> str:
    row = CHANNELS[Channel(channel)]
    try:
        return row.fold(row.parse_to(address))
    except AddressError:  # Django's mail API takes a few that we would not
        return row.fold(address)
