"""What Twilio has of a message that was sent without an answer.

Twilio keeps no id of ours with a message, so its list is searched for the one that went to that
number with that text at that time. Its absence proves nothing: the list may lag behind.
https://www.twilio.com/docs/messaging/api/message-resource#read-multiple-message-resources
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from ..enums import ReceiptState
from ..messages import Outcome, ProviderReceipt
from .reports import text_of
from .twilio_receipts import KINDS, code_of, event_id

PAGE = 100
"""How many of the number's latest messages are looked through."""

SLACK = timedelta(seconds=5)
"""How far Twilio's clock may be from ours; it tells whole seconds."""

FIELDS = {"From": "from", "MessagingServiceSid": "messaging_service_sid"}


@dataclass(frozen=True, slots=True)
class Sought:
    """An attempt to send `body`, which began at `began` and lasted `seconds` at most."""

    to: str
    body: str
    sender: Mapping[str, str]
    began: datetime
    seconds: float

    def query(self) -> dict[str, str]:
        return {"To": self.to, "PageSize": str(PAGE)}

    def found_in(self, said: Mapping[str, Any]) -> Outcome | None:
        """The one message that fits, accepted and with what became of it; None without one."""
        fitting = [each for each in _messages(said) if self._fits(each)]
        return _outcome(fitting[0]) if len(fitting) == 1 else None

    def _fits(self, message: Mapping[str, Any]) -> bool:
        [(name, sender)] = self.sender.items()
        return (
            text_of(message, "direction") == "outbound-api"
            and text_of(message, "to") == self.to
            and text_of(message, "body") == self.body
            and text_of(message, FIELDS[name]) == sender
            and text_of(message, "sid") != ""
            and self._is_of_then(text_of(message, "date_created"))
        )

    def _is_of_then(self, date: str) -> bool:
        try:
            created = parsedate_to_datetime(date)
        except ValueError:
            return False
        if created.tzinfo is None:
            return False
        return self.began - SLACK <= created <= self.began + timedelta(seconds=self.seconds) + SLACK


def _messages(said: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    found = said.get("messages")
    return (each for each in (found if isinstance(found, list) else ()) if isinstance(each, dict))


def _outcome(message: Mapping[str, Any]) -> Outcome:
    sid, status = text_of(message, "sid"), text_of(message, "status")
    kind = KINDS.get(status, ReceiptState.NONE)
    if kind is ReceiptState.NONE:
        return Outcome.accepted(sid)
    is_lost = kind is ReceiptState.UNDELIVERED
    code = code_of(str(message.get("error_code") or "")) if is_lost else ""
    return Outcome.accepted(sid, (ProviderReceipt(kind, event_id(sid, status), code=code),))
