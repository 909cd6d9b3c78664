"""A tenant with a key, and a client that holds every answer against the OpenAPI document."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from jsonschema import Draft202012Validator, FormatChecker

from notifications.api.authentication import forget_keys
from notifications.api.openapi import DOCUMENT
from notifications.api_keys import NewKey, make_key
from notifications.enums import State
from notifications.models import APIKey, Notification, TemplateVersion, Tenant
from notifications.pipeline.template_store import put
from notifications.template_validation import parse_template

EMAIL = {"channel": "email", "to": "ada@example.com", "subject": "Hello", "body": "Hello, Ada"}


class API:
    """Speaks JSON to the API as the holder of `token`; what is undocumented fails the test."""

    def __init__(self, token: str | None) -> None:
        self.token = token
        self.client = Client(raise_request_exception=False)

    def get(self, path: str, **headers: str) -> Any:
        return self.request("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body)
        return self.request("POST", path, data, **headers)

    def request(self, method: str, path: str, data: Any = b"", **headers: str) -> Any:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        content_type = sent.pop("Content-Type", "application/json")
        if self.token is not None:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        response = self.client.generic(method, path, data, content_type, headers=sent)
        check_documented(method, path, response)
        return response


def check_documented(method: str, path: str, response: Any) -> None:
    """Hold the answer against the document: its status is named there, and its shape fits."""
    is_problem = response.status_code >= 400 and not path.startswith("/readyz")
    if is_problem:
        check_problem(response)
    operation = documented(method, path)
    if operation is None:
        return
    assert str(response.status_code) in operation["responses"], response.content
    answer = operation["responses"][str(response.status_code)]
    if response.status_code == 204:
        assert response.content == b""
    elif not is_problem:
        check_shape(response.json(), answer["content"]["application/json"]["schema"])


def documented(method: str, path: str) -> dict[str, Any] | None:
    bare = path.partition("?")[0]
    for template, item in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), bare) and method.lower() in item:
            return dict(item[method.lower()])
    return None


def check_problem(response: Any) -> None:
    body = response.json()
    assert response["Content-Type"] == "application/problem+json"
    assert body["status"] == response.status_code
    assert body["request_id"] == response["X-Request-ID"]
    check_shape(body, {"$ref": "#/components/schemas/Problem"})


def check_shape(body: Any, schema: dict[str, Any]) -> None:
    whole = {**schema, "components": DOCUMENT["components"]}
    Draft202012Validator(whole, format_checker=FormatChecker()).validate(body)


@pytest.fixture(autouse=True)
def _keys_are_looked_up_anew() -> Iterator[None]:
    forget_keys()
    yield
    forget_keys()


def new_key(tenant: Tenant, **more: Any) -> NewKey:
    key = make_key()
    APIKey.objects.create(tenant=tenant, public_id=key.public_id, digest=key.digest, **more)
    return key


@pytest.fixture
def tenant(db: None) -> Tenant:
    return Tenant.objects.create(name="shop")


@pytest.fixture
def stranger(db: None) -> Tenant:
    return Tenant.objects.create(name="stranger")


@pytest.fixture
def api(tenant: Tenant) -> API:
    return API(new_key(tenant).token)


@pytest.fixture
def stranger_api(stranger: Tenant) -> API:
    return API(new_key(stranger).token)


@pytest.fixture
def anybody() -> API:
    return API(None)


def template(tenant: Tenant, name: str = "hello", **more: Any) -> TemplateVersion:
    """A template of text messages, or of whatever else `more` says."""
    data = {"channel": "sms", "body": "Hello", **more}
    return put(tenant, name, parse_template(data))[0]


def stored(tenant: Tenant, **more: Any) -> Notification:
    """A row as accept stores it, or later in its life."""
    values: dict[str, Any] = {
        "channel": "email",
        "to": "ada@example.com",
        "content": {"subject": "Hello", "body": "Hello, Ada"},
        "fingerprint": "0" * 64,
        "state": State.QUEUED,
        "created_at": datetime.now(UTC),
    }
    notification = Notification.objects.create(tenant=tenant, **{**values, **more})
    notification.refresh_from_db()
    return notification
