"""E-mail through Django's mail API, over connections that are kept open."""

import re
import socket
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from email.errors import MessageError
from email.utils import parseaddr
from typing import Any, ClassVar, Protocol

from django.conf import settings
from django.core import mail
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.backends.smtp import EmailBackend as SMTPBackend
from django.utils.module_loading import import_string

from ..email_content import IN_BRACKETS
from ..enums import Channel
from ..messages import Message, Outcome
from .base import OneByOne
from .mime import EXTRAS, CompleteEmail, full_email, own_headers, text_email
from .one_click import as_lines, one_click
from .skeleton import Skeletons, to_wire
from .smtp import Letter, SmtpSession

ADDRESS = re.compile(r"[^\s@<>,;:\"\x00-\x1f\x7f]+@[^\s@<>,;:\"\x00-\x1f\x7f]+")


MESSAGE_ID = re.compile(rb"(?im)^message-id:\s*(\S+)")


class Session(Protocol):
    """A way out that is kept open; used by one thread at a time."""

    def send(self, letter: Letter) -> Outcome: ...

    def close(self) -> None: ...


def _address(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    address = parseaddr(text)[1]
    if not ADDRESS.fullmatch(address) or not address.rpartition("@")[0].isascii():
        raise ValueError("write shop@example.com or Shop <shop@example.com>")
    return text


def _backend(value: Any) -> str:
    try:
        import_string(value)
    except (ImportError, TypeError, AttributeError) as error:
        raise ValueError(f"it cannot be imported: {error}") from error
    return str(value)


def _alias(value: Any) -> str:
    if value not in getattr(settings, "MAILERS", {}):
        raise ValueError("the setting MAILERS has no such alias")
    return str(value)


class DjangoEmailProvider(OneByOne[Letter]):
    """Sends what Django can send: by SMTP, to files, to the console or by a package's backend.

    Options: `FROM`, by default Django's DEFAULT_FROM_EMAIL; `BACKEND`, the path of an e-mail
    backend, by default EMAIL_BACKEND; with Django's MAILERS (6.1 and later) instead `MAILER`, an
    alias of it, by default "default".

    Sent again, a message has the same Message-ID, by which a duplicate is recognised; but no mail
    server drops it for that.
    """

    channels = frozenset({Channel.EMAIL})
    known_options: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "FROM": _address,
        "BACKEND": _backend,
        "MAILER": _alias,
    }

    def __init__(self, name: str, options: Mapping[str, Any], timeout: float) -> None:
        super().__init__(name, options, timeout)
        self.from_email: str = self.options.get("FROM", settings.DEFAULT_FROM_EMAIL)
        self.sender = _ascii_domain(parseaddr(self.from_email)[1])
        self._skeletons = Skeletons(self._compose)
        # The first session is made here, unopened, so that unusable settings show at once.
        self._idle: deque[Session] = deque([self._session()])

    @classmethod
    def problems(cls, options: Mapping[str, Any]) -> list[str]:
        # Django's own address is an option like any other when none is given.
        found = super().problems({"FROM": settings.DEFAULT_FROM_EMAIL, **options})
        if _leads_back(options):
            name = "MAILER" if _has_mailers() else "BACKEND"
            found.append(
                "It would hand its e-mails to notifications.mail, that is to itself: "
                f'set "{name}" to one that sends, such as Django\'s SMTP backend.'
            )
        if "BACKEND" in options and _has_mailers():
            found.append('With MAILERS the option is "MAILER", an alias, and not "BACKEND".')
        return found

    def render(self, message: Message) -> Letter | Outcome:
        try:
            return self._letter(message)
        except (MessageError, ValueError):  # Django's and Python's words for a header or address
            return Outcome.permanent(
                "invalid_message", "No e-mail can be made of this recipient, subject and text."
            )

    def hand_over(self, rendered: Letter) -> Outcome:
        session = self._take_session()
        try:
            return session.send(rendered)
        finally:
            self._idle.append(session)

    def close(self) -> None:
        super().close()
        with suppress(IndexError):  # until none is left; others may be closing or sending too
            while True:
                self._idle.pop().close()

    def _letter(self, message: Message) -> Letter:
        if "mime" in message.content:
            return _complete(message)
        if not all(map(ADDRESS.fullmatch, message.envelope)):
            raise ValueError
        if message.content.keys() & EXTRAS:
            email = full_email(message, self.from_email)
            sender, data = _ascii_domain(parseaddr(email.from_email)[1]), _wire(email)
            recipients = tuple(map(_ascii_domain, message.envelope))
        else:
            recipients = (_ascii_domain(message.to),)
            email = self._compose(message.content, recipients[0], message.key)
            filled = self._skeletons.fill(message.content, recipients[0], message.key)
            sender, data = self.sender, filled or _wire(email)
        if message.unsubscribe_url:
            headers = one_click(message.unsubscribe_url)
            data = as_lines(headers) + data
            email.extra_headers |= headers
        message_id = email.extra_headers["Message-ID"]
        return Letter(sender, recipients, message_id, lambda: email, data)

    def _compose(self, content: Mapping[str, Any], recipient: str, key: str) -> EmailMessage:
        email = text_email(content)
        email.from_email = self.from_email
        email.to = [recipient]
        email.extra_headers = own_headers(key, self.sender)
        return email

    def _take_session(self) -> Session:
        """One that no thread is using; there come to be as many as threads that send at once."""
        try:
            return self._idle.pop()
        except IndexError:
            return self._session()

    def _session(self) -> Session:
        backend = self._connection()
        if isinstance(backend, SMTPBackend) and _sends_as_django_does(backend):
            return SmtpSession(backend, self.timeout)
        return BackendSession(backend)

    def _connection(self) -> BaseEmailBackend:
        """A backend of Django's, not opened yet, in the way that this Django and project have."""
        alias, path = self.options.get("MAILER", "default"), self.options.get("BACKEND")
        connection: BaseEmailBackend
        if path is None and hasattr(mail, "mailers"):
            connection = mail.mailers[alias]  # without MAILERS, too, it knows "default"
        else:
            connection = mail.get_connection(path)
        return connection


