"""A kept-open SMTP connection, spoken command by command.

`smtplib.sendmail` does not tell at which command a connection was lost, and that decides
everything: before the message data nothing can have been taken, after it nobody can tell.
"""

import re
import smtplib
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend

from ..enums import AttemptOutcome
from ..messages import Outcome

IDLE_SECONDS = 30.0
"""A connection unused for longer is asked for a sign of life before it gets a message."""

CREDENTIALS = frozenset({530, 534, 535, 538})
"""Replies that mean us, not the message: it must not fail for them."""

CONNECTION_ERRORS = (OSError, smtplib.SMTPException)  # TLS, DNS and timeouts are OSErrors

READY_FOR_DATA = 354

RCPT = "RCPT"

Reply = tuple[int, bytes]


@dataclass(frozen=True, slots=True)
class Command:
    """A line to the server; `ready` is the reply to it that is no refusal."""

    verb: str
    line: bytes
    ready: int = 250


@dataclass(frozen=True, slots=True)
class Letter:
    """An e-mail with its envelope: `data` goes over the wire, `email` makes Django's form of it."""

    sender: str
    recipients: tuple[str, ...]
    message_id: str
    email: Callable[[], EmailMessage]
    data: bytes

    @property
    def is_ascii(self) -> bool:
        return all(map(str.isascii, self.recipients))


class SmtpSession:
    """One connection, used by one thread at a time; opened when it is first needed."""

    def __init__(self, backend: EmailBackend, timeout: float) -> None:
        """`backend` knows host, credentials and TLS, and opens; `timeout` bounds one message."""
        self.backend = backend
        self.backend.timeout = timeout
        self.timeout = timeout
        self._until = self._used = 0.0
        self._refusals: list[Outcome] = []
        """What the server said of those recipients of the message at hand that it does not take."""

    def send(self, letter: Letter) -> Outcome:
        try:
            return self._send(letter)
        except BaseException:
            # A time limit may strike anywhere; the next message must not begin in mid-command.
            self._drop()
            raise

    def close(self) -> None:
        """Say goodbye."""
        if smtp := self._smtp():
            with suppress(*CONNECTION_ERRORS):  # it may be gone already
                smtp.quit()
        self._drop()

    def _send(self, letter: Letter) -> Outcome:
        self._until = time.monotonic() + self.timeout
        try:
            refusal = self._announce_twice(letter)
        except CONNECTION_ERRORS as error:
            self._drop()
            return _not_taken(error)
        return refusal or self._transmit(letter)

    def _announce_twice(self, letter: Letter) -> Outcome | None:
        """Announce it; when a kept connection proves dead, once more on a new one."""
        if self._smtp() is None:
            return self._announce(letter)
        try:
            self._show_life()
            return self._announce(letter)
        except (smtplib.SMTPServerDisconnected, smtplib.SMTPResponseException, ConnectionError):
            self._drop()
        return self._announce(letter)

    def _show_life(self) -> None:
        if time.monotonic() - self._used > IDLE_SECONDS:
            self._ask(self._open().noop)

    def _announce(self, letter: Letter) -> Outcome | None:
        """All that comes before the message itself; an outcome when it is refused."""
        smtp = self._open()
        smtp.ehlo_or_helo_if_needed()
        if not letter.is_ascii and not smtp.has_extn("smtputf8"):
            return Outcome.permanent(
                "smtputf8_unsupported", "The server takes no address with such characters."
            )
        return self._give(_commands(smtp, letter), at_once=smtp.has_extn("pipelining"))

    def _give(self, commands: Sequence[Command], at_once: bool) -> Outcome | None:
        """Each when the one before is answered, or all before the first is (RFC 2920).

        It goes on as long as one recipient is taken.
        """
        smtp = self._open()
        self._refusals = []
        recipients = sum(command.verb == RCPT for command in commands)
        if at_once:
            self._say(b"".join(command.line for command in commands))
        for given, command in enumerate(commands, start=1):
            if not at_once:
                self._say(command.line)
            code = self._ask(smtp.getreply)
            refusal = _refusal(code, command.verb, command.ready)
            if refusal and command.verb == RCPT:
                self._refusals.append(refusal)
                refusal = self._mildest() if len(self._refusals) == recipients else None
            if refusal:
                self._reset(len(commands) - given if at_once else 0)
                return refusal
        return None

    def _mildest(self) -> Outcome:
        """Of refusals of all recipients: one that lets it be tried again, if there is one."""
        mild = (r for r in self._refusals if r.kind is not AttemptOutcome.PERMANENT)
        return next(mild, self._refusals[0])

    def _transmit(self, letter: Letter) -> Outcome:
        """The message itself: from its first byte on, silence means that nobody can tell."""
        smtp = self._open()
        try:
            self._mind_the_time(smtp)
            smtp.send(_with_dots(letter.data))
            self._mind_the_time(smtp)
            code, _ = smtp.getreply()
        except CONNECTION_ERRORS as error:
            self._drop()
            return _perhaps_taken(error)
        self._used = time.monotonic()
        if code == 421:
            self._drop()
        if not 200 <= code < 600 or 300 <= code < 400:
            self._drop()
            return Outcome.ambiguous("smtp_reply", "The server's last answer made no sense.")
        return _refusal(code, "the message") or self._accepted(letter)

    def _accepted(self, letter: Letter) -> Outcome:
        taken, refused = Outcome.accepted(letter.message_id), len(self._refusals)
        if not refused:
            return taken
        detail = f"The server refused {refused} of {len(letter.recipients)} recipients."
        return replace(taken, code="some_refused", detail=detail)

    def _open(self) -> smtplib.SMTP:
        self.backend.open()
        smtp = self._smtp()
        if smtp is None:  # a backend told to fail silently
            raise smtplib.SMTPServerDisconnected
        return smtp

    def _say(self, commands: bytes) -> None:
        smtp = self._open()
        self._mind_the_time(smtp)
        smtp.send(commands)

    def _ask(self, command: Callable[..., Reply], *arguments: Any) -> int:
        """Give a command and return the code of the reply."""
        self._mind_the_time(self._open())
        code, _ = command(*arguments)
        self._used = time.monotonic()
        if code == 421:  # and it hangs up
            raise smtplib.SMTPResponseException(code, b"")
        return code

    def _mind_the_time(self, smtp: smtplib.SMTP) -> None:
        remaining = self._until - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        if smtp.sock:
            smtp.sock.settimeout(remaining)

    def _reset(self, outstanding: int) -> None:
        """Make the connection ready for the next message, with so many replies still to come."""
        try:
            codes = [self._ask(self._open().getreply) for _ in range(outstanding)]
            if READY_FOR_DATA in codes:
                self._drop()  # it waits for the message that it refused
            else:
                self._ask(self._open().rset)
        except CONNECTION_ERRORS:
            self._drop()  # what the server said of the message stands

    def _smtp(self) -> smtplib.SMTP | None:
        smtp: smtplib.SMTP | None = self.backend.connection
        return smtp

    def _drop(self) -> None:
        """Hang up without a word: whoever is silent would let QUIT wait as well."""
        # Newer Djangos keep a connection whose TLS or login failed under the second name.
        for name in ("connection", "_partial_connection"):
            if smtp := getattr(self.backend, name, None):
                smtp.close()
            setattr(self.backend, name, None)


