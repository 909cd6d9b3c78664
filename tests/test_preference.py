"""Preferences and digests as they are read from anybody's data."""

from typing import Any

import pytest

from notifications.enums import Channel
from notifications.exceptions import InvalidNotification
from notifications.idempotency import fingerprint
from notifications.messages import DigestRule
from notifications.preference import OPT_OUTS_MAX, parse_wish
from notifications.template_validation import parse_template
from notifications.validation import DIGEST_COUNT_MAX, DIGEST_WINDOW_MAX, parse_notification

ADA = {"channel": "email", "recipient": "Ada@Example.com"}
HOURS = {"start": "22:00", "end": "07:30", "time_zone": "Europe/Berlin"}
SMS = {"channel": "sms", "to": "+14155550123", "body": "Hello"}
RULE = {"key": "comments:7", "template": "comments", "window": 600}


def wrong(parse: Any, data: Any) -> set[tuple[str, str]]:
    with pytest.raises(InvalidNotification) as caught:
        parse(data)
    return {(error.pointer, error.code) for error in caught.value.errors}


def test_a_wish_is_read_and_folded() -> None:
    wish = parse_wish({**ADA, "opt_outs": ["news", "news", "tips.daily"], "quiet_hours": HOURS})
    assert (wish.channel, wish.recipient) == (Channel.EMAIL, "ada@example.com")
    assert wish.opt_outs == {"news", "tips.daily"}
    assert wish.quiet_hours is not None
    assert wish.quiet_hours.end.isoformat() == "07:30:00"
    plain = parse_wish({**ADA, "opt_outs": None, "quiet_hours": None})
    assert (plain.opt_outs, plain.quiet_hours) == (frozenset(), None)


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({"x": 1}, ("/x", "unknown_field")),
        ({"channel": "fax"}, ("/channel", "invalid_choice")),
        ({"channel": None}, ("/channel", "required")),
        ({"channel": ["email"]}, ("/channel", "invalid_choice")),
        ({"recipient": None}, ("/recipient", "required")),
        ({"recipient": "nobody"}, ("/recipient", "invalid_email")),
        ({"recipient": 7}, ("/recipient", "invalid_type")),
        ({"recipient": "a\ud800@example.com"}, ("/recipient", "invalid_character")),
        ({"opt_outs": "news"}, ("/opt_outs", "invalid_type")),
        ({"opt_outs": ["a"] * (OPT_OUTS_MAX + 1)}, ("/opt_outs", "invalid_type")),
        ({"opt_outs": ["news", "No News"]}, ("/opt_outs/1", "invalid_name")),
        ({"opt_outs": [None]}, ("/opt_outs/0", "invalid_type")),
        ({"quiet_hours": "22-7"}, ("/quiet_hours", "invalid_type")),
        ({"quiet_hours": {**HOURS, "x": 1}}, ("/quiet_hours/x", "unknown_field")),
        ({"quiet_hours": {**HOURS, "start": "24:00"}}, ("/quiet_hours/start", "invalid_time")),
        ({"quiet_hours": {**HOURS, "end": "7:00"}}, ("/quiet_hours/end", "invalid_time")),
        ({"quiet_hours": {**HOURS, "end": "٠٧:٠٠"}}, ("/quiet_hours/end", "invalid_time")),
        ({"quiet_hours": {**HOURS, "end": "22:00"}}, ("/quiet_hours/end", "same_as_start")),
        (
            {"quiet_hours": {**HOURS, "time_zone": "../../etc/passwd"}},
            ("/quiet_hours/time_zone", "unknown_zone"),
        ),
        (
            {"quiet_hours": {**HOURS, "time_zone": "CEST"}},
            ("/quiet_hours/time_zone", "unknown_zone"),
        ),
        (
            {"quiet_hours": {**HOURS, "time_zone": []}},
            ("/quiet_hours/time_zone", "unknown_zone"),
        ),
    ],
)
def test_each_mistake_in_a_wish_is_named(more: dict[str, Any], found: tuple[str, str]) -> None:
    assert wrong(parse_wish, {**ADA, **more}) == {found}


def test_all_mistakes_are_told_at_once() -> None:
    data = {"channel": "fax", "opt_outs": [""], "quiet_hours": {}}
    assert {pointer for pointer, _ in wrong(parse_wish, data)} == {
        "/channel",
        "/recipient",
        "/opt_outs/0",
        "/quiet_hours/start",
        "/quiet_hours/end",
        "/quiet_hours/time_zone",
    }


