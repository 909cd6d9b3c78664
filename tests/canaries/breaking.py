"""A provider as bad as they come: what it raises holds all that it was given."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from notifications.enums import Channel
from notifications.messages import Message, Outcome
from notifications.providers.base import Provider


class BreakingProvider(Provider):
    channels = frozenset(Channel)
    known_options: ClassVar[Mapping[str, Callable[[Any], Any]]] = {"PASSWORD": str}

    def send(self, messages: Sequence[Message], deadline: float) -> list[Outcome]:
        if any(message.metadata.get("break") == "provider" for message in messages):
            told = [(message.to, message.content, message.metadata) for message in messages]
            raise ValueError(f"cannot log in with {self.options['PASSWORD']} to send {told}")
        return [Outcome.transient("busy", f"no room for {message.to}") for message in messages]
