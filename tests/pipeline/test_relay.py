"""The relay: gathered, off the caller's thread, and no loss when it fails."""

import os
import threading
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest

from notifications.enums import Channel, Priority
from notifications.exceptions import BrokerUnavailable
from notifications.pipeline import relay
from notifications.pipeline.relay import Relay
from tests.processes import wait_until

LANE = (Channel.SMS, Priority.NORMAL)
Message = tuple[Channel, Priority, list[UUID]]


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    published: list[Message] = []

    def publish(channel: Channel, priority: Priority, ids: Sequence[UUID]) -> None:
        published.append((channel, priority, list(ids)))

    monkeypatch.setattr(relay, "publish", publish)
    return published


def test_what_comes_within_milliseconds_goes_in_one_message(messages: list[Message]) -> None:
    taker, ids = Relay(), [uuid4() for _ in range(20)]
    for id in ids:
        taker.offer(LANE, [id])
    assert taker.flush(20)
    assert [id for _, _, found in messages for id in found] == ids
    assert len(messages) < len(ids)


def test_each_lane_has_messages_of_its_own_and_the_urgent_go_first(messages: list[Message]) -> None:
    taker = Relay()
    taker.offer(LANE, [uuid4()])
    for priority in (Priority.BULK, Priority.URGENT):
        taker.offer((Channel.SMS, priority), [uuid4()])
    assert taker.flush(20)
    order = [priority for _, priority, _ in messages if priority is not Priority.NORMAL]
    assert order == [Priority.URGENT, Priority.BULK]


def test_after_a_rest_one_goes_at_once_and_the_next_are_gathered(
    settings: Any, messages: list[Message]
) -> None:
    settings.NOTIFICATIONS = {"RELAY_MILLISECONDS": 1500}
    taker = Relay()
    taker.offer(LANE, [uuid4()])
    wait_until(lambda: messages, timeout=1.2, what="the first at once")
    for _ in range(20):
        taker.offer(LANE, [uuid4()])
        time.sleep(0.005)
    assert len(messages) == 1
    assert taker.flush(20)
    assert [len(ids) for _, _, ids in messages] == [1, 20]


def test_a_message_holds_no_more_than_a_batch(messages: list[Message]) -> None:
    taker = Relay()
    taker.offer(LANE, [uuid4() for _ in range(250)])
    assert taker.flush(20)
    assert [len(ids) for _, _, ids in messages] == [100, 100, 50]


def test_the_caller_never_waits_for_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(relay, "publish", lambda *_: release.wait(30))
    taker = Relay()
    started = time.monotonic()
    for _ in range(1000):
        taker.offer(LANE, [uuid4()])
    assert time.monotonic() - started < 25
    assert not taker.flush(0.05)
    release.set()
    assert taker.flush(20)


def test_a_broker_that_is_away_is_left_in_peace_for_a_while(
    monkeypatch: pytest.MonkeyPatch, messages: list[Message]
) -> None:
    def publish(*_: object) -> None:
        raise BrokerUnavailable("ConnectionRefusedError")

    working = relay.publish
    monkeypatch.setattr(relay, "publish", publish)
    monkeypatch.setattr(relay, "REST_SECONDS", 1.0)
    taker = Relay()
    taker.offer(LANE, [uuid4()])
    assert taker.flush(20)
    monkeypatch.setattr(relay, "publish", working)
    taker.offer(LANE, [uuid4()])
    assert (taker.flush(20), messages) == (True, [])
    time.sleep(1.05)
    taker.offer(LANE, [uuid4()])
    assert taker.flush(20)
    assert len(messages) == 1


def test_a_forked_child_has_a_relay_of_its_own(messages: list[Message]) -> None:
    relay.offer(*LANE, [uuid4()])
    assert relay.flush(20)
    child = os.fork()
    if child == 0:
        before = len(messages)
        relay.offer(*LANE, [uuid4()])
        os._exit(0 if relay.flush(20) and len(messages) == before + 1 else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """When a dispatcher was asked for."""
    made: list[float] = []
    monkeypatch.setattr(relay, "request_dispatch", lambda: made.append(time.monotonic()))
    return made


def test_a_dispatcher_is_woken_at_once_and_not_for_each_batch(requests: list[float]) -> None:
    taker = Relay()
    for _ in range(50):
        taker.offer_dispatch()
    assert taker.flush(20)
    assert len(requests) in (1, 2), "the second for those that came after the first had gone"


def test_a_second_batch_wakes_it_again_a_moment_later(requests: list[float]) -> None:
    taker = Relay()
    taker.offer_dispatch()
    assert taker.flush(20)
    taker.offer_dispatch()
    assert taker.flush(20)
    assert len(requests) == 2
    assert requests[1] - requests[0] >= relay.DISPATCH_SECONDS * 0.9


def test_a_dispatcher_that_has_to_wait_keeps_nothing_else_waiting(
    monkeypatch: pytest.MonkeyPatch, messages: list[Message], requests: list[float]
) -> None:
    monkeypatch.setattr(relay, "DISPATCH_SECONDS", 60.0)
    taker = Relay()
    taker.offer_dispatch()
    assert taker.flush(20)
    taker.offer_dispatch()
    taker.offer(LANE, [uuid4()])
    wait_until(lambda: messages)
    assert len(requests) == 1


def test_the_thread_outlives_whatever_publishing_raises(
    monkeypatch: pytest.MonkeyPatch, messages: list[Message]
) -> None:
    def publish(*_: object) -> None:
        raise ValueError

    working = relay.publish
    monkeypatch.setattr(relay, "REST_SECONDS", 0.0)
    monkeypatch.setattr(relay, "publish", publish)
    taker = Relay()
    taker.offer(LANE, [uuid4()])
    assert taker.flush(20)
    monkeypatch.setattr(relay, "publish", working)
    taker.offer(LANE, [uuid4()])
    assert taker.flush(20)
    assert len(messages) == 1