def test_what_has_a_category_is_not_transactional() -> None:
    assert parse_notification(SMS).is_transactional
    draft = parse_notification({**SMS, "category": "news"})
    assert (draft.category, draft.is_transactional) == ("news", False)


def test_a_digest_is_read() -> None:
    assert parse_notification({**SMS, "digest": RULE}).digest == DigestRule(**RULE)
    rule = {**RULE, "sliding": True, "max_count": 2}
    assert parse_notification({**SMS, "digest": rule}).digest == DigestRule(**rule)


@pytest.mark.parametrize(
    ("more", "found"),
    [
        ({"category": "No News"}, ("/category", "invalid_name")),
        ({"category": 7}, ("/category", "invalid_type")),
        ({"category": "a" * 51}, ("/category", "invalid_name")),
        ({"digest": "x"}, ("/digest", "invalid_type")),
        ({"digest": {**RULE, "x": 1}}, ("/digest/x", "unknown_field")),
        ({"digest": {**RULE, "key": ""}}, ("/digest/key", "invalid_key")),
        ({"digest": {**RULE, "key": "a b"}}, ("/digest/key", "invalid_key")),
        ({"digest": {**RULE, "key": None}}, ("/digest/key", "required")),
        ({"digest": {**RULE, "template": "No"}}, ("/digest/template", "invalid_name")),
        ({"digest": {**RULE, "window": 0}}, ("/digest/window", "out_of_range")),
        ({"digest": {**RULE, "window": 1.5}}, ("/digest/window", "invalid_type")),
        ({"digest": {**RULE, "window": True}}, ("/digest/window", "invalid_type")),
        (
            {"digest": {**RULE, "window": DIGEST_WINDOW_MAX + 1}},
            ("/digest/window", "out_of_range"),
        ),
        ({"digest": {**RULE, "sliding": 1}}, ("/digest/sliding", "invalid_type")),
        ({"digest": {**RULE, "max_count": 1}}, ("/digest/max_count", "out_of_range")),
        (
            {"digest": {**RULE, "max_count": DIGEST_COUNT_MAX + 1}},
            ("/digest/max_count", "out_of_range"),
        ),
        (
            {"digest": RULE, "send_at": "2100-01-01T00:00:00Z"},
            ("/send_at", "not_with_digest"),
        ),
        (
            {"digest": RULE, "expires_at": "2100-01-01T00:00:00Z"},
            ("/expires_at", "not_with_digest"),
        ),
    ],
)
def test_each_mistake_in_a_notification_is_named(
    more: dict[str, Any], found: tuple[str, str]
) -> None:
    assert wrong(parse_notification, {**SMS, **more}) == {found}


def test_a_template_brings_its_own_category_and_a_webhook_has_no_digest() -> None:
    named = {"channel": "sms", "to": SMS["to"], "template": "t", "category": "news"}
    assert wrong(parse_notification, named) == {("/category", "not_with_template")}
    hook = {"channel": "webhook", "to": "https://example.com/", "payload": 1, "digest": RULE}
    assert wrong(parse_notification, hook) == {("/digest", "not_for_channel")}


def test_what_a_digest_could_not_take_along_is_refused() -> None:
    mail = {"channel": "email", "to": "ada@example.com", "subject": "x", "body": "x"}
    file = {"filename": "x.txt", "content": "eA=="}
    data = {"cc": ["b@example.com"], "bcc": ["c@example.com"], "headers": {"X-A": "b"}}
    whole = {**mail, **data, "attachments": [file], "digest": RULE}
    assert wrong(parse_notification, whole) == {
        (f"/{name}", "not_with_digest") for name in ("cc", "bcc", "headers", "attachments")
    }
    senders = {"from": "shop@example.com", "reply_to": "ada@example.com"}
    assert parse_notification({**mail, **senders, "digest": RULE}).digest is not None


def test_other_categories_and_digests_are_other_requests() -> None:
    asked = (
        SMS,
        {**SMS, "category": "news"},
        {**SMS, "digest": RULE},
        {**SMS, "digest": {**RULE, "window": 601}},
    )
    assert len({fingerprint(parse_notification(data)) for data in asked}) == len(asked)


def test_a_category_of_a_template_goes_with_what_is_not_transactional() -> None:
    data = {"channel": "sms", "body": "x", "category": "news"}
    assert wrong(parse_template, data) == {("/category", "transactional")}
    assert parse_template({**data, "is_transactional": False}).category == "news"
    assert wrong(parse_template, {**data, "is_transactional": False, "category": "No"}) == {
        ("/category", "invalid_name")
    }
