"""Requests to addresses that tenants choose: only public ones, bounded in time and size."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import trustme

from notifications.providers import kept
from notifications.providers.egress import (
    BODY_MAX,
    Egress,
    MaybeSent,
    NotSent,
    is_public,
    is_public_or_loopback,
)
from tests.processes import wait_until
from tests.servers.base import free_port

HOST = "hooks.example.com"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

INWARD = [
    address
    for line in (
        "0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.127.255.255 127.0.0.1 127.9.9.9",
        "169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.170 192.0.2.1",
        "192.88.99.1 192.168.0.1 192.168.255.255 198.18.0.1 198.19.255.255 198.51.100.7",
        "203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255",
        ":: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:7f00:1 ::8",
        "::127.0.0.1 64:ff9b::7f00:1 64:ff9b::808:808 64:ff9b:1::1 100::1 100:0:0:1::1 2001::1",
        "2001:2::1 2001:10::1 2001:20::1 2001:db8::1 2001:db8:ffff::1 2002:7f00:1::1 2002::1",
        "2002:a00:1::1 3fff::1 3fff:fff::1 4000::1 5f00::1 fc00::1 fd00::1 fd12:3456::1 fe80::1",
        "fe80::1%eth0 fe80::1%1 fec0::1 ff00::1 ff02::1 ff0e::1 2600::1%eth0",
        "localhost 127.1 0x7f.1 2130706433 017700000001 1.2.3 1.2.3.4.5 01.2.3.4 example.com",
    )
    for address in line.split(" ")
]

OUTWARD = [
    address
    for line in (
        "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.1 126.255.255.255",
        "128.0.0.1 169.253.255.255 172.15.255.255 172.32.0.1 192.0.1.1 192.167.255.255",
        "198.17.255.255 198.20.0.1 223.255.255.255 2000::1 2600::1 2606:4700:4700::1111",
        "2a00:1450:4001::200e ::ffff:8.8.8.8",
    )
    for address in line.split(" ")
]


@pytest.mark.parametrize("address", [*INWARD, ""])
def test_what_leads_inward_is_denied(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", OUTWARD)
def test_what_leads_outward_is_allowed(address: str) -> None:
    assert is_public(address)
    assert is_public_or_loopback(address)


def test_there_are_sixty_forms_at_least() -> None:
    assert len(set(INWARD)) >= 60


def test_in_development_this_machine_is_allowed_and_nothing_else_more() -> None:
    allowed = {address for address in INWARD if is_public_or_loopback(address)}
    assert allowed == {"127.0.0.1", "::1"}


class Listener:
    """A server of one behaviour on loopback, which counts who connects."""

    def __init__(
        self, answer: Callable[[socket.socket], None], tls: ssl.SSLContext | None, times: int = 1
    ) -> None:
        self.answer, self.tls, self.times = answer, tls, times
        self.connections = 0
        self.requests: list[bytes] = []
        self._socket = socket.create_server(("0.0.0.0", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        try:
            with connection if self.tls is None else self._wrapped(connection) as talking:
                for _ in range(self.times):
                    if not (request := read_request(talking)):
                        break
                    self.requests.append(request)
                    self.answer(talking)
        except OSError:
            pass

    def _wrapped(self, connection: socket.socket) -> ssl.SSLSocket:
        assert self.tls is not None
        return self.tls.wrap_socket(connection, server_side=True)


def read_request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data or not data.endswith(b"}"):
        if not (chunk := connection.recv(65536)):
            break
        data += chunk
    return data


def says(data: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(data)


def says_slowly(connection: socket.socket) -> None:
    for byte in OK * 100:
        connection.sendall(bytes([byte]))
        time.sleep(0.05)


def hangs(connection: socket.socket) -> None:
    time.sleep(30)


def hangs_up(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def serve(authority: trustme.CA) -> Iterator[Callable[..., Listener]]:
    started: list[Listener] = []

    def start(
        answer: Callable[[socket.socket], None],
        *,
        name: str = HOST,
        tls: bool = True,
        times: int = 1,
    ):
        context = None
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(name).configure_cert(context)
        started.append(Listener(answer, context, times))
        return started[-1]

    yield start
    for listener in started:
        listener.close()


@pytest.fixture
def egress(authority: trustme.CA) -> Egress:
    """Everything leads to loopback, which is taken for public here."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return Egress(lambda address: True, lambda host, port: ["127.0.0.1"], context)


def post(egress: Egress, listener: Listener, seconds: float = 3, scheme: str = "https"):
    url = f"{scheme}://{HOST}:{listener.port}/hook?a=1"
    return egress.post(url, {"X-One": "1"}, b"{}", time.monotonic() + seconds)


def test_a_request_arrives_as_it_was_meant(egress: Egress, serve: Callable[..., Listener]) -> None:
    listener = serve(says(OK))
    reply = post(egress, listener)
    assert (reply.status, reply.body) == (200, b"ok")
    head, _, body = listener.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "post /hook?a=1 http/1.1"
    assert set(lines[1:]) == {
        f"host: {HOST}:{listener.port}",
        "x-one: 1",
        "content-length: 2",
        "accept-encoding: identity",
    }
    assert body == b"{}"


