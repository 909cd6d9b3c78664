"""The document is valid, complete, and the page shows it."""

import json
import re
from typing import Any

import pytest
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import URLPattern, include, path
from openapi_spec_validator import OpenAPIV31SpecValidator

from notifications import urls
from notifications.api.openapi import DOCUMENT
from notifications.channels import CONTENT_FIELDS
from notifications.models import Tenant
from notifications.pipeline import endpoints
from notifications.validation import COMMON_FIELDS
from tests.api.conftest import API

pytestmark = pytest.mark.django_db

UNDOCUMENTED = {"schema", "docs", "metrics", "unsubscribe", None}

urlpatterns = [path("v1/", include(urls))]


def operations() -> set[tuple[str, str]]:
    return {
        (path, method)
        for path, item in DOCUMENT["paths"].items()
        for method in item
        if method != "parameters"
    }


def routes() -> set[tuple[str, str]]:
    return {
        ("/" + re.sub(r"<\w+:(\w+)>", r"{\1}", str(pattern.pattern)), method)
        for pattern in urls.urlpatterns
        if isinstance(pattern, URLPattern) and pattern.name not in UNDOCUMENTED
        for method in ("get", "post", "put", "patch", "delete")
        if hasattr(pattern.callback.cls, method)  # type: ignore[attr-defined]  # DRF sets it
    }


def test_the_document_is_valid() -> None:
    document = Client().get("/schema").json()
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_every_operation_is_documented_and_no_other() -> None:
    assert operations() == routes()


@pytest.mark.parametrize(("path", "method"), sorted(operations()))
def test_every_operation_names_its_answers_and_problems(path: str, method: str) -> None:
    operation = DOCUMENT["paths"][path][method]
    assert operation["operationId"]
    assert operation["summary"]
    assert any(status.startswith("2") for status in operation["responses"])
    assert {"405", "500"} <= set(operation["responses"])
    if operation.get("security") != []:
        assert {"400", "401", "403", "503"} <= set(operation["responses"])


def test_the_request_is_documented_with_the_fields_that_are_taken() -> None:
    fields = DOCUMENT["components"]["schemas"]["NotificationRequest"]["properties"]
    assert set(fields) == COMMON_FIELDS | CONTENT_FIELDS


def examples() -> list[Any]:
    return [
        pytest.param(method, path, example["value"], id=f"{method} {path} {name}")
        for path, method in sorted(operations())
        for media in [DOCUMENT["paths"][path][method].get("requestBody", {}).get("content", {})]
        for name, example in media.get("application/json", {}).get("examples", {}).items()
    ]


@pytest.mark.parametrize(("method", "path", "body"), examples())
def test_every_example_is_accepted(
    method: str, path: str, body: Any, api: API, tenant: Tenant
) -> None:
    endpoint = endpoints.create(tenant, "https://example.com/another")
    at = path.format(id=endpoint.pk, name="hello")
    assert api.request(method.upper(), at, json.dumps(body)).status_code in (200, 201, 202)


def test_whatever_must_be_sent_has_an_example() -> None:
    bodies = [
        DOCUMENT["paths"][path][method].get("requestBody", {}) for path, method in operations()
    ]
    media = [body["content"] for body in bodies if body.get("required")]
    assert all("examples" in each.get("application/json", {"examples": ()}) for each in media)


@pytest.mark.urls(__name__)
def test_the_document_knows_under_which_prefix_it_is_served() -> None:
    document = Client().get("/v1/schema").json()
    assert document["servers"] == [{"url": "http://testserver/v1"}]


def test_the_page_shows_the_document_with_files_that_are_there() -> None:
    page = Client().get("/docs")
    assert page["Content-Type"].startswith("text/html")
    assert 'data-schema="/schema"' in page.content.decode()
    for name in files(page):
        assert finders.find(name), name


def files(page: Any) -> list[str]:
    parts = page.content.decode().split('"')
    found = [part.removeprefix("/static/") for part in parts if part.startswith("/static/")]
    assert len(found) == 2
    return found
