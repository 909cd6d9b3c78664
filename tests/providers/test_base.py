"""The two steps of a provider that sends one by one."""

import logging
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from notifications.enums import Channel
from notifications.messages import Message, Outcome
from notifications.models import Tenant
from notifications.providers.base import OneByOne

from .conformance import CANARY, message, send


class Letterbox(OneByOne[str]):
    """Takes 50 ms a message; "unrenderable" and "unsendable" find a bug in it.

    "exit" ends the thread it is in, "query" asks the database.
    """

    channels = frozenset({Channel.SMS})
    known_options = {"SLOT": int}

    def __init__(self, *arguments: Any, concurrency: int = 1) -> None:
        super().__init__(*arguments)
        self.concurrency = concurrency
        self.begun: list[str] = []
        self.at_once = self.most = 0

    def render(self, message: Message) -> str | Outcome:
        if message.to == "unrenderable":
            raise UnicodeError(CANARY)
        return message.to

    def hand_over(self, rendered: str) -> Outcome:
        with COUNTING:
            self.begun.append(rendered)
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        time.sleep(0.05)
        with COUNTING:
            self.at_once -= 1
        if rendered == "unsendable":
            raise ValueError(CANARY)
        if rendered == "exit":
            raise SystemExit(CANARY)
        if rendered == "query":
            Tenant.objects.exists()
        return Outcome.accepted(rendered)


COUNTING = threading.Lock()


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


def test_so_many_and_no_more_are_sent_at_the_same_time():
    box = Letterbox("box", {}, 1.0, concurrency=3)
    outcomes = send(box, *(sms(str(n)) for n in range(12)))
    assert [o.provider_message_id for o in outcomes] == [str(n) for n in range(12)]
    assert box.most == 3


def test_all_callers_of_a_process_share_its_threads():
    box = Letterbox("box", {}, 1.0, concurrency=3)
    with ThreadPoolExecutor(4) as callers:
        results = list(callers.map(lambda n: send(box, *[sms(str(n))] * 4), range(4)))
    assert [{o.provider_message_id for o in result} for result in results] == [
        {str(n)} for n in range(4)
    ]
    assert box.most == 3


def test_at_once_too_what_was_not_begun_before_the_deadline_is_abandoned():
    box = Letterbox("box", {}, 1.0, concurrency=2)
    outcomes = send(box, *(sms(str(n)) for n in range(12)), seconds=0.12)
    abandoned = [o.kind == "abandoned" for o in outcomes]
    assert [str(n) for n in range(12) if not abandoned[n]] == sorted(box.begun, key=int)
    assert abandoned == sorted(abandoned)
    assert 2 <= abandoned.count(False) <= 6


@pytest.mark.parametrize("end", ["unsendable", "exit"])
def test_a_thread_that_crashes_harms_its_own_message_alone(
    end: str, caplog: pytest.LogCaptureFixture
):
    box = Letterbox("box", {}, 1.0, concurrency=2)
    kinds = [o.kind for o in send(box, sms("a"), sms(end), sms("b"), sms(end), sms("c"), sms("d"))]
    assert kinds == ["accepted", "ambiguous", "accepted", "ambiguous", "accepted", "accepted"]
    assert CANARY not in caplog.text


def test_a_thread_that_asks_the_database_is_found_out():
    box = Letterbox("box", {}, 1.0, concurrency=2)
    assert [o.kind for o in send(box, sms("a"), sms("query"))] == ["accepted", "ambiguous"]


def test_what_was_not_begun_when_a_send_is_interrupted_is_never_sent():
    def interrupt(*_: Any) -> None:
        raise TimeoutError

    box = Letterbox("box", {}, 1.0, concurrency=2)
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.12)
    try:
        with pytest.raises(TimeoutError):
            send(box, *(sms(str(n)) for n in range(40)))
    finally:
        signal.signal(signal.SIGALRM, before)
    begun = len(box.begun)
    assert begun < 40
    send(box, sms("x"), sms("x"))
    assert box.begun.count("x") == 2
    assert len(box.begun) - 2 <= begun + 2  # the two that a thread was just taking up


def test_closed_it_leaves_no_threads_and_finishes_what_was_begun():
    box = Letterbox("box", {}, 1.0, concurrency=4)
    with ThreadPoolExecutor(1) as caller:
        sent = caller.submit(send, box, *(sms(str(n)) for n in range(8)))
        while not box.begun:
            time.sleep(0.001)
        box.close()
        assert [o.kind for o in sent.result()] == ["accepted"] * 8
    deadline = time.monotonic() + 30
    while any(thread.name.startswith("provider-box") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_unusable_options_do_not_make_a_provider():
    assert Letterbox.problems({"SLOT": "x"})
    with pytest.raises(ImproperlyConfigured, match="SLOT"):
        Letterbox("box", {"SLOT": "x"}, 1.0)
