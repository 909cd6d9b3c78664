"""Requests, good and bad: every error at once, each with its place."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.enums import Channel, Priority
from notifications.exceptions import InvalidNotification
from notifications.idempotency import fingerprint, parse_key
from notifications.validation import parse_notification

EMAIL = {"channel": "email", "to": "ada@example.com", "subject": "Hi", "body": "Hello"}
SMS = {"channel": "sms", "to": "+14155550123", "body": "Hello"}
WEBHOOK = {"channel": "webhook", "to": "https://example.com/hook", "payload": {"n": 1}}


def errors(data: object) -> dict[str, str]:
    with pytest.raises(InvalidNotification) as caught:
        parse_notification(data)
    return {error.pointer: error.code for error in caught.value.errors}


@pytest.mark.parametrize("data", [EMAIL, SMS, WEBHOOK, {**WEBHOOK, "payload": None}])
def test_the_least_of_each_channel_is_accepted(data: dict[str, Any]) -> None:
    draft = parse_notification(data)
    assert (draft.channel, draft.to) == (Channel(data["channel"]), data["to"])
    assert draft.priority is Priority.NORMAL


def test_every_field_is_carried() -> None:
    draft = parse_notification(
        {
            **EMAIL,
            "html": "<p>Hello</p>",
            "priority": "urgent",
            "send_at": "2030-01-31T08:00:00+01:00",
            "expires_at": "2030-02-01T08:00:00.5Z",
            "idempotency_key": '"order-7"',
            "metadata": {"order": "7"},
        }
    )
    assert draft.content == {"subject": "Hi", "body": "Hello", "html": "<p>Hello</p>"}
    assert draft.priority is Priority.URGENT
    assert draft.send_at == datetime(2030, 1, 31, 7, tzinfo=UTC)
    assert draft.expires_at == datetime(2030, 2, 1, 8, 0, 0, 500_000, tzinfo=UTC)
    assert draft.idempotency_key == "order-7"
    assert draft.metadata == {"order": "7"}


def test_all_errors_are_told_at_once() -> None:
    assert errors(
        {"channel": "email", "to": "ada", "priority": "soon", "send_at": "noon", "spam": 1}
    ) == {
        "/to": "invalid_email",
        "/priority": "invalid_choice",
        "/send_at": "invalid_time",
        "/spam": "unknown_field",
        "/subject": "required",
        "/body": "required",
    }


@pytest.mark.parametrize("data", [None, [], "x", 7, True])
def test_what_is_no_object_is_refused(data: object) -> None:
    assert errors(data) == {"": "invalid_type"}


@pytest.mark.parametrize("name", ["tenant", "status", "id", "created_at", "provider", "attempts"])
def test_nobody_sets_what_is_ours(name: str) -> None:
    assert errors({**EMAIL, name: "x"}) == {f"/{name}": "unknown_field"}


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "ada@example",
        "ada@localhost",
        "a@x.com, b@y.com",
        "a@x.com;b@y.com",
        "Ada <ada@example.com>",
        "ada@example.com\n",
        "ada@example.com\r\nBcc: x@y.com",
        "ada@[127.0.0.1]",
        '"ada"@example.com',
        " ada@example.com",
        "ada@exam\u202eple.com",
        "a" * 65 + "@example.com",
        "ada@" + "a." * 130 + "com",
        "äda@example.com",
        "ada@example..com",
        "ada@-example.com",
    ],
)
def test_what_is_not_one_plain_address_is_refused(address: str) -> None:
    assert errors({**EMAIL, "to": address})["/to"] == "invalid_email"


def test_a_domain_is_stored_in_ascii() -> None:
    assert parse_notification({**EMAIL, "to": "ada@bücher.example"}).to == (
        "ada@xn--bcher-kva.example"
    )


@pytest.mark.parametrize(
    "number",
    [
        "",
        "4155550123",
        "+1-800-FLOWERS",
        "+14155550123 ext 5",
        "+14155550123\n",
        "++14155550123",
        "+１４１５５５５０１２３",
        "+19005550123",
        "+18005550123",
        "+1415",
        "+0123456789",
        "+14155550123;phone-context=evil",
    ],
)
def test_what_is_no_number_to_send_to_is_refused(number: str) -> None:
    assert errors({**SMS, "to": number})["/to"] == "invalid_phone"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/hook",
        "http://example.com/hook",
        "ftp://example.com/",
        "https://ada:secret@example.com/",
        "https://example.com/#x",
        "https://example.com\\@evil.com/",
        "https://exa\tmple.com/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://localhost/",
        "https://intranet/",
        "https://printer.local/",
        "https://db.internal/",
        "https://example.com:22/",
        "https://example.com:99999/",
        "https://exa_mple.com/",
        "https://①②⑦.0.0.1/",
        "https://example.com/" + "a" * 2048,
        "https://[::1",
    ],
)
def test_what_is_no_public_https_url_is_refused(url: str) -> None:
    assert errors({**WEBHOOK, "to": url})["/to"] == "invalid_url"


@pytest.mark.parametrize(
    ("data", "pointer", "code"),
    [
        ({**EMAIL, "subject": "a\r\nBcc: x@y.com"}, "/subject", "control_character"),
        ({**EMAIL, "subject": "a\x0bb"}, "/subject", "control_character"),
        ({**EMAIL, "subject": "a\u2028b"}, "/subject", "control_character"),
        ({**EMAIL, "subject": ""}, "/subject", "blank"),
        ({**EMAIL, "subject": None}, "/subject", "invalid_type"),
        ({**EMAIL, "subject": "x" * 999}, "/subject", "too_long"),
        ({**EMAIL, "body": 7}, "/body", "invalid_type"),
        ({**EMAIL, "body": "a\x00b"}, "/body", "invalid_character"),
        ({**EMAIL, "body": "a\ud800b"}, "/body", "invalid_character"),
        ({**EMAIL, "payload": {}}, "/payload", "not_for_channel"),
        ({**SMS, "body": "x" * 1601}, "/body", "too_long"),
        ({**SMS, "subject": "Hi"}, "/subject", "not_for_channel"),
        ({**WEBHOOK, "event": "order shipped"}, "/event", "invalid_event"),
        ({**WEBHOOK, "payload": math.inf}, "/payload", "invalid_number"),
        ({**WEBHOOK, "payload": 10**400}, "/payload", "invalid_number"),
        ({**WEBHOOK, "payload": {"a": ["\x00"]}}, "/payload", "invalid_character"),
        ({**WEBHOOK, "payload": {"\x00": 1}}, "/payload", "invalid_character"),
        ({**SMS, "channel": "fax"}, "/channel", "invalid_choice"),
        ({**SMS, "channel": 7}, "/channel", "invalid_type"),
        ({**SMS, "priority": 0}, "/priority", "invalid_type"),
        ({**SMS, "send_at": "2030-01-31T08:00:00"}, "/send_at", "naive_time"),
        ({**SMS, "send_at": datetime(2030, 1, 1)}, "/send_at", "naive_time"),  # noqa: DTZ001 - meant
        ({**SMS, "send_at": "2030-02-30T08:00:00Z"}, "/send_at", "invalid_time"),
        ({**SMS, "send_at": "0001-01-01T00:00:00+23:59"}, "/send_at", "invalid_time"),
        ({**SMS, "send_at": 1893456000}, "/send_at", "invalid_type"),
        ({**SMS, "idempotency_key": ""}, "/idempotency_key", "invalid_key"),
        ({**SMS, "idempotency_key": "a b"}, "/idempotency_key", "invalid_key"),
        ({**SMS, "idempotency_key": "k" * 256}, "/idempotency_key", "invalid_key"),
        ({**SMS, "idempotency_key": 7}, "/idempotency_key", "invalid_type"),
        ({**SMS, "metadata": {"a": 1}}, "/metadata/a", "invalid_type"),
        ({**SMS, "metadata": []}, "/metadata", "invalid_type"),
        ({**SMS, "metadata": {"a": "x" * 1025}}, "/metadata/a", "too_long"),
        ({**SMS, "metadata": {str(n): "" for n in range(51)}}, "/metadata", "too_many"),
        ({**SMS, "a/b~c": 1}, "/a~1b~0c", "unknown_field"),
    ],
)
def test_a_bad_field_is_named(data: dict[str, Any], pointer: str, code: str) -> None:
    assert errors(data) == {pointer: code}


def test_it_cannot_expire_before_it_is_sent() -> None:
    times = {"send_at": "2030-01-02T00:00:00Z", "expires_at": "2030-01-01T00:00:00Z"}
    assert errors({**SMS, **times}) == {"/expires_at": "expires_before_send"}


def test_nesting_has_an_end() -> None:
    payload: Any = 1
    for _ in range(30):
        payload = [payload]
    assert errors({**WEBHOOK, "payload": payload}) == {"/payload": "too_deep"}


def test_an_error_never_repeats_the_value() -> None:
    with pytest.raises(InvalidNotification) as caught:
        parse_notification({**EMAIL, "to": "canary-recipient", "priority": "canary-priority"})
    assert "canary" not in str(caught.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
fields = ["channel", "to", "subject", "body", "html", "event", "payload", "priority", "send_at",
          "expires_at", "idempotency_key", "metadata"]  # fmt: skip


@settings(max_examples=100)
@given(
    st.sampled_from([EMAIL, SMS, WEBHOOK]),
    st.dictionaries(st.sampled_from(fields) | st.text(), json_values),
)
def test_any_data_is_either_accepted_or_explained(
    good: dict[str, Any], noise: dict[str, Any]
) -> None:
    data = {**good, **noise}
    try:
        draft = parse_notification(data)
    except InvalidNotification:
        assert errors(data)
    else:
        assert len(fingerprint(draft)) == 64


@pytest.mark.parametrize("text", ["abc", '"abc"'])
def test_a_key_may_stand_in_quotes(text: str) -> None:
    assert parse_key(text) == "abc"


def test_the_fingerprint_tells_content_from_form() -> None:
    one = parse_notification({**WEBHOOK, "payload": {"a": 1, "b": 2}, "idempotency_key": "x"})
    same = parse_notification({**WEBHOOK, "payload": {"b": 2, "a": 1}, "idempotency_key": "y"})
    other = parse_notification({**WEBHOOK, "payload": {"a": 1, "b": 3}})
    assert fingerprint(one) == fingerprint(same) != fingerprint(other)
