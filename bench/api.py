"""A client of the HTTP API over one kept connection."""

import time
from collections.abc import Callable
from typing import Any

import requests

TIMEOUT_SECONDS = 180
POLL_SECONDS = 0.01


class Api:
    """One tenant's; not for several threads at once."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {key}"

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return self._json(self.session.post(f"{self.url}/{path}", json=body, timeout=30))

    def poll(self, url: str, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not until(answer := self._json(self.session.get(url, timeout=30))):
            assert time.monotonic() < deadline, answer
            time.sleep(POLL_SECONDS)
        return answer

    def _json(self, answer: requests.Response) -> dict[str, Any]:
        assert answer.ok, answer.text
        found: dict[str, Any] = answer.json()
        return found


def message(**fields: Any) -> dict[str, Any]:
    """A text message."""
    return {"channel": "sms", "to": "+14155550123", "body": "Your order has been shipped."} | fields


def mail(number: int, key: str) -> dict[str, Any]:
    """An e-mail as a shop would send it."""
    return {
        "channel": "email",
        "to": f"user{number}@example.com",
        "subject": "Your order has been shipped",
        "body": "It left our warehouse this morning and will be with you on Friday.",
        "idempotency_key": key,
        "metadata": {"order": str(number)},
    }
