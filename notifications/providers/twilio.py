"""SMS through Twilio's Messages resource."""

import json
import logging
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar, TypeGuard
from urllib.parse import urlencode, urlsplit

from ..addresses import E164
from ..enums import Channel
from ..messages import Message, Outcome, ReceiptRequest, ReportedReceipt
from .base import OneByOne

try:
    import requests
    from requests.adapters import HTTPAdapter
    from twilio.http import HttpClient
    from twilio.http.response import Response
    from twilio.rest import Client
except ImportError as error:
    raise ImportError(
        'twilio is not installed: pip install "django-notifications-engine[twilio]"'
    ) from error

from . import twilio_receipts
from .http import (
    KEPT_CONNECTIONS,
    retry_after,
    secret_option,
    taken,
    timeouts,
    unanswered,
    url_option,
)
from .twilio_errors import refused
from .twilio_lookup import Sought
from .twilio_receipts import CALLBACK_KEY

logger = logging.getLogger(__name__)

API = "https://api.twilio.com"

NUMBER, SHORT_CODE = E164.pattern, "[0-9]{3,8}"
NAME = "(?=.*[A-Za-z])[A-Za-z0-9 +_&-]{1,11}"
SENDER = re.compile(f"{NUMBER}|{SHORT_CODE}|{NAME}")

NO_ENVIRONMENT = {"TWILIO_REGION": ""}
"""For the SDK, which reads the process's own when it is given none."""


