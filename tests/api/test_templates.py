"""Templates over HTTP: kept, versioned, tried out, used."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifications.models import Notification, Template, TemplateVersion, Tenant
from tests.api.conftest import API, template

pytestmark = pytest.mark.django_db

EMAIL = {
    "channel": "email",
    "subject": "Order {{ order.number }}",
    "body": "Hello {{ name }}",
    "html": "<p>Hello {{ name }}, <a href='{{ link }}'>look</a></p>",
}
CONTEXT = {"order": {"number": 7}, "name": "Ada & Co", "link": "https://example.com/?a=1&b=2"}
SENT = {"channel": "email", "to": "ada@example.com", "template": "shipped", "context": CONTEXT}


def put(api: API, body: Any, name: str = "shipped") -> Any:
    return api.request("PUT", f"/templates/{name}", json.dumps(body))


def errors(response: Any) -> set[tuple[str, str]]:
    assert response.status_code == 400, response.content
    return {(error["pointer"], error["code"]) for error in response.json()["errors"]}


def test_a_template_is_made_shown_and_changed(api: API) -> None:
    made = put(api, EMAIL)
    assert made.status_code == 201
    assert made["Location"] == made.json()["url"] == "http://testserver/templates/shipped"
    assert made.json().items() >= {**EMAIL, "version": 1, "is_transactional": True}.items()
    assert api.get("/templates/shipped").json() == made.json()
    changed = put(api, {**EMAIL, "html": None})
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    assert (changed.json()["html"], changed.json()["body"]) == (None, EMAIL["body"])


def test_what_it_says_already_makes_no_version(api: API) -> None:
    first = put(api, EMAIL).json()
    assert put(api, EMAIL).json() == first
    other = put(api, {**EMAIL, "is_transactional": False}).json()
    assert (other["version"], other["is_transactional"]) == (1, False)
    assert TemplateVersion.objects.count() == 1


def test_an_archived_template_is_gone_until_it_is_put_again(api: API) -> None:
    put(api, EMAIL)
    assert api.post("/notify", SENT).status_code == 202
    assert api.request("DELETE", "/templates/shipped").status_code == 204
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/preview")):
        assert api.request(method, f"/templates/shipped{path}").status_code == 404
    assert api.get("/templates").json()["results"] == []
    assert errors(api.post("/notify", SENT)) == {("/template", "unknown_template")}
    assert api.get("/notifications?template=shipped").json()["results"][0]["template"] == "shipped"
    assert put(api, EMAIL).status_code == 201
    assert TemplateVersion.objects.count() == 1
    assert api.post("/notify", SENT).status_code == 202


def test_a_name_keeps_its_channel(api: API) -> None:
    put(api, EMAIL)
    assert errors(put(api, {"channel": "sms", "body": "Hi"})) == {("/channel", "other_channel")}


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, {("/channel", "required")}),
        ({"channel": "webhook"}, {("/channel", "not_for_channel")}),
        ({"channel": ["sms"]}, {("/channel", "invalid_choice")}),
        ({"channel": "email"}, {("/subject", "required"), ("/body", "required")}),
        ({"channel": "sms", "body": "x", "html": "y"}, {("/html", "not_for_channel")}),
        ({"channel": "sms", "body": 7}, {("/body", "invalid_type")}),
        ({"channel": "sms", "body": ""}, {("/body", "blank")}),
        ({"channel": "sms", "body": "a\tb"}, {("/body", "control_character")}),
        (
            {"channel": "sms", "body": "x", "is_transactional": 1, "name": "a", "version": 9},
            {
                ("/is_transactional", "invalid_type"),
                ("/name", "unknown_field"),
                ("/version", "unknown_field"),
            },
        ),
        (
            {"channel": "email", "subject": "a\nb", "body": "{{ x", "html": "<p a={{ x }}>"},
            {
                ("/subject", "control_character"),
                ("/body", "unclosed_tag"),
                ("/html", "unquoted_attribute"),
            },
        ),
    ],
)
def test_all_that_is_wrong_with_a_template_is_told(
    api: API, body: dict[str, Any], wrong: set[tuple[str, str]]
) -> None:
    assert errors(put(api, body)) == wrong
    assert not Template.objects.exists()


@pytest.mark.parametrize(
    "name", ["Shipped", "a--b", "-a", "a" * 101, "%00", "%F0%9F%98%80", "a%20b"]
)
def test_a_name_is_small_letters_and_digits(api: API, name: str) -> None:
    assert errors(put(api, EMAIL, name)) == {("", "invalid_name")}
    assert api.get(f"/templates/{name}").status_code == 404


def test_the_list_is_paged_newest_first(api: API, tenant: Tenant) -> None:
    for name in "abc":
        template(tenant, name)
    first = api.get("/templates?page_size=2").json()
    assert [row["name"] for row in first["results"]] == ["c", "b"]
    second = api.get(first["next"].removeprefix("http://testserver")).json()
    assert [row["name"] for row in second["results"]] == ["a"]
    assert second["next"] is None
    assert errors(api.get("/templates?status=sent")) == {("/status", "unknown_parameter")}


def test_a_preview_shows_what_would_be_sent_and_stores_nothing(api: API, tenant: Tenant) -> None:
    put(api, EMAIL)
    shown = api.post("/templates/shipped/preview", {"context": CONTEXT})
    assert shown.json() == {
        "subject": "Order 7",
        "body": "Hello Ada & Co",
        "html": "<p>Hello Ada &amp; Co, <a href='https://example.com/?a=1&amp;b=2'>look</a></p>",
        "segments": None,
        "encoding": None,
    }
    template(tenant, "code", body="Код {{ code }}")
    shown = api.post("/templates/code/preview", {"context": {"code": "1" * 70}}).json()
    assert (shown["segments"], shown["encoding"]) == (2, "UCS-2")
    assert not Notification.objects.exists()


def test_a_preview_tells_what_is_missing(api: API) -> None:
    put(api, EMAIL)
    refused = api.post("/templates/shipped/preview", {"context": {"order": 7}})
    assert errors(refused) == {("/context", "missing_variable")}
    detail = refused.json()["errors"][0]["detail"]
    assert detail == "the template also needs: order.number, name, link"
    refused = api.post("/templates/shipped/preview", {"context": [], "to": "x"})
    assert errors(refused) == {("/to", "unknown_field")}
    assert errors(api.post("/templates/shipped/preview", {"context": "x"})) == {
        ("/context", "invalid_type")
    }


def test_a_notification_is_made_of_a_template(api: API) -> None:
    put(api, EMAIL)
    accepted = api.post("/notify", SENT)
    assert accepted.status_code == 202
    assert accepted.json()["template"] == "shipped"
    assert accepted.json()["subject"] == "Order 7"
    row = Notification.objects.get()
    assert row.content["body"] == "Hello Ada & Co"
    assert row.template_version == TemplateVersion.objects.get()
    assert api.get(f"/notifications/{row.pk}").json()["template"] == "shipped"


def test_what_was_accepted_keeps_the_words_it_was_accepted_with(api: API) -> None:
    put(api, EMAIL)
    api.post("/notify", SENT)
    put(api, {**EMAIL, "body": "Something else"})
    row = Notification.objects.select_related("template_version").get()
    assert (row.content["body"], row.template_version.number) == ("Hello Ada & Co", 1)


def test_a_repeated_request_is_the_same_whatever_became_of_its_template(api: API) -> None:
    put(api, EMAIL)
    keyed = {**SENT, "idempotency_key": "k"}
    first = api.post("/notify", keyed).json()
    put(api, {**EMAIL, "body": "Hello {{ somebody_else }}"})
    again = api.post("/notify", keyed)
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    api.request("DELETE", "/templates/shipped")
    assert api.post("/notify", keyed).status_code == 200
    other = {**keyed, "context": {**CONTEXT, "name": "Bob"}}
    assert api.post("/notify", other).status_code == 422
    assert Notification.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"context": {"name": "Ada"}}, {("/context", "missing_variable")}),
        ({"context": {**CONTEXT, "link": "javascript:x"}}, {("/context", "unsafe_url")}),
        (
            {"context": {**CONTEXT, "order": {"number": "7\r\nBcc: x"}}},
            {("/context", "control_character")},
        ),
        ({"context": {**CONTEXT, "order": {"number": "7" * 999}}}, {("/context", "too_long")}),
        ({"context": [1]}, {("/context", "invalid_type")}),
        ({"template": "other"}, {("/template", "unknown_template")}),
        ({"template": "No Such"}, {("/template", "invalid_name")}),
        ({"template": 7}, {("/template", "invalid_type")}),
        (
            {"template": None},
            {("/context", "without_template"), ("/subject", "required"), ("/body", "required")},
        ),
        (
            {"subject": "x", "payload": {}},
            {("/subject", "not_with_template"), ("/payload", "not_with_template")},
        ),
        ({"channel": "sms", "to": "+14155550123"}, {("/template", "not_for_channel")}),
        ({"channel": "webhook", "to": "https://example.com/x"}, {("/template", "not_for_channel")}),
    ],
)
def test_what_cannot_be_made_of_a_template_is_refused(
    api: API, change: dict[str, Any], wrong: set[tuple[str, str]]
) -> None:
    put(api, EMAIL)
    assert errors(api.post("/notify", {**SENT, **change})) == wrong
    assert not Notification.objects.exists()


def test_a_text_message_has_ten_segments_at_most(api: API, tenant: Tenant) -> None:
    template(tenant, "long", body="{{ x }}")
    sent = {"channel": "sms", "to": "+14155550123", "template": "long"}
    assert api.post("/notify", {**sent, "context": {"x": "x" * 1530}}).status_code == 202
    for text in ("x" * 1531, "ё" * 671, "x" * 9999):
        refused = api.post("/notify", {**sent, "context": {"x": text}})
        assert errors(refused) == {("/context", "too_long")}


def test_the_items_of_a_batch_use_templates_independently(api: API, tenant: Tenant) -> None:
    template(tenant, "code", body="Your code: {{ code }}")
    item = {"channel": "sms", "to": "+14155550123", "template": "code", "context": {"code": 1}}
    plain = {"channel": "sms", "to": "+14155550123", "body": "Hello"}
    items = [item, {**item, "context": {}}, {**item, "template": "none"}, plain]
    results = api.post("/notify/batch", {"notifications": items}).json()["results"]
    assert [result["outcome"] for result in results] == [
        "accepted",
        "rejected",
        "rejected",
        "accepted",
    ]
    assert results[1]["errors"][0]["pointer"] == "/context"
    assert {row.content["body"] for row in Notification.objects.all()} == {
        "Your code: 1",
        "Hello",
    }


names = st.sampled_from(["hello", "x", "Ü", "a.b", ".."])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
bodies = st.dictionaries(
    st.sampled_from(["channel", "subject", "body", "html", "context", "is_transactional", "x"]),
    st.sampled_from(["email", "sms", "{{ x }}", "<a href='{{ x }}'>", "{% for x in y %}"])
    | json_values,
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.sampled_from(["GET", "PUT", "DELETE", "POST"]), names, st.booleans(), bodies | json_values
)
def test_no_template_breaks_it(
    api: API, method: str, name: str, is_preview: bool, body: Any
) -> None:
    path = f"/templates/{name}" + ("/preview" if is_preview else "")
    api.client.raise_request_exception = True
    assert api.request(method, path, json.dumps(body)).status_code < 500
