"""A provider that no other test has, and a breaker for it."""

from uuid import uuid4

import pytest

from notifications.gates import Breaker

from .breakers import RULES, MakeBreaker


@pytest.fixture
def provider() -> str:
    return f"provider-{uuid4()}"


@pytest.fixture
def breaker(make_breaker: MakeBreaker, provider: str) -> Breaker:
    return make_breaker({provider: RULES})
