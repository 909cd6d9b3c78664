"""The product's side of the fake provider: a request each, honest about what became of it."""

import os
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, ClassVar
from urllib.parse import urlsplit

from notifications.enums import Channel
from notifications.messages import Message, Outcome
from notifications.providers.base import OneByOne

POISON = "poison"
"""The body of a message whose rendering takes the whole process along."""


class HTTPProvider(OneByOne[Message]):
    """A connection for each message, so that only what was connected can have been taken."""

    channels = frozenset(Channel)
    known_options: ClassVar[Mapping[str, Callable[[Any], Any]]] = {"URL": str, "HONOURS_KEY": bool}

    def __init__(self, name: str, options: Mapping[str, Any], timeout: float) -> None:
        super().__init__(name, options, timeout)
        self.honours_key = self.options.get("HONOURS_KEY", False)
        self._address = urlsplit(self.options["URL"]).netloc

    def render(self, message: Message) -> Message:
        if message.content["body"] == POISON:
            os._exit(1)
        return message

    def hand_over(self, rendered: Message) -> Outcome:
        until = time.monotonic() + self.timeout
        connection = HTTPConnection(self._address, timeout=self.timeout)
        try:
            connection.connect()
        except OSError:
            return Outcome.transient("unreachable", "No connection was made.")
        try:
            connection.sock.settimeout(max(0.01, until - time.monotonic()))
            connection.request("POST", f"/messages/{rendered.key}/{rendered.attempt}", b"")
            return _sorted(connection.getresponse(), rendered.key)
        except (OSError, HTTPException):
            return Outcome.ambiguous("no_answer", "The connection ended without an answer.")
        finally:
            connection.close()


def _sorted(answer: HTTPResponse, key: str) -> Outcome:
    wish = answer.headers["Retry-After"]
    if answer.status == 200:
        return Outcome.accepted(f"fake-{key}")
    if answer.status == 429:
        return Outcome.throttled("429", retry_after=float(wish or 0))
    if answer.status == 503 and wish:
        return Outcome.transient("503", retry_after=float(wish))
    if answer.status >= 500:
        return Outcome.ambiguous(str(answer.status))
    return Outcome.permanent(str(answer.status))
