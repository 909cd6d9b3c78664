"""What has reached a scripted provider, and so would have reached its recipient."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload
from uuid import UUID

from ..messages import Message
from ..models import Notification


@dataclass(frozen=True, slots=True)
class Sent:
    """One message that `provider` took; `message` is all that it was handed."""

    provider: str
    message: Message

    @property
    def channel(self) -> str:
        return self.message.channel.value

    @property
    def tenant(self) -> str:
        return self.message.tenant

    @property
    def to(self) -> str:
        return self.message.to

    @property
    def content(self) -> dict[str, Any]:
        """The channel's own: subject, body, html; or event, payload."""
        return dict(self.message.content)

    @property
    def subject(self) -> str | None:
        return self.message.content.get("subject")

    @property
    def body(self) -> str | None:
        return self.message.content.get("body")

    @property
    def html(self) -> str | None:
        return self.message.content.get("html")

    @property
    def payload(self) -> Any:
        return self.message.content.get("payload")

    @property
    def attempt(self) -> int:
        """Which attempt it was, counting from 1."""
        return self.message.attempt

    @property
    def notification(self) -> Notification:
        """The notification as it is now."""
        return Notification.objects.get(pk=self.message.key)


class Outbox(Sequence[Sent]):
    """What was sent by this process, in order, of the notifications that still exist.

    Their rows go with the transaction of a test, and what was sent of them goes along: no test sees
    anything of another, whether or not somebody clears it in between.
    """

    def __init__(self) -> None:
        self._sent: list[Sent] = []

    def add(self, sent: Sent) -> None:
        self._sent.append(sent)

    def has(self, provider: str, key: str) -> bool:
        """Whether `provider` has taken the message with this key before."""
        return any(s.provider == provider and s.message.key == key for s in self._sent)

    def clear(self) -> None:
        """Forget everything."""
        self._sent.clear()

    def __len__(self) -> int:
        return len(self._kept())

    @overload
    def __getitem__(self, index: int) -> Sent: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Sent]: ...
    def __getitem__(self, index: int | slice) -> Sent | Sequence[Sent]:
        return self._kept()[index]

    def __iter__(self) -> Iterator[Sent]:
        return iter(self._kept())

    def __repr__(self) -> str:
        return f"<Outbox: {len(self)} sent>"

    def _kept(self) -> list[Sent]:
        if self._sent:
            keys = [UUID(sent.message.key) for sent in self._sent]
            found = Notification.objects.filter(pk__in=keys).values_list("pk", flat=True)
            there = {str(pk) for pk in found}
            self._sent = [sent for sent in self._sent if sent.message.key in there]
        return list(self._sent)


outbox = Outbox()
"""The one of this process."""
