"""Our signatures and those who verify them: the library of the standard, our page, our receiver."""

import re
import time
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from notifications.providers.webhook import sign
from project.receiver import verify as of_the_receiver
from tests.processes import ROOT

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
ID, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}'

Headers = dict[str, str]


def test_it_is_the_signature_of_the_published_example() -> None:
    """https://github.com/standard-webhooks/standard-webhooks/tree/main/libraries (2026-11)"""
    assert sign([SECRET], ID, 1614265330, BODY) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


SECRETS = st.binary(min_size=24, max_size=64).map(lambda key: f"whsec_{b64encode(key).decode()}")


@given(secret=SECRETS, id=st.uuids(), timestamp=st.integers(0, 2**33), body=st.text())
def test_it_is_what_the_library_would_sign(secret: str, id: Any, timestamp: int, body: str) -> None:
    from_library = Webhook(secret).sign(str(id), datetime.fromtimestamp(timestamp, UTC), body)
    assert sign([secret], str(id), timestamp, body.encode()) == from_library


def of_the_page() -> Callable[[str, Headers, bytes], None]:
    """The function that the documentation gives to receivers."""
    page = (ROOT / "docs" / "webhooks.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    found: dict[str, Any] = {}
    exec(code, found)
    verify: Callable[[str, Headers, bytes], None] = found["verify"]
    return verify


def of_the_library(secret: str, headers: Headers, body: bytes) -> None:
    Webhook(secret).verify(body, headers)


VERIFIERS = {"library": of_the_library, "page": of_the_page(), "receiver": of_the_receiver}


def headers(ago: int = 0, secrets: tuple[str, ...] = (SECRET,), body: bytes = BODY) -> Headers:
    timestamp = int(time.time()) - ago
    return {
        "webhook-id": ID,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secrets, ID, timestamp, body),
    }


verifier = pytest.mark.parametrize("verifier", VERIFIERS)


@verifier
@pytest.mark.parametrize("secrets", [(SECRET,), (OTHER, SECRET), (SECRET, OTHER)])
@pytest.mark.parametrize("ago", [0, 200, -200])
def test_what_we_sign_is_verified(verifier: str, secrets: tuple[str, ...], ago: int) -> None:
    VERIFIERS[verifier](SECRET, headers(ago, secrets), BODY)


def changed(**changes: str) -> Headers:
    return headers() | {f"webhook-{name}": value for name, value in changes.items()}


FORGED: dict[str, Callable[[], tuple[Headers, bytes]]] = {
    "another body": lambda: (headers(), BODY + b" "),
    "no body": lambda: (headers(), b""),
    "another id": lambda: (changed(id="msg_x"), BODY),
    "another time": lambda: (changed(timestamp=str(int(time.time()) - 7)), BODY),
    "a time that is none": lambda: (changed(timestamp="soon"), BODY),
    "an old one": lambda: (headers(ago=320), BODY),
    "one of tomorrow": lambda: (headers(ago=-320), BODY),
    "another secret": lambda: (headers(secrets=(OTHER,)), BODY),
    "no signature": lambda: (changed(signature=""), BODY),
    "no version": lambda: (changed(signature=headers()["webhook-signature"][3:]), BODY),
    "another version": lambda: (
        changed(signature="v1a" + headers()["webhook-signature"][2:]),
        BODY,
    ),
    "one cut short": lambda: (changed(signature=headers()["webhook-signature"][:-1]), BODY),
    "nonsense": lambda: (changed(signature="v1,☃ v1,"), BODY),
}


@verifier
@pytest.mark.parametrize("forged", FORGED)
def test_what_is_forged_is_refused(verifier: str, forged: str) -> None:
    shown, body = FORGED[forged]()
    with pytest.raises((ValueError, WebhookVerificationError)):
        VERIFIERS[verifier](SECRET, shown, body)
