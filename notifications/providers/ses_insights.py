"""What became of a message of SES's whose answer, and with it SES's id, was lost.

SES looks a message up by nothing but its own id, and exports the messages that went to a recipient
at a time: so ids are exported, and each is asked for its tags. What has the tag with our id is the
message. An export takes a while, and the name of its job is the note that the next look-up gets.

https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_CreateExportJob.html
https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_GetMessageInsights.html
"""

import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from ..enums import ReceiptState
from ..messages import Message, Outcome, Pending, ProviderReceipt
from .download import FetchFailed, download, is_at
from .ses_receipts import COMPLAINT, ON_LIST, TAG

logger = logging.getLogger(__name__)

SECONDS = 4.0
"""After so long a look-up begins nothing more; what is left is asked for in the next one."""

FILE_MAX = 1024 * 1024
MESSAGES_MAX = 50
"""The most that an export lists."""

RECIPIENTS_MAX = 5
"""The most that an export is filtered by."""

MARGIN = timedelta(minutes=1)
"""How far our clock and the one of SES may be apart."""

LONGEST = timedelta(minutes=5)
"""How long after an attempt began its message may have got to SES: more than a lease lasts."""

MESSAGE_ID = re.compile(
    r"(?<![\w-])[0-9a-f]{16}-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-[0-9]{6}(?![\w-])"
)
"""No page of AWS tells how the file is laid out (2026-11), but all ids of SES have this shape.

Whatever else in the file has it is asked for in vain.
"""

S3_HOST = re.compile(
    r"([a-z0-9-]+\.)*s3(-[a-z0-9-]+)?(\.dualstack)?(\.[a-z]{2}(-[a-z]+)+-[0-9])?"
    r"\.amazonaws\.com(\.cn)?"
)

UNDER_WAY = frozenset({"CREATED", "PROCESSING"})
PASSING = frozenset({"TooManyRequestsException", "LimitExceededException", "ThrottlingException"})

R = ReceiptState
EVENTS: Mapping[str, tuple[ReceiptState, str]] = MappingProxyType(
    {
        "SEND": (R.ACCEPTED, ""),
        "DELIVERY_DELAY": (R.IN_TRANSIT, "delayed"),
        "DELIVERY": (R.DELIVERED, ""),
        "COMPLAINT": (R.DELIVERED, COMPLAINT),
        "REJECT": (R.UNDELIVERED, "rejected"),
        "RENDERING_FAILURE": (R.UNDELIVERED, "render_error"),
        "BOUNCE": (R.UNDELIVERED, "soft_bounce"),
    }
)
"""Each event of a message with what it says, and why; as in `ses_receipts`."""


