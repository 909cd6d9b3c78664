"""What is at an address of a service we know: bounded in size and in time, and nothing followed."""

import re
import time
import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

CHUNK = 16 * 1024


class FetchFailed(Exception):
    """It did not answer, or with something else than what was asked for."""


class NotThere(FetchFailed):
    """It says that there is no such thing."""


def is_at(url: str, host: re.Pattern[str]) -> bool:
    """Whether it is https at such a host and its own port, however the URL may be read."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return (
        url.isascii()
        and not re.search(r"[\s\\]", url)
        and parts.scheme == "https"
        and port is None
        and parts.netloc == parts.hostname  # neither user nor colon
        and host.fullmatch(parts.netloc) is not None
    )


def download(url: str, most: int, seconds: float) -> bytes:
    """The `most` bytes that may be there, read within `seconds`; raises FetchFailed, NotThere."""
    deadline = time.monotonic() + seconds
    try:
        with _opener.open(url, timeout=seconds) as answer:
            return _read(answer, most, deadline)
    except HTTPError as error:
        kind = NotThere if 400 <= error.code < 500 else FetchFailed
        raise kind(f"it answered {error.code}") from error
    except (OSError, ValueError, HTTPException) as error:
        raise FetchFailed(type(error).__name__) from error


def _read(answer: Any, most: int, deadline: float) -> bytes:
    body = b""
    while chunk := answer.read1(CHUNK):
        body += chunk
        if len(body) > most:
            raise FetchFailed("its answer is too long")
        if time.monotonic() > deadline:  # a timeout alone bounds each read, not all of them
            raise FetchFailed("its answer takes too long")
    if answer.length:
        raise FetchFailed("its answer was cut off")
    return body


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


_opener = urllib.request.build_opener(_NoRedirects)
