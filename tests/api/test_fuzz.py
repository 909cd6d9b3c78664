"""No input whatsoever is answered with a 5xx, nor with anything but JSON."""

import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifications.api.wsgi import readable
from notifications.enums import State
from notifications.models import Batch, Tenant
from tests.api.conftest import API, EMAIL, stored

pytestmark = pytest.mark.django_db

relaxed = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

NASTY = [
    "",
    "\x00",
    "a\x00b",
    "\ud800",
    "\udfff\ud800",
    "\u202e",
    "é" * 300,
    "x" * 5000,
    "+14155550123\n",
    "a@b, c@d",
    "http://[::1",
    "https://\ud83d\ude00.example/%00",
    "٣",
    "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00+14:00",
    "2030-02-30T00:00:00Z",
    "2030-01-01T24:00:00Z",
    "2030-01-01T00:00:60Z",
    "NaN",
]

text = st.sampled_from(NASTY) | st.text(max_size=30)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**300, max_value=10**400)
    | st.floats()
    | text
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=10,
)
fields = st.sampled_from(
    [
        "channel",
        "to",
        "subject",
        "body",
        "html",
        "event",
        "payload",
        "priority",
        "send_at",
        "expires_at",
        "idempotency_key",
        "metadata",
        "template",
        "context",
    ]
)
right = st.sampled_from(
    [
        EMAIL,
        {"channel": "sms", "to": "+14155550123", "body": "Hello"},
        {"channel": "webhook", "to": "https://example.com/hook", "payload": {"a": 1}},
    ]
)
nearly_right = st.builds(
    lambda base, more: {**base, **more}, right, st.dictionaries(fields, values, max_size=3)
)
bodies = (
    nearly_right
    | values
    | st.fixed_dictionaries({"notifications": st.lists(nearly_right | values, max_size=4) | values})
    | st.fixed_dictionaries({"accept_duplicate_risk": values})
)
headers = st.dictionaries(
    st.sampled_from(
        [
            "Idempotency-Key",
            "X-Request-ID",
            "Content-Type",
            "Content-Encoding",
            "Content-Length",
            "Accept",
            "Accept-Language",
            "Authorization",
            "Host",
            "Origin",
            "Cookie",
            "Range",
            "If-None-Match",
            "Transfer-Encoding",
            "X-HTTP-Method-Override",
        ]
    ),
    st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40)
    | st.sampled_from(["application/json; charset=idna", "text/plain; charset=hex", "-1"]),
    max_size=3,
)
methods = st.sampled_from(
    ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "X"]
)
paths = st.sampled_from(
    [
        "/notify",
        "/notify/batch",
        "/notifications",
        "/notifications/{notification}",
        "/notifications/{notification}/cancel",
        "/notifications/{notification}/retry",
        "/batches/{batch}",
        "/batches/{batch}/cancel",
        "/templates",
        "/templates/hello",
        "/templates/hello/preview",
        "/healthz",
        "/metrics",
        "/schema",
    ]
)
queries = st.text(st.characters(min_codepoint=33, max_codepoint=126)) | st.sampled_from(
    ["to=%00", "cursor=%ff", "created_after=%ed%a0%80", "page_size=٣", "status=sent&" * 600]
)


@pytest.fixture
def ids(tenant: Tenant) -> dict[str, Any]:
    batch = Batch.objects.create(tenant=tenant)
    row = stored(tenant, batch=batch, state=State.FAILED)
    return {"batch": batch.pk, "notification": row.pk}


def check(response: Any) -> None:
    assert response.status_code < 500, response.content
    if response.status_code >= 400 and response.content:
        assert response["Content-Type"] == "application/problem+json"
        json.loads(response.content)


@relaxed
@given(methods, paths, st.binary(max_size=100), headers, queries)
def test_no_request_breaks_it(
    api: API,
    ids: dict[str, Any],
    method: str,
    path: str,
    body: bytes,
    headers: dict[str, str],
    query: str,
) -> None:
    api.client.raise_request_exception = True
    sent = {"Authorization": f"Bearer {api.token}", **headers}
    content_type = readable(sent.pop("Content-Type", "application/json"))
    url = path.format(**ids) + (f"?{query}" if query else "")
    response = api.client.generic(method, url, body, content_type, headers=sent)
    check(response)


@relaxed
@given(paths, bodies, headers)
def test_no_json_breaks_it(
    api: API, ids: dict[str, Any], path: str, body: Any, headers: dict[str, str]
) -> None:
    sent = {"Authorization": f"Bearer {api.token}", **headers}
    sent.pop("Content-Type", None)
    data = json.dumps(body).encode()
    url = path.format(**ids)
    check(api.client.generic("POST", url, data, "application/json", headers=sent))


@relaxed
@given(nearly_right)
def test_what_is_accepted_can_be_shown(api: API, body: dict[str, Any]) -> None:
    response = api.post("/notify", json.dumps(body).encode())
    check(response)
    if response.status_code == 202:
        shown = api.get(f"/notifications/{response.json()['id']}")
        assert shown.status_code == 200
        assert api.get("/notifications").status_code == 200


@relaxed
@given(st.text(max_size=60))
def test_no_id_breaks_it(api: API, id: str) -> None:
    for path in ("/notifications/{}", "/batches/{}", "/notifications/{}/cancel", "/notify/{}"):
        check(api.get(path.format(id.encode("utf-8", "surrogatepass").hex() + str(uuid4()))))
        check(api.client.get(path.format("x" + "".join(c for c in id if c not in "?#"))))
