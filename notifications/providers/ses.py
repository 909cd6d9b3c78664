"""E-mail through Amazon SES, by its API v2 (`sesv2`)."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import formataddr, parseaddr
from types import MappingProxyType
from typing import Any, ClassVar

from django.conf import settings

from ..addresses import parse_email
from ..enums import Channel
from ..messages import Message, Outcome, Pending, ReceiptRequest, ReportedReceipt
from .base import OneByOne

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        CredentialRetrievalError,
        HTTPClientError,
        NoCredentialsError,
        PartialCredentialsError,
        SSOError,
    )
    from botocore.exceptions import ConnectionError as NoConnectionError

    from .ses_insights import Insights
    from .ses_receipts import TAG, SESReceipts
except ImportError as error:
    raise ImportError(
        'boto3 is not installed: pip install "django-notifications-engine[ses]"'
    ) from error

from . import sns
from .http import (
    KEPT_CONNECTIONS,
    retry_after,
    secret_option,
    taken,
    timeouts,
    unanswered,
    url_option,
)
from .mime import full_email
from .one_click import as_lines, one_click
from .skeleton import to_wire

QUOTA_SECONDS = 600.0
"""The quota is that of the last 24 hours, so a spent one comes back bit by bit; AWS advises to ask
again within 10 minutes: https://docs.aws.amazon.com/ses/latest/dg/manage-sending-quotas-errors.html
"""

LOOK_UP_SECONDS = 3.0
"""The most that one question to SES may take on which no delivery depends."""

TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?")

TOO_FAST = frozenset(
    {"TooManyRequestsException", "Throttling", "ThrottlingException", "RequestLimitExceeded"}
)

NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    SSOError,
)

CREDENTIALS = Outcome.transient("credentials", "AWS does not accept our credentials.")
PAUSED = Outcome.transient("account_paused", "SES lets the account send nothing for now.")
QUOTA = Outcome.throttled("daily_quota", "The daily quota of the account is spent.", QUOTA_SECONDS)

BY_TEXT: Mapping[str, Outcome] = MappingProxyType(
    {
        "daily message quota exceeded": QUOTA,
        "sending suspended": PAUSED,
        "sending paused": PAUSED,
        "not verified": Outcome.transient(
            "not_verified", "The sender is not verified in this region, or it is in the sandbox."
        ),
    }
)
"""What SES tells apart by its words alone. These are all our fault, never the recipient's."""

BY_CODE: Mapping[str, Outcome] = MappingProxyType(
    {
        "LimitExceededException": QUOTA,
        "AccountSuspendedException": PAUSED,
        "SendingPausedException": PAUSED,
        "MailFromDomainNotVerifiedException": Outcome.transient(
            "mail_from_domain", "The MAIL FROM domain of the sender is not verified."
        ),
        "NotFoundException": Outcome.transient(
            "configuration_set", "SES does not know the configuration set."
        ),
        "MessageRejected": Outcome.permanent("message_rejected", "SES rejected the message."),
        "RequestExpired": CREDENTIALS,  # AWS answers these with 400, not 403
        "IncompleteSignature": CREDENTIALS,
    }
)
"""https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html#API_SendEmail_Errors"""


def _sender(value: Any) -> str:
    name, address = parseaddr(value if isinstance(value, str) else "")
    try:
        return formataddr((name, parse_email(address)))
    except ValueError:
        raise ValueError("write shop@example.com or Shop <shop@example.com>") from None


