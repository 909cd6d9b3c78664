"""Rows to count."""

from typing import Any
from uuid import uuid4

import pytest

from notifications.models import Notification, Tenant


@pytest.fixture
def tenant(db: None) -> Tenant:
    return Tenant.objects.create(name="shop")


def stored(tenant: Tenant, **more: Any) -> Notification:
    values = {"channel": "email", "to": "ada@example.com", "content": {}, "fingerprint": "0" * 64}
    return Notification.objects.create(tenant=tenant, **{**values, **more})


def lease() -> dict[str, Any]:
    from_the_future = "2099-01-01T00:00:00Z"
    return {"lease_token": uuid4(), "lease_until": from_the_future}
