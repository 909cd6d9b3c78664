"""Twilio's error codes, sorted by what they mean for a message.

Each is explained at `LINK`, which stands in the detail of its outcome. Twilio adds codes and
splits old ones up; what is not in the table goes by the HTTP status alone.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from ..enums import AttemptOutcome
from ..messages import Outcome

LINK = "https://www.twilio.com/docs/api/errors/{}"

# Our fault, and every message would meet it: another provider may take it meanwhile.
CREDENTIALS = Outcome.transient("credentials", "it does not accept our credentials")
PAUSED = Outcome.transient("account_paused", "the account is not active")
SENDER = Outcome.transient("sender", "the account cannot send from what is set as ours")
TRIAL = Outcome.transient("not_verified", "a trial account sends to verified numbers")

# Too fast or not now: nothing was processed.
TOO_FAST = Outcome.throttled("throttled", "it takes no more requests for now")
QUEUE_FULL = Outcome.throttled("queue_full", "the queue of our sender is full", 60.0)
LOOP = Outcome.transient("loop", "too many between the same two numbers for now")
MAINTENANCE = Outcome.transient("maintenance", "it is under maintenance")

# The recipient's or the content's: it will never be otherwise.
NUMBER = Outcome.permanent("invalid_number", "no message can reach the number")
REGION = Outcome.permanent("region", "the account may not send to that region")
ROUTE = Outcome.permanent("no_route", "there is no way from our sender to the number")
UNSUBSCRIBED = Outcome.permanent("unsubscribed", "the recipient has opted out")
TOO_LONG = Outcome.permanent("too_long", "the text is too long")
BLOCKED = Outcome.permanent("blocked", "the message was blocked")
REFUSED = Outcome.permanent("refused", "the message was refused")

ERRORS: Mapping[int, Outcome] = MappingProxyType(
    {
        10001: PAUSED,
        14107: LOOP,
        20003: CREDENTIALS,
        20005: PAUSED,
        20006: CREDENTIALS,
        20008: CREDENTIALS,
        20403: PAUSED,
        20404: CREDENTIALS,
        20429: TOO_FAST,
        21211: NUMBER,
        21212: SENDER,
        21214: NUMBER,
        21217: NUMBER,
        21265: NUMBER,
        21266: NUMBER,
        21408: REGION,
        21601: SENDER,
        21603: SENDER,
        21606: SENDER,
        21608: TRIAL,
        21610: UNSUBSCRIBED,
        21611: QUEUE_FULL,
        21612: ROUTE,
        21614: NUMBER,
        21617: TOO_LONG,
        21635: NUMBER,
        21659: SENDER,
        21660: SENDER,
        21661: SENDER,
        21703: SENDER,
        21705: SENDER,
        21730: MAINTENANCE,
        30001: QUEUE_FULL,
        30002: PAUSED,
        30005: NUMBER,
        30006: NUMBER,
        30007: BLOCKED,
    }
)

BY_STATUS: Mapping[int, Outcome] = MappingProxyType(
    # Address and credentials are the same for every message: it is no message's fault.
    {401: CREDENTIALS, 403: CREDENTIALS, 404: CREDENTIALS, 429: TOO_FAST}
)


def refused(status: int, error: int | None, wait: float | None) -> Outcome:
    """What an answer other than success comes to; `error` is Twilio's code, `wait` Retry-After.

    Twilio processes nothing that it answers with 429, but says no such thing of a 5xx: only one
    that names a time to come back is taken for a refusal.
    """
    if status == 503 and wait is not None:
        return Outcome.transient("http_503", "Twilio is not available, and says until when.", wait)
    if not 400 <= status < 500:
        return Outcome.ambiguous(f"http_{status}", f"Twilio answered {status}: it may have it.")
    meaning = BY_STATUS[429] if status == 429 else ERRORS.get(error or 0) or BY_STATUS.get(status)
    return _explained(meaning or REFUSED, status, error, wait)


def _explained(meaning: Outcome, status: int, error: int | None, wait: float | None) -> Outcome:
    source = f"Twilio error {error} ({LINK.format(error)})" if error else f"Twilio's {status}"
    explained = replace(meaning, detail=f"{source}: {meaning.detail}.")
    if wait is None or meaning.kind == AttemptOutcome.PERMANENT:
        return explained
    return replace(explained, retry_after=wait)