def _commands(smtp: smtplib.SMTP, letter: Letter) -> tuple[Command, ...]:
    """All that comes before the message itself; the addresses hold no brackets or line ends."""
    mail = " ".join([f"MAIL FROM:<{letter.sender}>", *_mail_options(smtp, letter)])
    return (
        Command("MAIL", f"{mail}\r\n".encode()),
        *(Command(RCPT, f"RCPT TO:<{to}>\r\n".encode()) for to in letter.recipients),
        Command("DATA", b"DATA\r\n", READY_FOR_DATA),
    )


def _mail_options(smtp: smtplib.SMTP, letter: Letter) -> list[str]:
    options = []
    if smtp.has_extn("size"):
        options.append(f"size={len(letter.data)}")
    if smtp.has_extn("8bitmime") and not letter.data.isascii():
        options.append("body=8bitmime")
    if not letter.is_ascii:
        options.append("smtputf8")
    return options


def _with_dots(data: bytes) -> bytes:
    """The data as RFC 5321, 4.5.2 wants it: leading dots doubled, a lone one at the end."""
    end = b".\r\n" if data.endswith(b"\r\n") else b"\r\n.\r\n"
    return re.sub(rb"(?m)^\.", b"..", data) + end


def _refusal(code: int, to: str, ready: int = 250) -> Outcome | None:
    """What a reply other than success comes to; its text is not kept, it may name the recipient."""
    if code == ready or (ready == 250 and 200 <= code < 300):
        return None
    detail = f"The server answered {to} with {code}."
    if code in CREDENTIALS:
        return Outcome.transient("credentials", "The server does not accept our credentials.")
    if 500 <= code < 600:
        return Outcome.permanent(f"smtp_{code}", detail)
    if 400 <= code < 500:
        return Outcome.transient(f"smtp_{code}", detail)
    return Outcome.transient("smtp_reply", f"The server's answer to {to} made no sense.")


NOT_TAKEN: tuple[tuple[type[Exception], str, str], ...] = (
    (smtplib.SMTPAuthenticationError, "credentials", "The server does not accept our credentials."),
    (TimeoutError, "timeout", "The server did not answer in time, before the message was sent."),
    (ssl.SSLError, "tls", "No secure connection to the server could be made."),
    (socket.gaierror, "dns", "The name of the server could not be resolved."),
    (ConnectionRefusedError, "connection_refused", "The server refused the connection."),
)


def _not_taken(error: Exception) -> Outcome:
    """An error before the message data: certainly not taken, and not the message's fault."""
    for kind, code, detail in NOT_TAKEN:
        if isinstance(_origin(error), kind):
            return Outcome.transient(code, detail)
    if isinstance(error, smtplib.SMTPResponseException) and 400 <= error.smtp_code < 600:
        code = "credentials" if error.smtp_code in CREDENTIALS else f"smtp_{error.smtp_code}"
        return Outcome.transient(code, f"The server answered with {error.smtp_code}.")
    return Outcome.transient("connection_failed", "The connection failed before the message.")


def _perhaps_taken(error: Exception) -> Outcome:
    if isinstance(_origin(error), TimeoutError):
        return Outcome.ambiguous("timeout", "The server did not say whether it took the message.")
    return Outcome.ambiguous("connection_lost", "The connection was lost after the message began.")


def _origin(error: Exception) -> BaseException:
    """The error of the socket; smtplib makes a disconnection of every one of them."""
    if isinstance(error, smtplib.SMTPServerDisconnected) and error.__context__ is not None:
        return error.__context__
    return error
