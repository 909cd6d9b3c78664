"""HTTP to addresses that tenants choose, and to none that they must not reach.

A name is resolved at the time of sending, every address of the answer must be public, and the
one that was checked is the one that is dialled: a name that leads elsewhere a moment later leads
nowhere. No redirects, no proxies, no cookies; every read is bounded in size, and all of it in
time. Rules: `is_public`, verified against the registries of IANA (2026-11).
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

try:
    import h11
except ImportError as error:
    raise ImportError(
        'h11 is not installed: pip install "django-notifications-engine[webhook]"'
    ) from error

from .kept import Kept, Place

CONNECT_SECONDS = 3.0
"""How long a name may take to be resolved, and then a connection to be made."""

HEAD_MAX = 16 * 1024
BODY_MAX = 64 * 1024
CHUNK = 16 * 1024

DENIED_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
DENIED_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)

FINISHED = {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}

Resolve = Callable[[str, int], Sequence[str]]
"""The addresses of a host, as text."""


class NotSent(Exception):
    """No byte of the request has left. `code` is a fixed word: more would map our network."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class MaybeSent(NotSent):
    """The request may have arrived, and no answer has come."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; header names in lower case, of the body no more than BODY_MAX."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def is_public(address: str) -> bool:
    """Whether `address` is one that anybody in the internet may be sent to.

    Python's `is_global` lets NAT64, multicast and site-local addresses through.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:  # a scope, as in fe80::1%eth0, or no address at all
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if isinstance(found, ipaddress.IPv4Address):
        return not any(found in network for network in DENIED_V4)
    if found.scope_id is not None:
        return False
    return found in GLOBAL_V6 and not any(found in network for network in DENIED_V6)


def is_public_or_loopback(address: str) -> bool:
    """For development only: this machine too."""
    return is_public(address) or address in ("127.0.0.1", "::1")


def resolve(host: str, port: int) -> list[str]:
    """What the system's resolver says."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class Egress:
    """Sends requests, over connections kept for a moment; an instance serves all threads."""

    def __init__(
        self,
        is_allowed: Callable[[str], bool] = is_public,
        resolve: Resolve = resolve,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._is_allowed = is_allowed
        self._resolve = resolve
        self._context = context or ssl.create_default_context()
        self._resolvers = ThreadPoolExecutor(8, thread_name_prefix="resolve")
        self._kept = Kept()

    def post(self, url: str, headers: Mapping[str, str], body: bytes, deadline: float) -> Reply:
        """POST `body`; all of it ends at `deadline`, of `time.monotonic`.

        Raises NotSent while nothing has left, MaybeSent afterwards.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            request = _request(parts, headers, body)
        except h11.LocalProtocolError as error:
            raise NotSent("malformed_request") from error
        place = (parts.scheme, host, port)
        addresses = self._addresses(host, port, deadline)
        connection = self._kept.take(place, addresses) or self._open(place, addresses, deadline)
        is_reusable = False
        try:
            reply, is_reusable = _exchange(connection, request, body, deadline)
        finally:
            if is_reusable:
                self._kept.give(place, connection)
            else:
                connection.close()
        return reply

    def drop(self) -> None:
        """Let go of the connections that are kept."""
        self._kept.close()

    def close(self) -> None:
        self.drop()
        self._resolvers.shutdown(wait=False, cancel_futures=True)

    def _addresses(self, host: str, port: int, deadline: float) -> list[str]:
        """All addresses of `host`: one that is not allowed spoils the whole answer."""
        try:
            wait = min(CONNECT_SECONDS, _left(deadline))
            found = list(self._resolvers.submit(self._resolve, host, port).result(wait))
        except (OSError, UnicodeError, FutureTimeout) as error:
            raise NotSent("dns_error") from error
        if not found:
            raise NotSent("dns_error")
        if not all(self._is_allowed(address) for address in found):
            raise NotSent("connect_blocked")
        return found

    def _open(self, place: Place, addresses: Sequence[str], deadline: float) -> socket.socket:
        scheme, host, port = place
        connection = self._connect(addresses, port, deadline)
        try:
            return self._secure(connection, host, deadline) if scheme == "https" else connection
        except BaseException:
            connection.close()
            raise

    def _connect(self, addresses: Iterable[str], port: int, deadline: float) -> socket.socket:
        for address in dict.fromkeys(addresses):
            try:
                wait = min(CONNECT_SECONDS, _left(deadline))
                connection = socket.create_connection((address, port), wait)
            except OSError:
                continue
            if self._is_allowed(str(connection.getpeername()[0])):
                return connection
            connection.close()
            raise NotSent("connect_blocked")
        raise NotSent("connect_error")

    def _secure(self, connection: socket.socket, host: str, deadline: float) -> ssl.SSLSocket:
        try:
            connection.settimeout(min(CONNECT_SECONDS, _left(deadline)))
            return self._context.wrap_socket(connection, server_hostname=host)
        except (OSError, ValueError) as error:
            raise NotSent("tls_error") from error


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _request(parts: SplitResult, headers: Mapping[str, str], body: bytes) -> h11.Request:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    own = {
        "Host": parts.netloc,
        "Content-Length": str(len(body)),
        "Accept-Encoding": "identity",
    }
    return h11.Request(method="POST", target=target, headers=list({**headers, **own}.items()))


def _exchange(
    connection: socket.socket, request: h11.Request, body: bytes, deadline: float
) -> tuple[Reply, bool]:
    """The answer, and whether the connection may carry another request."""
    protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_MAX)
    sent = b"".join(
        protocol.send(event) or b"" for event in (request, h11.Data(data=body), h11.EndOfMessage())
    )
    try:
        connection.settimeout(_left(deadline))
    except TimeoutError as error:
        raise NotSent("timeout") from error
    try:
        connection.sendall(sent)
        reply = _read(connection, protocol, deadline)
        return reply, protocol.states == FINISHED and not protocol.trailing_data[0]
    except TimeoutError as error:
        raise MaybeSent("timeout") from error
    except h11.RemoteProtocolError as error:
        raise MaybeSent("malformed_answer") from error
    except OSError as error:
        raise MaybeSent("connection_lost") from error


def _read(connection: socket.socket, protocol: h11.Connection, deadline: float) -> Reply:
    """The answer; once its head is there, what is wrong with its body decides nothing."""
    head = _next(connection, protocol, deadline)
    while isinstance(head, h11.InformationalResponse):
        head = _next(connection, protocol, deadline)
    if not isinstance(head, h11.Response):
        raise h11.RemoteProtocolError("the connection ended before an answer")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
    return Reply(head.status_code, headers, _body(connection, protocol, deadline))


def _body(connection: socket.socket, protocol: h11.Connection, deadline: float) -> bytes:
    body = b""
    try:
        while len(body) < BODY_MAX and isinstance(
            event := _next(connection, protocol, deadline), h11.Data
        ):
            body += event.data
    except (OSError, h11.RemoteProtocolError):
        pass  # the status has been read, which decides; of the body what came is enough
    return body[:BODY_MAX]


def _next(connection: socket.socket, protocol: h11.Connection, deadline: float) -> object:
    while (event := protocol.next_event()) is h11.NEED_DATA:
        connection.settimeout(_left(deadline))
        protocol.receive_data(connection.recv(CHUNK))
    return event