@pytest.mark.parametrize(
    "answers",
    [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::1"], ["169.254.169.254"], ["::ffff:127.0.0.1"]],
)
def test_a_name_that_leads_inward_is_not_dialled(
    serve: Callable[..., Listener], answers: list[str]
) -> None:
    listener = serve(says(OK))
    with pytest.raises(NotSent) as caught:
        post(Egress(resolve=lambda host, port: answers), listener)
    assert (caught.value.code, type(caught.value)) == ("connect_blocked", NotSent)
    assert listener.connections == 0


def test_a_name_that_changes_between_the_check_and_the_call_leads_nowhere(
    serve: Callable[..., Listener],
) -> None:
    listener = serve(says(OK))
    asked: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["192.0.2.1"] if len(asked) == 1 else ["127.0.0.1"]

    def allowed(address: str) -> bool:
        return is_public(address) or address == "192.0.2.1"  # where nothing answers

    with pytest.raises(NotSent):
        post(Egress(allowed, rebinding), listener, seconds=0.5)
    assert (asked, listener.connections) == ([HOST], 0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_is_not_followed(
    egress: Egress, serve: Callable[..., Listener], status: int
) -> None:
    inner = serve(says(OK), tls=False)
    where = f"http://127.0.0.1:{inner.port}/"
    head = f"HTTP/1.1 {status} Moved\r\nLocation: {where}\r\nContent-Length: 0\r\n\r\n"
    assert post(egress, serve(says(head.encode()))).status == status
    assert inner.connections == 0


def test_proxies_of_the_environment_are_not_used(
    egress: Egress, serve: Callable[..., Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = serve(says(OK), tls=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    assert post(egress, serve(says(OK))).status == 200
    assert proxy.connections == 0


def test_a_certificate_of_another_name_is_refused(
    egress: Egress, serve: Callable[..., Listener]
) -> None:
    with pytest.raises(NotSent, match="tls_error"):
        post(egress, serve(says(OK), name="other.example.com"))


def test_a_certificate_nobody_trusts_is_refused(serve: Callable[..., Listener]) -> None:
    with pytest.raises(NotSent, match="tls_error"):
        post(Egress(lambda a: True, lambda h, p: ["127.0.0.1"]), serve(says(OK)))


def test_where_nobody_listens_nothing_is_sent(egress: Egress) -> None:
    with pytest.raises(NotSent, match="connect_error") as caught:
        egress.post(f"https://{HOST}:{free_port()}/", {}, b"{}", time.monotonic() + 3)
    assert type(caught.value) is NotSent


@pytest.mark.parametrize("answer", [hangs, says_slowly])
def test_the_deadline_is_for_all_of_it(
    egress: Egress, serve: Callable[..., Listener], answer: Callable[[socket.socket], None]
) -> None:
    began = time.monotonic()
    with pytest.raises(MaybeSent, match="timeout"):
        post(egress, serve(answer), seconds=0.6)
    assert time.monotonic() - began < 20


def test_a_resolver_that_hangs_is_given_up() -> None:
    over = threading.Event()

    def hang(host: str, port: int) -> list[str]:
        over.wait(30)
        return []

    began = time.monotonic()
    with pytest.raises(NotSent, match="dns_error"):
        Egress(resolve=hang).post(f"https://{HOST}/", {}, b"", time.monotonic() + 0.3)
    assert time.monotonic() - began < 20
    over.set()


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (hangs_up, "malformed_answer"),
        (says(b"not http at all\r\n\r\n"), "malformed_answer"),
        (says(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000), "malformed_answer"),
        (says(b"HTTP/1.1 200"), "malformed_answer"),
    ],
)
def test_without_an_answer_that_can_be_read_it_may_have_been_sent(
    egress: Egress,
    serve: Callable[..., Listener],
    answer: Callable[[socket.socket], None],
    code: str,
) -> None:
    with pytest.raises(MaybeSent) as caught:
        post(egress, serve(answer))
    assert caught.value.code in (code, "connection_lost")


def test_of_a_huge_answer_a_part_is_read(egress: Egress, serve: Callable[..., Listener]) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n"
    reply = post(egress, serve(says(head + b"x" * 10_000_000)))
    assert (reply.status, len(reply.body)) == (200, BODY_MAX)


def test_an_answer_that_breaks_off_in_its_body_is_an_answer(
    egress: Egress, serve: Callable[..., Listener]
) -> None:
    reply = post(egress, serve(says(b"HTTP/1.1 204 No\r\nContent-Length: 100\r\n\r\nhalf")))
    assert reply.status == 204


@pytest.mark.parametrize("value", ["a\r\nX-Two: 2", "a\x00b"])
def test_a_header_that_would_be_two_is_refused_before_anything_is_sent(
    egress: Egress, serve: Callable[..., Listener], value: str
) -> None:
    listener = serve(says(OK))
    with pytest.raises(NotSent, match="malformed_request"):
        egress.post(f"https://{HOST}:{listener.port}/", {"X": value}, b"", time.monotonic() + 3)
    assert listener.connections == 0


# Connections that are kept


@pytest.fixture(autouse=True)
def _a_slow_machine_is_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "IDLE_SECONDS", 60.0)


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_a_connection_is_used_again(
    egress: Egress, serve: Callable[..., Listener], scheme: str
) -> None:
    listener = serve(says(OK), times=9, tls=scheme == "https")
    assert [post(egress, listener, scheme=scheme).body for _ in range(3)] == [b"ok"] * 3
    assert (listener.connections, len(listener.requests)) == (1, 3)
    egress.drop()
    assert post(egress, listener, scheme=scheme).status == 200
    assert listener.connections == 2


def test_it_is_used_only_while_the_name_leads_there(serve: Callable[..., Listener]) -> None:
    listener = serve(says(OK), times=9, tls=False)
    answers = [["127.0.0.1"], ["127.0.0.2"], ["127.0.0.2", "127.0.0.1"], ["10.0.0.1"]]
    waiting = iter(answers)
    egress = Egress(lambda a: not a.startswith("10."), lambda host, port: next(waiting))
    connections = []
    for _ in range(3):
        post(egress, listener, scheme="http")
        connections.append(listener.connections)
    assert connections == [1, 2, 2]
    with pytest.raises(NotSent, match="connect_blocked"):
        post(egress, listener, scheme="http")
    assert len(listener.requests) == 3


def test_another_name_at_the_same_address_gets_a_connection_of_its_own(
    serve: Callable[..., Listener],
) -> None:
    listener = serve(says(OK), times=9, tls=False)
    egress = Egress(lambda a: True, lambda host, port: ["127.0.0.1"])
    for host in (HOST, "other.example.com"):
        url = f"http://{host}:{listener.port}/"
        egress.post(url, {}, b"{}", time.monotonic() + 3)
    assert listener.connections == 2


CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
HUGE = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000


@pytest.mark.parametrize(
    "answer",
    [CLOSING, HUGE, OK + OK, b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"],
    ids=["says that it closes", "huge", "two at once", "HTTP/1.0"],
)
@pytest.mark.parametrize("tls", [True, False])
def test_what_may_not_be_used_again_is_not(
    egress: Egress, serve: Callable[..., Listener], answer: bytes, tls: bool
) -> None:
    listener = serve(says(answer), times=9, tls=tls)
    for _ in range(2):
        assert post(egress, listener, scheme="https" if tls else "http").status == 200
    assert listener.connections == 2


def test_one_that_was_closed_meanwhile_is_opened_anew_before_sending(
    egress: Egress, serve: Callable[..., Listener]
) -> None:
    listener = serve(says(OK))
    for _ in range(3):
        assert post(egress, listener).status == 200
        [idle] = egress._kept._idle
        wait_until(lambda idle=idle: not idle.is_alive(), what="the end of the connection")
    assert listener.connections == 3


def test_one_that_was_idle_for_long_is_not_trusted(
    egress: Egress, serve: Callable[..., Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = serve(says(OK), times=9)
    post(egress, listener)
    monkeypatch.setattr(kept, "IDLE_SECONDS", 0.0)
    post(egress, listener)
    assert listener.connections == 2


def test_a_kept_one_that_breaks_leaves_it_open_whether_it_was_sent(
    egress: Egress, serve: Callable[..., Listener]
) -> None:
    """It is not sent a second time: whether that does harm is not decided here."""

    def answer(connection: socket.socket) -> None:
        (says(OK) if len(listener.requests) == 1 else hangs_up)(connection)

    listener = serve(answer, times=9)
    post(egress, listener)
    with pytest.raises(MaybeSent):
        post(egress, listener)
    assert (listener.connections, len(listener.requests)) == (1, 2)


def test_threads_share_them_and_never_at_the_same_time(
    egress: Egress, serve: Callable[..., Listener]
) -> None:
    def slowly(connection: socket.socket) -> None:
        time.sleep(0.02)
        connection.sendall(OK)

    listener = serve(slowly, times=99)
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: post(egress, listener, seconds=20), range(24)))
    assert {reply.body for reply in replies} == {b"ok"}
    assert len(listener.requests) == 24
    assert listener.connections <= 4


def test_of_too_many_the_oldest_goes(
    egress: Egress, serve: Callable[..., Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MOST", 1)
    one, two = serve(says(OK), times=9), serve(says(OK), times=9)
    for listener in (one, two, two, one):
        post(egress, listener)
    assert (one.connections, two.connections) == (2, 1)


@contextmanager
def no_threads_left() -> Iterator[None]:
    before = threading.active_count()
    yield
    time.sleep(0.1)
    assert threading.active_count() <= before


def test_closing_it_ends_its_threads(authority: trustme.CA) -> None:
    with no_threads_left():
        egress = Egress(resolve=lambda host, port: ["127.0.0.1"])
        with pytest.raises(NotSent):
            egress.post(f"https://{HOST}/", {}, b"", time.monotonic() + 1)
        egress.close()
