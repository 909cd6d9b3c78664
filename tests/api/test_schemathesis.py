"""The OpenAPI document taken at its word: what it allows and what it does not, sent and judged.

`SCHEMATHESIS_EXAMPLES=500` looks longer than the suite has time for.
"""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from hypothesis import HealthCheck, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from notifications.enums import State
from notifications.models import Batch, Suppression, Tenant
from notifications.pipeline import endpoints
from project.wsgi import application
from tests.api.conftest import new_key, stored, template

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(3600)]

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES", "5"))
SEED = 20261122

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]

NOT_READY = 503
"""What `/readyz` is right to answer where there is no worker."""

schema = schemathesis.openapi.from_wsgi("/schema", application)


@pytest.fixture(autouse=True)
def _the_connection_of_the_test_stays_open() -> Iterator[None]:
    """As Django's own test client sees to it."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    yield
    for signal in signals:
        signal.connect(close_old_connections)


@pytest.fixture
def token(tenant: Tenant) -> str:
    return new_key(tenant).token


@pytest.fixture
def ids(tenant: Tenant) -> dict[str, Any]:
    """One of each, by the first part of the path that leads to it."""
    batch = Batch.objects.create(tenant=tenant)
    suppression = Suppression.objects.create(tenant=tenant, channel="sms", recipient="+14155550123")
    return {
        "notifications": stored(tenant, batch=batch, state=State.FAILED).pk,
        "batches": batch.pk,
        "endpoints": endpoints.create(tenant, "https://example.com/hook").pk,
        "templates": template(tenant).template.name,
        "suppressions": suppression.pk,
    }


@schema.parametrize()
@seed(SEED)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_nothing_is_answered_but_what_is_documented(
    case: schemathesis.Case, token: str, ids: dict[str, Any]
) -> None:
    _lead_somewhere(case, ids)
    response = case.call(headers={"Authorization": f"Bearer {token}"})
    if case.path == "/readyz" and response.status_code == NOT_READY:
        return
    case.validate_response(response, checks=CHECKS)


def _lead_somewhere(case: schemathesis.Case, ids: dict[str, Any]) -> None:
    """Half of the paths that are fine as such, to a thing that is there: all others are a 404."""
    kind = case.path.split("/")[1]
    given = "".join(map(str, case.path_parameters.values()))
    is_fine = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if is_fine and kind in ids and sum(map(ord, given)) % 2:
        case.path_parameters.update(dict.fromkeys(case.path_parameters, str(ids[kind])))
