"""What Anymail's answers and errors come to.

Anymail tells all providers' answers in one way, but keeps their HTTP status: that is what sorts
them, and for Postmark, which refuses everything with 422, the code in its answer.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from anymail.exceptions import (
    AnymailAPIError,
    AnymailError,
    AnymailRecipientsRefused,
    AnymailSerializationError,
    AnymailUnsupportedFeature,
)
from anymail.message import AnymailStatus

from ..messages import Outcome
from .http import retry_after, taken, unanswered

CREDENTIALS = Outcome.transient("credentials", "The provider does not accept our credentials.")
ACCOUNT = Outcome.transient("account_paused", "The provider lets the account send nothing for now.")
SENDER = Outcome.transient("sender", "The provider does not let the account send from our address.")
REFUSED = Outcome.permanent("recipient_refused", "The provider sends nothing to this recipient.")

BY_STATUS: Mapping[int, Outcome] = MappingProxyType(
    {
        401: CREDENTIALS,
        402: ACCOUNT,
        403: CREDENTIALS,
        404: Outcome.transient("not_found", "The provider knows no such domain or address."),
        408: Outcome.transient("http_408", "The provider did not get the whole request in time."),
    }
)
"""What would meet every message alike is not the end of one."""

TOO_FAST = frozenset({420, 429})  # 420 is SparkPost's

POSTMARK: Mapping[int, Outcome] = MappingProxyType(
    {
        10: CREDENTIALS,
        400: SENDER,
        401: SENDER,
        405: ACCOUNT,
        412: ACCOUNT,
        413: ACCOUNT,
    }
)
"""https://postmarkapp.com/developer/api/overview#error-codes (read 2026-11)"""

TAKEN = frozenset({"sent", "queued", "unknown"})


def sent(status: AnymailStatus, count: int) -> Outcome:
    """A call that raised nothing: `count` were sent."""
    if not count:
        return Outcome.permanent("cancelled", "A receiver of Anymail's signal pre_send cancelled.")
    # Postmark's refusal of a recipient that Anymail does not find in its words is "unknown".
    if status.esp_response.status_code >= 400 or not status.status & TAKEN:
        return REFUSED
    return taken(_message_id(status))


def _message_id(status: AnymailStatus) -> Any:
    """That of the first recipient that was taken: some providers have one for each."""
    taken_for = (each for each in status.recipients.values() if each.status in TAKEN)
    return next((each.message_id for each in taken_for if each.message_id), None)


def failed(error: AnymailError) -> Outcome:
    """An error that Anymail raised; its text is not kept, it quotes addresses and answers."""
    if isinstance(error, AnymailRecipientsRefused):
        return REFUSED
    if isinstance(error, AnymailUnsupportedFeature):
        return Outcome.permanent("unsupported", "The provider's API does not carry such a message.")
    if isinstance(error, ValueError | AnymailSerializationError):
        return Outcome.permanent(
            "invalid_message", "No e-mail can be made of this recipient, subject and text."
        )
    if not isinstance(error, AnymailAPIError):
        raise error
    return unanswered(error) if error.response is None else _refusal(error)


def _refusal(error: AnymailAPIError) -> Outcome:
    status, wait = error.response.status_code, retry_after(error.response.headers)
    if status in TOO_FAST:
        return Outcome.throttled("throttled", "The provider takes no more messages for now.", wait)
    if status == 503 and wait is not None:
        return Outcome.transient(
            "http_503", "The provider is not available, and says until when.", wait
        )
    if 400 <= status < 500:
        return _by_code(error) or BY_STATUS.get(status) or _refused(status)
    if 200 <= status < 300:
        return taken(None)
    return Outcome.ambiguous(
        f"http_{status}", f"The provider answered {status}, and may have taken it."
    )


def _by_code(error: AnymailAPIError) -> Outcome | None:
    return POSTMARK.get(_code(error.response)) if error.esp_name == "Postmark" else None


def _code(response: Any) -> int:
    try:
        return int(response.json()["ErrorCode"])
    except (ValueError, KeyError, TypeError):
        return 0


def _refused(status: int) -> Outcome:
    return Outcome.permanent(f"http_{status}", f"The provider refused the message with {status}.")