def _sid(prefix: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not re.fullmatch(f"{prefix}[0-9a-fA-F]{{32}}", value):
            raise ValueError(f"it must be {prefix} and 32 hexadecimal digits")
        return value

    return check


def _sender(value: Any) -> str:
    if not isinstance(value, str) or not SENDER.fullmatch(value):
        raise ValueError("write a number such as +14155550123, a short code, or a name of up to 11")
    return value


def _place(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("[a-z0-9-]+", value):
        raise ValueError("write a name of Twilio's, such as dublin or ie1")
    return value


class TwilioProvider(OneByOne[dict[str, str]]):
    """Creates a message at Twilio, and asks once: Twilio has no keys for a second try.

    Options: `ACCOUNT_SID`; `AUTH_TOKEN`, or `API_KEY_SID` and `API_KEY_SECRET`; `FROM` or
    `MESSAGING_SERVICE_SID`; `STATUS_CALLBACK`, the URL that Twilio reports deliveries to, which
    are signed with the `AUTH_TOKEN`, so it may stand beside a key; `EDGE` and `REGION`, where
    Twilio takes the request; `BASE_URL` for another address of the API.
    """

    channels = frozenset({Channel.SMS})
    concurrency = 10
    can_look_up = True
    looks_up_by_content = True
    known_options: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "ACCOUNT_SID": _sid("AC"),
        "AUTH_TOKEN": secret_option,
        "API_KEY_SID": _sid("SK"),
        "API_KEY_SECRET": secret_option,
        "FROM": _sender,
        "MESSAGING_SERVICE_SID": _sid("MG"),
        "STATUS_CALLBACK": url_option,
        "EDGE": _place,
        "REGION": _place,
        "BASE_URL": url_option,
    }

    def __init__(self, name: str, options: Mapping[str, Any], timeout: float) -> None:
        super().__init__(name, options, timeout)
        self.reports_delivery = "STATUS_CALLBACK" in self.options
        self._transport = Transport(timeout)
        self._client = self._new_client()
        base = self.options.get("BASE_URL", API).rstrip("/")
        self._url = f"{base}/2010-04-01/Accounts/{self.options['ACCOUNT_SID']}/Messages.json"

    @classmethod
    def problems(cls, options: Mapping[str, Any]) -> list[str]:
        return super().problems(options) or _missing(options)

    def render(self, message: Message) -> dict[str, str] | Outcome:
        body = message.content.get("body")
        if not E164.fullmatch(message.to) or not _is_text(body):
            return Outcome.permanent(
                "invalid_message", "No SMS can be made of this recipient and text."
            )
        return {"To": message.to, "Body": body, **self._sender(), **self._callback(message.key)}

    def hand_over(self, rendered: dict[str, str]) -> Outcome:
        try:
            answer = self._client.request("POST", self._url, data=rendered)
        except requests.RequestException as error:
            return unanswered(error)
        said = _parsed(answer.text)
        if 200 <= answer.status_code < 300:
            return taken(said.get("sid"))
        return refused(answer.status_code, _number(said.get("code")), retry_after(answer.headers))

    def look_up(self, message: Message, began: datetime, note: str = "") -> Outcome | None:
        sought = Sought(message.to, message.content["body"], self._sender(), began, self.timeout)
        try:
            answer = self._client.request("GET", self._url, params=sought.query())
        except requests.RequestException:
            return None
        return sought.found_in(_parsed(answer.text)) if answer.status_code == 200 else None

    def read_receipts(self, request: ReceiptRequest) -> list[ReportedReceipt]:
        account, token = self.options["ACCOUNT_SID"], self.options.get("AUTH_TOKEN", "")
        return twilio_receipts.read(request, account, token)

    def close(self) -> None:
        super().close()
        self._transport.session.close()

    def _new_client(self) -> Client:
        account, options = self.options["ACCOUNT_SID"], self.options
        return Client(
            options.get("API_KEY_SID", account),
            options.get("API_KEY_SECRET") or options["AUTH_TOKEN"],
            account,
            region=options.get("REGION"),
            edge=options.get("EDGE"),
            http_client=self._transport,
            environment=NO_ENVIRONMENT,
        )

    def _sender(self) -> dict[str, str]:
        if service := self.options.get("MESSAGING_SERVICE_SID"):
            return {"MessagingServiceSid": service}
        return {"From": self.options["FROM"]}

    def _callback(self, key: str) -> dict[str, str]:
        if not self.reports_delivery:
            return {}
        url = urlsplit(self.options["STATUS_CALLBACK"])
        query = "&".join(filter(None, (url.query, urlencode({CALLBACK_KEY: key}))))
        return {"StatusCallback": url._replace(query=query).geturl()}


class Transport(HttpClient):  # type: ignore[misc]  # twilio has no types
    """The SDK's way out: bounded in time, tried once, its connections kept, nothing logged."""

    def __init__(self, timeout: float) -> None:
        super().__init__(logger, is_async=False)
        self.session = requests.Session()
        self._timeouts = timeouts(timeout)
        adapter = HTTPAdapter(pool_maxsize=KEPT_CONNECTIONS, max_retries=0)
        self.session.mount("https://", adapter)
        self.session.mount("http://", adapter)

    def request(self, method: str, url: str, **values: Any) -> Response:
        """The answer, as far as it came: its status says what counts; raises RequestException."""
        values.update(timeout=self._timeouts, stream=True)
        with self.session.request(method, url, **values) as answer:
            return Response(answer.status_code, _body(answer), answer.headers)


def _missing(options: Mapping[str, Any]) -> list[str]:
    found = []
    if "ACCOUNT_SID" not in options:
        found.append('"ACCOUNT_SID" is missing.')
    if ("API_KEY_SID" in options) != ("API_KEY_SECRET" in options):
        found.append('"API_KEY_SID" and "API_KEY_SECRET" go together: set both, or neither.')
    elif "AUTH_TOKEN" not in options and "API_KEY_SID" not in options:
        found.append('Set "AUTH_TOKEN", or "API_KEY_SID" and "API_KEY_SECRET".')
    if ("FROM" in options) == ("MESSAGING_SERVICE_SID" in options):
        found.append('Set either "FROM" or "MESSAGING_SERVICE_SID".')
    if "BASE_URL" in options and ("EDGE" in options or "REGION" in options):
        found.append('"BASE_URL" says where to go: leave "EDGE" and "REGION" out.')
    return found


def _is_text(value: Any) -> TypeGuard[str]:
    try:
        return isinstance(value, str) and bool(value.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def _body(answer: requests.Response) -> str:
    try:
        return answer.content.decode(errors="replace")
    except requests.RequestException:  # cut off
        return ""


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        said = json.loads(text)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) else None