def _name(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", value):
        raise ValueError("it must be 1 to 64 letters, digits, _ and -")
    return value


def _topics(value: Any) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(
        isinstance(name, str) and TOPIC.fullmatch(name.strip()) for name in names
    ):
        raise ValueError("write ARNs such as arn:aws:sns:eu-west-1:123456789012:ses-events")
    return tuple(name.strip() for name in names)


def _yes_or_no(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("it must be True or False")
    return value


class SESProvider(OneByOne[dict[str, Any]]):
    """Sends by SES's SendEmail, and asks once: SES has no keys that would make a second try safe.

    Options: `FROM`, by default Django's DEFAULT_FROM_EMAIL; `REGION`, `ACCESS_KEY_ID` and
    `SECRET_ACCESS_KEY`, by default what boto3 finds by itself; `CONFIGURATION_SET`, through which
    SES publishes its events; `RECEIPT_TOPICS`, the ARNs of the SNS topics that may report them;
    `ENDPOINT_URL` for another address of the API; `MESSAGE_INSIGHTS`, so that SES is asked what
    became of messages, which takes its Virtual Deliverability Manager.

    SES gives each message a Message-ID of its own; one that was sent twice is recognised by its
    `X-Notification-ID`.
    """

    channels = frozenset({Channel.EMAIL})
    concurrency = 10
    known_options: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "FROM": _sender,
        "REGION": _name,
        "CONFIGURATION_SET": _name,
        "RECEIPT_TOPICS": _topics,
        "ENDPOINT_URL": url_option,
        "MESSAGE_INSIGHTS": _yes_or_no,
        "ACCESS_KEY_ID": secret_option,
        "SECRET_ACCESS_KEY": secret_option,
    }

    def __init__(self, name: str, options: Mapping[str, Any], timeout: float) -> None:
        super().__init__(name, options, timeout)
        self.sender: str = self.options.get("FROM") or _sender(settings.DEFAULT_FROM_EMAIL)
        self.reports_delivery = "CONFIGURATION_SET" in self.options
        self.can_look_up = self.options.get("MESSAGE_INSIGHTS", False)
        self._client = self._new_client(timeout)
        self._insights = self._new_insights() if self.can_look_up else None
        self._receipts = SESReceipts(self.options.get("RECEIPT_TOPICS", ()), sns.fetch)

    @classmethod
    def problems(cls, options: Mapping[str, Any]) -> list[str]:
        # Django's own address is an option like any other when none is given.
        wrong = super().problems(options) or super().problems(
            {"FROM": settings.DEFAULT_FROM_EMAIL, **options}
        )
        return wrong or _missing(options)

    def render(self, message: Message) -> dict[str, Any] | Outcome:
        try:
            request = _request(message, self.sender)
        except ValueError:
            return Outcome.permanent(
                "invalid_message", "No e-mail can be made of this recipient, subject and text."
            )
        if self.reports_delivery:
            request["ConfigurationSetName"] = self.options["CONFIGURATION_SET"]
        return request

    def hand_over(self, rendered: dict[str, Any]) -> Outcome:
        try:
            answer = self._client.send_email(**rendered)
        except ClientError as error:
            return _refusal(error)
        except NO_CREDENTIALS:
            return CREDENTIALS
        except (HTTPClientError, NoConnectionError) as error:
            return unanswered(error)
        return taken(answer.get("MessageId"))

    def look_up(
        self, message: Message, began: datetime, note: str = ""
    ) -> Outcome | Pending | None:
        return self._insights.look_up(message, began, note) if self._insights else None

    def read_receipts(self, request: ReceiptRequest) -> list[ReportedReceipt]:
        return self._receipts.read(request)

    def close(self) -> None:
        super().close()
        self._client.close()
        if self._insights:
            self._insights.close()

    def _new_insights(self) -> Insights:
        # Asked beside a worker's other duties, which are not to wait as long as a delivery may.
        client = self._new_client(min(self.timeout, LOOK_UP_SECONDS))
        return Insights(client, self.options.get("ENDPOINT_URL", ""))

    def _new_client(self, timeout: float) -> Any:
        """A client of boto3's: making it takes long, and all threads may share it."""
        connect, read = timeouts(timeout)
        config = Config(
            connect_timeout=connect,
            read_timeout=read,
            retries={"total_max_attempts": 1},  # left to itself it sends again after a timeout
            max_pool_connections=KEPT_CONNECTIONS,
        )
        return boto3.session.Session().client(
            "sesv2",
            region_name=self.options.get("REGION"),
            endpoint_url=self.options.get("ENDPOINT_URL"),
            aws_access_key_id=self.options.get("ACCESS_KEY_ID"),
            aws_secret_access_key=self.options.get("SECRET_ACCESS_KEY"),
            config=config,
        )


def _missing(options: Mapping[str, Any]) -> list[str]:
    if ("ACCESS_KEY_ID" in options) != ("SECRET_ACCESS_KEY" in options):
        return ['"ACCESS_KEY_ID" and "SECRET_ACCESS_KEY" go together: set both, or neither.']
    try:
        region = options.get("REGION") or boto3.session.Session().region_name
    except BotoCoreError as error:  # such as AWS_PROFILE naming a profile that there is not
        return [f"boto3 finds no usable configuration: {error}"]
    return [] if region else ['No region is set: add "REGION", such as "eu-west-1".']


def _request(message: Message, sender: str) -> dict[str, Any]:
    if message.content.keys() & RAW:
        return _raw_request(message, sender)
    content = message.content
    answers = content.get("reply_to", ())
    request = _simple_request(message, _sender(content["from"]) if "from" in content else sender)
    return request | {"ReplyToAddresses": [_sender(to) for to in answers]} if answers else request


RAW = frozenset({"mime", "attachments", "headers"})
"""What SES is given whole messages for."""


def _raw_request(message: Message, sender: str) -> dict[str, Any]:
    """A whole message; who it is from stands in it, who gets it beside it."""
    if "mime" in message.content:
        data = message.mime
    else:
        built = to_wire(full_email(message, sender).message().as_bytes())
        data = as_lines(one_click(message.unsubscribe_url)) + built
    if not data:
        raise ValueError
    return {
        "Destination": {"ToAddresses": list(message.envelope)},
        "Content": {"Raw": {"Data": data}},
        "EmailTags": [{"Name": TAG, "Value": message.key}],
    }


def _destination(message: Message) -> dict[str, list[str]]:
    left, content = message.envelope, message.content
    lists = {
        "ToAddresses": (message.to,),
        "CcAddresses": content.get("cc", ()),
        "BccAddresses": content.get("bcc", ()),
    }
    found = {name: [parse_email(to) for to in many if to in left] for name, many in lists.items()}
    return {name: addresses for name, addresses in found.items() if addresses}


def _simple_request(message: Message, sender: str) -> dict[str, Any]:
    parts = (("Text", "body"), ("Html", "html"))
    body = {part: _text(message.content[key]) for part, key in parts if message.content.get(key)}
    return {
        "FromEmailAddress": sender,
        "Destination": _destination(message),
        "Content": {
            "Simple": {
                "Subject": _text(message.content.get("subject")),
                "Body": body or {"Text": _text("")},
                "Headers": [
                    {"Name": name, "Value": value}
                    for name, value in [
                        ("X-Notification-ID", message.key),
                        *one_click(message.unsubscribe_url).items(),
                    ]
                ],
            }
        },
        "EmailTags": [{"Name": TAG, "Value": message.key}],
    }


def _text(value: Any) -> dict[str, str]:
    if not isinstance(value, str):
        raise ValueError
    value.encode()  # half of a surrogate pair is a ValueError too
    return {"Data": value, "Charset": "UTF-8"}


def _refusal(error: ClientError) -> Outcome:
    """What an answer other than success comes to; its text is not kept, it quotes addresses."""
    if error.operation_name != "SendEmail":  # boto3 asked another service for credentials first
        return CREDENTIALS
    code, text = (str(error.response["Error"].get(key)) for key in ("Code", "Message"))
    for words, outcome in BY_TEXT.items():
        if words in text.lower():
            return outcome
    return BY_CODE.get(code) or _by_status(code, error.response["ResponseMetadata"])


def _by_status(code: str, metadata: Mapping[str, Any]) -> Outcome:
    status, wait = metadata["HTTPStatusCode"], retry_after(metadata["HTTPHeaders"])
    if code in TOO_FAST or status == 429:
        return Outcome.throttled("throttled", "SES takes no more messages a second.", wait)
    if status in (401, 403):
        return CREDENTIALS
    if status == 503 and wait is not None:
        return Outcome.transient("ses_503", "SES is not available, and says until when.", wait)
    if 400 <= status < 500:
        return Outcome.permanent(f"ses_{status}", f"SES refused the message with {status}.")
    return Outcome.ambiguous(f"ses_{status}", f"SES answered {status}, and may have taken it.")
