"""The two steps of a provider that sends one by one."""

import logging
import time

import pytest
from django.core.exceptions import ImproperlyConfigured

from notifications.enums import Channel
from notifications.messages import Message, Outcome
from notifications.providers.base import OneByOne

from .conformance import CANARY, message, send


class Letterbox(OneByOne[str]):
    """Takes 50 ms a message; "unrenderable" and "unsendable" find a bug in it."""

    channels = frozenset({Channel.SMS})
    known_options = {"SLOT": int}

    def render(self, message: Message) -> str | Outcome:
        if message.to == "unrenderable":
            raise UnicodeError(CANARY)
        return message.to

    def hand_over(self, rendered: str) -> Outcome:
        time.sleep(0.05)
        if rendered == "unsendable":
            raise ValueError(CANARY)
        return Outcome.accepted(rendered)


@pytest.fixture
def letterbox() -> Letterbox:
    return Letterbox("box", {}, 1.0)


def sms(to: str) -> Message:
    return message(Channel.SMS, to)


def test_what_fails_before_a_byte_left_is_permanent(letterbox: Letterbox):
    [outcome] = send(letterbox, sms("unrenderable"))
    assert (outcome.kind, outcome.code) == ("permanent", "render_error")


def test_what_fails_unforeseen_while_sending_may_have_been_sent(letterbox: Letterbox):
    [outcome] = send(letterbox, sms("unsendable"))
    assert (outcome.kind, outcome.code) == ("ambiguous", "unexpected_error")


def test_an_error_is_logged_by_its_type_and_without_its_text(
    letterbox: Letterbox, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.DEBUG):
        send(letterbox, sms("unrenderable"), sms("unsendable"))
    assert "UnicodeError" in caplog.text
    assert "ValueError" in caplog.text
    assert CANARY not in caplog.text


def test_what_was_begun_before_the_deadline_is_finished_and_the_rest_abandoned(
    letterbox: Letterbox,
):
    outcomes = send(letterbox, *(sms("a") for _ in range(6)), seconds=0.12)
    assert [o.kind for o in outcomes] == ["accepted"] * 3 + ["abandoned"] * 3


def test_unusable_options_do_not_make_a_provider():
    assert Letterbox.problems({"SLOT": "x"})
    with pytest.raises(ImproperlyConfigured, match="SLOT"):
        Letterbox("box", {"SLOT": "x"}, 1.0)