class BackendSession:
    """Any backend of Django's: it says how many it sent, and no more."""

    def __init__(self, backend: BaseEmailBackend) -> None:
        self.backend = backend

    def send(self, letter: Letter) -> Outcome:
        try:
            self.backend.open()
        except OSError:
            return Outcome.transient("connection_failed", "The way out could not be opened.")
        return self._send(letter)

    def close(self) -> None:
        self.backend.close()

    def _send(self, letter: Letter) -> Outcome:
        try:
            count = self.backend.send_messages([letter.email()])
        except (ConnectionRefusedError, socket.gaierror):
            return Outcome.transient("connection_refused", "The server could not be reached.")
        except Exception:
            self.backend.close()  # the next one begins with a new connection
            raise
        if count:
            return Outcome.accepted(letter.message_id)
        return Outcome.ambiguous("not_confirmed", "The e-mail backend did not say that it sent it.")


def _complete(message: Message) -> Letter:
    """An e-mail that is sent as it is."""
    sender, recipients = message.content["sender"], message.envelope
    if not message.mime or not all(map(IN_BRACKETS.fullmatch, (sender, *recipients))):
        raise ValueError
    named = MESSAGE_ID.search(message.mime)
    message_id = named[1].decode(errors="replace") if named else ""
    return Letter(sender, recipients, message_id, lambda: CompleteEmail(message), message.mime)


def _wire(email: EmailMessage) -> bytes:
    """The bytes of an e-mail for SMTP.

    Before 6.0 Django writes a recipient that is not ASCII as an encoded word, which is no address,
    later it refuses it; so that header, in UTF-8 (RFC 6532), is written here.
    """
    to = email.to
    if all(map(str.isascii, to)):
        return to_wire(email.message().as_bytes())
    email.to = []
    rest = to_wire(email.message().as_bytes())
    email.to = to
    return b"To: " + ", ".join(to).encode() + b"\r\n" + rest


def _ascii_domain(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return f"{local}@{domain.encode('idna').decode('ascii')}" if not domain.isascii() else address


def _sends_as_django_does(backend: SMTPBackend) -> bool:
    """Whether sending is Django's own code: a subclass that changed it is left to do it its way."""
    return all(
        getattr(type(backend), name) is getattr(SMTPBackend, name)
        for name in ("send_messages", "_send")
    )


def _leads_back(options: Mapping[str, Any]) -> bool:
    """Whether the e-mails would come back to the pipeline, without end."""
    if _has_mailers():
        mailer = getattr(settings, "MAILERS", {}).get(options.get("MAILER", "default"), {})
        path = mailer.get("BACKEND", "")
    else:
        path = options.get("BACKEND", settings.EMAIL_BACKEND)
    try:
        return bool(getattr(import_string(path), "feeds_notifications", False))
    except (ImportError, TypeError, AttributeError):
        return False  # that it cannot be imported is told elsewhere


def _has_mailers() -> bool:
    return hasattr(mail, "mailers") and hasattr(settings, "MAILERS")