class Insights:
    """Asks with `client`, one of `sesv2`; files may also be at `endpoint`, where that is set."""

    def __init__(self, client: Any, endpoint: str = "") -> None:
        self._client, self._endpoint = client, endpoint

    def look_up(self, message: Message, began: datetime, note: str) -> Outcome | Pending | None:
        """As a provider's; a `note` is the name of a job and how many of its messages were asked.

        None, which begins anew the next time, where they do not have the message. That proves
        nothing: insights come late, and not of all messages.
        """
        try:
            return self._go_on(message, note) if note else self._begin(message, began)
        except ClientError as error:
            return _refused(error, note)
        except (BotoCoreError, ResponseParserError) as error:
            logger.warning("SES was asked in vain: %s", type(error).__name__)
            return Pending(note)

    def close(self) -> None:
        self._client.close()

    def _begin(self, message: Message, began: datetime) -> Pending:
        until = min(began + LONGEST, datetime.now(UTC))  # a time to come may be refused
        wanted = {
            "StartDate": began - MARGIN,
            "EndDate": until,
            "Include": {"Destination": list(message.envelope[:RECIPIENTS_MAX])},
            "MaxResults": MESSAGES_MAX,
        }
        job = self._client.create_export_job(
            ExportDataSource={"MessageInsightsDataSource": wanted},
            ExportDestination={"DataFormat": "JSON"},
        )
        return Pending(str(job.get("JobId") or ""))

    def _go_on(self, message: Message, note: str) -> Outcome | Pending | None:
        deadline = time.monotonic() + SECONDS
        name, _, asked = note.partition(" ")
        job = self._client.get_export_job(JobId=name)
        if job.get("JobStatus") in UNDER_WAY:
            return Pending(note)
        if job.get("JobStatus") != "COMPLETED":
            logger.warning("SES could not export messages: %s", job.get("JobStatus"))
            return None
        ids = self._exported(job.get("ExportDestination", {}).get("S3Url", ""))
        begin = int(asked or 0)
        for count, id in enumerate(ids[begin:], begin):
            if time.monotonic() > deadline:
                return Pending(f"{name} {count}")
            try:
                said = self._said(id)
            except ClientError as error:
                return _refused(error, f"{name} {count}")
            if _tag(said) == message.key:
                return Outcome.accepted(id, tuple(_receipts(id, said)))
        return None

    def _exported(self, url: str) -> list[str]:
        """The ids in the file; none where it cannot be had, as when its time is over."""
        if not is_of_s3(url) and not self._is_at_endpoint(url):
            logger.warning("the file of an export is not at Amazon S3: it is not asked for")
            return []
        try:
            text = download(url, FILE_MAX, SECONDS).decode(errors="replace")
        except FetchFailed as error:
            logger.warning("the file of an export could not be had: %s", error)
            return []
        return list(dict.fromkeys(MESSAGE_ID.findall(text)))[:MESSAGES_MAX]

    def _said(self, id: str) -> Mapping[str, Any]:
        """What is known of a message; nothing, where SES does not know it yet."""
        try:
            said: Mapping[str, Any] = self._client.get_message_insights(MessageId=id)
        except self._client.exceptions.NotFoundException:
            return {}
        return said

    def _is_at_endpoint(self, url: str) -> bool:
        return bool(self._endpoint) and urlsplit(url)[:2] == urlsplit(self._endpoint)[:2]


def is_of_s3(url: str) -> bool:
    """Whether Amazon S3 itself answers there."""
    return is_at(url, S3_HOST)


def _refused(error: ClientError, note: str) -> Pending | None:
    """To be asked again soon, where it was too often or not our fault; or anew."""
    code = str(error.response["Error"].get("Code"))
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    if code in PASSING or status == 429 or status >= 500:
        return Pending(note)
    logger.warning("SES refuses to say what became of messages: %s", code)
    return None


def _tag(said: Mapping[str, Any]) -> str:
    """Our id."""
    tags: Sequence[Mapping[str, str]] = said.get("EmailTags") or ()
    return next((tag.get("Value", "") for tag in tags if tag.get("Name") == TAG), "")


def _receipts(id: str, said: Mapping[str, Any]) -> Iterator[ProviderReceipt]:
    """What happened to it, with each of its recipients."""
    for place, insight in enumerate(said.get("Insights") or ()):
        for event in insight.get("Events") or ():
            kind, code = _meaning(event)
            if kind:
                at = event.get("Timestamp")
                yield ProviderReceipt(
                    kind=kind,
                    event_id=f"{id}:{place}:{event['Type']}:{at and at.timestamp():.0f}",
                    occurred_at=at and at.astimezone(UTC),
                    code=code,
                    recipient=insight.get("Destination", ""),
                )


def _meaning(event: Mapping[str, Any]) -> tuple[ReceiptState, str]:
    details = event.get("Details", {})
    if details.get("Bounce", {}).get("BounceType") == "PERMANENT":
        return R.BOUNCED, "bounce"
    if details.get("Complaint", {}).get("ComplaintSubType") == ON_LIST:
        return R.UNDELIVERED, COMPLAINT
    return EVENTS.get(event.get("Type", ""), (R.NONE, ""))
