"""What every provider over HTTP must do when the server or the way to it fails.

A test class inherits it, and says how to make its provider and what its server answers.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from notifications.messages import Message, Outcome
from notifications.providers.base import Provider

from .conformance import send
from .http_server import HANG, RESET, Answer, Server
from .smtp_server import free_port


def brief(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    return [(outcome.kind.value, outcome.code) for outcome in outcomes]


class OverHTTP:
    def make(self, url: str, timeout: float = 5.0) -> Provider:
        raise NotImplementedError

    def accepted(self) -> Message:
        raise NotImplementedError

    def success(self) -> Answer:
        """The answer to any message that is taken."""
        raise NotImplementedError

    def once(self, url: str, timeout: float = 5.0) -> Outcome:
        provider = self.make(url, timeout)
        [outcome] = send(provider, self.accepted())
        provider.close()
        return outcome

    def test_a_server_that_is_down_is_transient(self):
        outcome = self.once(f"http://127.0.0.1:{free_port()}")
        assert brief([outcome]) == [("transient", "connection_refused")]

    def test_a_host_without_an_address_is_transient(self):
        assert brief([self.once("http://nowhere.invalid")]) == [("transient", "dns")]

    def test_a_server_that_takes_no_connection_is_transient_within_the_timeout(self):
        with full_backlog() as port:
            began = time.monotonic()
            outcome = self.once(f"http://127.0.0.1:{port}", timeout=0.9)
            assert time.monotonic() - began < 15
        assert brief([outcome]) == [("transient", "timeout")]

    def test_a_server_that_speaks_no_tls_is_transient(self):
        with Server(lambda _: self.success()) as server:
            outcome = self.once(server.url.replace("http:", "https:"))
        assert brief([outcome]) == [("transient", "tls")]

    @pytest.mark.parametrize("silent", [True, False], ids=["silence", "hanging up"])
    def test_what_fails_in_the_handshake_of_tls_is_transient(self, silent: bool):
        with listening(silent) as port:
            outcome = self.once(f"https://127.0.0.1:{port}", timeout=0.9)
        assert brief([outcome]) == [("transient", "tls")]

    def test_silence_after_the_request_is_ambiguous_within_the_timeout(self):
        with Server(lambda _: HANG) as server:
            began = time.monotonic()
            outcome = self.once(server.url, timeout=0.6)
            assert time.monotonic() - began < 15
        assert brief([outcome]) == [("ambiguous", "timeout")]
        assert len(server.arrived) == 1

    def test_a_connection_lost_after_the_request_is_ambiguous(self):
        with Server(lambda _: RESET) as server:
            outcome = self.once(server.url)
        assert brief([outcome]) == [("ambiguous", "connection_lost")]
        assert len(server.arrived) == 1

    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    def test_an_error_of_the_server_is_ambiguous_and_asked_once(self, status: int):
        with Server(lambda _: Answer(status, b"<html>Oh no</html>")) as server:
            outcome = self.once(server.url)
        assert outcome.kind == "ambiguous"
        assert str(status) in outcome.code
        assert len(server.arrived) == 1

    def test_a_server_that_says_when_to_come_back_has_not_taken_it(self):
        with Server(lambda _: Answer(503, headers={"Retry-After": "7"})) as server:
            outcome = self.once(server.url)
        assert (outcome.kind, outcome.retry_after) == ("transient", 7.0)

    def test_a_429_is_throttled_and_says_how_long(self):
        with Server(lambda _: Answer(429, headers={"Retry-After": "30"})) as server:
            outcome = self.once(server.url)
        assert (outcome.kind, outcome.retry_after) == ("throttled", 30.0)
        assert len(server.arrived) == 1

    def test_retry_after_may_be_a_date(self):
        later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
        with Server(lambda _: Answer(429, headers={"Retry-After": later})) as server:
            outcome = self.once(server.url)
        assert outcome.retry_after is not None
        assert 60 < outcome.retry_after <= 90

    @pytest.mark.parametrize("value", ["soon", "-5", "1e9", "", "Sun"])
    def test_retry_after_that_makes_no_sense_is_none(self, value: str):
        with Server(lambda _: Answer(429, headers={"Retry-After": value})) as server:
            outcome = self.once(server.url)
        assert (outcome.kind, outcome.retry_after) == ("throttled", None)

    @pytest.mark.parametrize("status", [401, 403])
    def test_refused_credentials_are_our_fault(self, status: int):
        with Server(lambda _: Answer(status)) as server:
            assert brief([self.once(server.url)]) == [("transient", "credentials")]

    def test_a_redirect_is_not_followed(self):
        with Server(lambda _: self.success()) as elsewhere:
            to = Answer(307, headers={"Location": elsewhere.url})
            with Server(lambda _: to) as server:
                assert self.once(server.url).kind == "ambiguous"
            assert not elsewhere.arrived

    @pytest.mark.parametrize("body", [b"", b"not json", b'{"other": 1}'])
    def test_success_without_a_readable_id_may_be_anybody_s(self, body: bytes):
        answer = Answer(self.success().status, body)
        with Server(lambda _: answer) as server:
            outcome = self.once(server.url)
        assert brief([outcome]) == [("ambiguous", "malformed_answer")]
        assert len(server.arrived) == 1

    def test_connections_are_kept(self):
        with Server(lambda _: self.success()) as server:
            provider = self.make(server.url)
            provider.concurrency = 1
            for _ in range(3):
                assert brief(send(provider, self.accepted(), self.accepted())) == TWICE_ACCEPTED
            provider.close()
        assert (len(server.arrived), server.connections) == (6, 1)

    def test_close_lets_go_of_them(self):
        with Server(lambda _: self.success()) as server:
            provider = self.make(server.url)
            for _ in range(2):
                assert brief(send(provider, self.accepted())) == [("accepted", "")]
                provider.close()
        assert server.connections == 2

    def test_one_that_the_server_closed_meanwhile_is_opened_anew_before_sending(self):
        with Server(lambda _: replaced(self.success())) as server:
            provider = self.make(server.url)
            for _ in range(3):
                assert brief(send(provider, self.accepted())) == [("accepted", "")]
                time.sleep(0.1)
            provider.close()
        assert (len(server.arrived), server.connections) == (3, 3)


TWICE_ACCEPTED = [("accepted", ""), ("accepted", "")]


def replaced(answer: Answer) -> Answer:
    return Answer(answer.status, answer.body, answer.headers, leave=True)


@contextmanager
def listening(silent: bool) -> Iterator[int]:
    """A port whose connections get no byte back, or are closed once something came."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        if not silent:
            threading.Thread(target=_hang_up, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]


def _hang_up(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    connection.recv(10)
    connection.close()


@contextmanager
def full_backlog() -> Iterator[int]:
    """A port that answers no further connection, as a firewall makes it."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        time.sleep(0.05)
        yield address[1]
        for each in waiting:
            each.close()
