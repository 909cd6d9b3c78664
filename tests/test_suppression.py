"""Suppressions as values: whom they hold, and what may be put on a list."""

from datetime import UTC, datetime
from typing import Any

import pytest

from notifications.enums import Channel, SuppressionReason
from notifications.suppression import Entry, holds_for, parse_entry

R = SuppressionReason
NOW = datetime(2030, 1, 1, tzinfo=UTC)
ADA = {"channel": "email", "recipient": "ada@example.com"}


@pytest.mark.parametrize("reason", list(R))
def test_only_who_has_unsubscribed_gets_what_is_transactional(reason: R) -> None:
    assert holds_for(reason, is_transactional=False)
    assert holds_for(reason, is_transactional=True) == (reason != R.UNSUBSCRIBE)


def test_an_entry_is_manual_and_lasts_unless_something_else_is_said() -> None:
    assert parse_entry(ADA, NOW) == Entry(Channel.EMAIL, "ada@example.com", R.MANUAL, "", None)


@pytest.mark.parametrize(
    ("channel", "given", "stored"),
    [
        ("email", "Ada@Bücher.Example", "ada@xn--bcher-kva.example"),
        ("sms", "+14155550123", "+14155550123"),
        ("webhook", "https://Example.com/Hook?A=1", "https://example.com/Hook?A=1"),
    ],
)
def test_a_recipient_is_stored_as_it_is_compared(channel: str, given: str, stored: str) -> None:
    entry = parse_entry({"channel": channel, "recipient": given}, NOW)
    assert isinstance(entry, Entry)
    assert entry.recipient == stored


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, {("/channel", "required"), ("/recipient", "required")}),
        ({**ADA, "to": "x"}, {("/to", "unknown_field")}),
        ({**ADA, "channel": "fax"}, {("/channel", "invalid_choice")}),
        ({**ADA, "channel": ["email"]}, {("/channel", "invalid_choice")}),
        ({**ADA, "recipient": "nobody"}, {("/recipient", "invalid_email")}),
        ({**ADA, "recipient": 7}, {("/recipient", "invalid_type")}),
        ({**ADA, "channel": "sms"}, {("/recipient", "invalid_phone")}),
        ({**ADA, "reason": "whim"}, {("/reason", "invalid_choice")}),
        ({**ADA, "reason": None}, {("/reason", "invalid_choice")}),
        ({**ADA, "note": "x" * 201}, {("/note", "too_long")}),
        ({**ADA, "note": "\x00"}, {("/note", "invalid_character")}),
        ({**ADA, "expires_at": "tomorrow"}, {("/expires_at", "invalid_time")}),
        ({**ADA, "expires_at": "2031-01-01T00:00:00"}, {("/expires_at", "naive_time")}),
        ({**ADA, "expires_at": "2029-01-01T00:00:00Z"}, {("/expires_at", "already_expired")}),
        ({"a": 1, "channel": 1, "note": 2}, {
            ("/a", "unknown_field"),
            ("/channel", "invalid_choice"),
            ("/recipient", "required"),
            ("/note", "invalid_type"),
        }),
    ],
)  # fmt: skip
def test_everything_wrong_with_an_entry_is_told(data: Any, expected: set[Any]) -> None:
    errors = parse_entry(data, NOW)
    assert isinstance(errors, list)
    assert {(error.pointer, error.code) for error in errors} == expected
