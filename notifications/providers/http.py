"""What providers over HTTP share: what a request without an answer comes to, headers, options."""

import re
import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from traceback import walk_tb
from typing import Any
from urllib.parse import urlsplit

from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProxyError, ReadTimeoutError

from ..messages import Outcome

KEPT_CONNECTIONS = 100
"""The most that are kept open; more threads than that open one each time."""

NOT_BEGUN: tuple[tuple[type[Exception], str, str], ...] = (
    (socket.gaierror, "dns", "The name of the server could not be resolved."),
    (ConnectionRefusedError, "connection_refused", "The server refused the connection."),
    (NewConnectionError, "connection_failed", "No connection to the server could be made."),
    (ConnectTimeoutError, "timeout", "The server did not answer in time, before the message."),
    (ProxyError, "connection_failed", "The proxy made no connection to the server."),
)


def timeouts(timeout: float) -> tuple[float, float]:
    """The parts of a message's time: to connect, and to wait for the answer."""
    return timeout / 3, timeout * 2 / 3


def unanswered(error: BaseException) -> Outcome:
    """An exchange that ended in an error of the network.

    Until the connection stands, TLS included, nothing of the message has left. From then on the
    server may have taken it: the libraries do not tell how far a request came.
    """
    causes = list(_causes(error))
    for kind, code, detail in NOT_BEGUN:
        if any(isinstance(cause, kind) for cause in causes):
            return Outcome.transient(code, detail)
    if any(map(_in_handshake, causes)):
        return Outcome.transient("tls", "No secure connection to the server could be made.")
    if any(isinstance(cause, TimeoutError | ReadTimeoutError) for cause in causes):
        return Outcome.ambiguous("timeout", "The server did not say whether it took the message.")
    return Outcome.ambiguous("connection_lost", "The connection was lost after the message began.")


def taken(message_id: Any) -> Outcome:
    """An answer of success; one that names no message may be of anybody on the way."""
    if isinstance(message_id, str) and message_id:
        return Outcome.accepted(message_id)
    return Outcome.ambiguous("malformed_answer", "The answer was a success, but named no message.")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that `Retry-After` asks for, by number or date; None without a usable one."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch("[0-9]{1,9}", value):
        return float(value)
    try:
        wanted = parsedate_to_datetime(value)
    except ValueError:
        return None
    if wanted.tzinfo is None:  # "-0000": UTC, says RFC 5322
        wanted = wanted.replace(tzinfo=UTC)
    return max(0.0, (wanted - datetime.now(UTC)).total_seconds())


def url_option(value: Any) -> str:
    """An http or https URL with a host; raises ValueError."""
    parts = urlsplit(value if isinstance(value, str) else "")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("write a URL with its host, such as https://host.example.com")
    return str(value)


def secret_option(value: Any) -> str:
    """A text without blanks; raises ValueError."""
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]+", value):
        raise ValueError("it must be a text without blanks, and not empty")
    return value


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and all that led to it: libraries wrap those of the socket several times."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _in_handshake(error: BaseException) -> bool:
    # urllib3 calls a silence or a hang-up in the handshake by the same names as one after the
    # request; only where it was raised tells them apart.
    return any(frame.f_code.co_name == "do_handshake" for frame, _ in walk_tb(error.__traceback__))
