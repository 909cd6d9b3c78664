"""Django's mail API through the pipeline: whatever `send_mail` sends is accepted as a notification.

    EMAIL_BACKEND = "notifications.mail.EmailBackend"

With Django's MAILERS (6.1 and later) it is a `BACKEND` of theirs, and `tenant` and `priority` are
its OPTIONS. An e-mail is written when it is accepted, by Django itself, and stored as it is: what
arrives is byte for byte what Django's own SMTP backend sends, with one Date and one Message-ID for
all attempts.
"""

import email.policy
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from email.errors import HeaderParseError
from email.headerregistry import Address, parser  # type: ignore[attr-defined]  # as Django does
from email.message import Message
from typing import Any

import django
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.db import DatabaseError
from django.utils.encoding import punycode

from .conf import get_settings
from .email_content import IN_BRACKETS
from .enums import Channel, Priority
from .exceptions import FieldError, InvalidNotification, NotificationError
from .idempotency import digest
from .messages import Draft
from .models import Tenant
from .pipeline import database
from .pipeline.accept import Accepted, accept_many, accept_one
from .shortcuts import tenant_of
from .validation import PRIORITY_OF, parse_terms

ATTRIBUTE = "notification"
"""An e-mail may have one of this name: a dict of `tenant` and of how it is to be sent (TERMS)."""

OF_EACH_WRITING = frozenset({"date", "message-id"})
"""Headers that differ each time that Django writes the same e-mail."""


class EmailBackend(BaseEmailBackend):
    """Accepts e-mails in the caller's transaction; the channel's providers send them after it.

    Without a `tenant` or `priority` (`urgent`, `normal` or `bulk`) they are those of
    NOTIFICATIONS["MAIL"]. With `fail_silently`, what cannot be accepted is passed over.
    """

    feeds_notifications = True
    """A provider that handed its e-mails to such a backend would hand them to itself."""

    def __init__(
        self,
        fail_silently: bool = False,
        *,
        tenant: str | None = None,
        priority: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.fail_silently = fail_silently
        self.tenant = tenant
        self.priority = priority
        if priority is not None and priority not in PRIORITY_OF:
            raise ImproperlyConfigured(f"priority must be one of: {', '.join(PRIORITY_OF)}")

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Accept all of them or none; how many that was.

        Raises ValueError for what no e-mail can be made of, TenantUnavailable, InvalidNotification
        and IdempotencyConflict.
        """
        drafts: dict[str | None, list[Draft]] = defaultdict(list)
        for message in email_messages or ():
            if message.recipients():
                with self._silence():
                    options = self._options(message)
                    drafts[options.pop("tenant")].append(draft_of(message, options))
        count = 0
        with self._silence():
            count += self._accept(drafts)
        return count

    @contextmanager
    def _silence(self) -> Iterator[None]:
        """Pass over what Django's SMTP backend passes over: all but mistakes in an e-mail."""
        try:
            yield
        except (NotificationError, DatabaseError):
            if not self.fail_silently:
                raise

    def _options(self, message: EmailMessage) -> dict[str, Any]:
        settings = get_settings().mail
        priority = self.priority or Priority(settings.priority).label
        given = getattr(message, ATTRIBUTE, {})
        return {"tenant": self.tenant or settings.tenant, "priority": priority, **given}

    def _accept(self, drafts: Mapping[str | None, list[Draft]]) -> int:
        wanted = [(tenant_of(name), found) for name, found in drafts.items()]
        if [len(found) for _, found in wanted] == [1]:
            [(tenant, [draft])] = wanted
            accept_one(tenant, draft)
            return 1
        with database.atomic():
            return sum(self._accept_many(tenant, found) for tenant, found in wanted)

    def _accept_many(self, tenant: Tenant, drafts: Sequence[Draft]) -> int:
        answers = accept_many(tenant, drafts)
        refused = [answer for answer in answers if isinstance(answer, NotificationError)]
        if refused and not self.fail_silently:
            raise refused[0]
        return sum(isinstance(answer, Accepted) for answer in answers)


def draft_of(message: EmailMessage, options: Mapping[str, Any]) -> Draft:
    """The e-mail as it is stored, to be sent as `options` say; raises ValueError as Django does."""
    terms = parse_terms(options)
    lists = {
        name: [_bare(address) for address in getattr(message, name) if address]
        for name in ("to", "cc", "bcc")
    }
    everybody = [address for addresses in lists.values() for address in addresses]
    sender = _bare(message.from_email)
    written, mime = _written(message)
    most = get_settings().mail.max_bytes
    if len(mime) > most:
        detail = f"the e-mail has {len(mime):,} bytes, at most {most:,} are taken (MAIL, MAX_BYTES)"
        raise InvalidNotification([FieldError("", "too_large", detail)])
    content: dict[str, Any] = {
        "subject": _storable(str(message.subject)),
        "sender": sender,
        "digest": _digest(written),
    }
    if len(everybody) > 1 or not lists["to"]:
        content |= lists
    return Draft(channel=Channel.EMAIL, to=everybody[0], content=content, mime=mime, **terms)


def _written(message: EmailMessage) -> tuple[Message, bytes]:
    """What Django's SMTP backend would send."""
    if any(name.lower() == "bcc" for name in message.extra_headers):
        raise ValueError("Bcc is no header of an e-mail: use the argument bcc.")
    if django.VERSION >= (6, 0):
        modern = message.message(policy=email.policy.SMTP)
        return modern, modern.as_bytes()
    written: Any = message.message()
    return written, written.as_bytes(linesep="\r\n")


def _bare(address: Any) -> str:
    """The address alone, its domain in ASCII; raises ValueError for what is none."""
    text = str(address)
    try:
        mailbox, rest = parser.get_mailbox(text)
    except (HeaderParseError, ValueError, IndexError) as error:
        raise _no_address(text) from error
    local, domain = mailbox.local_part or "", punycode(mailbox.domain or "")
    if rest or not local.isascii() or not local:
        raise _no_address(text)
    bare = Address(username=local, domain=domain).addr_spec
    if not IN_BRACKETS.fullmatch(bare):
        raise _no_address(text)
    return bare


def _no_address(text: str) -> ValueError:
    return ValueError(f"Invalid address {text!r}")


def _digest(written: Message) -> str:
    """Equal for e-mails that say the same, though each has a Date and boundaries of its own."""
    return digest([_said(part) for part in written.walk()])


def _said(part: Message) -> dict[str, Any]:
    headers = [[name.lower(), _storable(str(value))] for name, value in part.items()]
    own = [header for header in headers if header[0] not in {*OF_EACH_WRITING, "content-type"}]
    kind = [param for param in part.get_params([]) if param[0].lower() != "boundary"]
    payload = None if part.is_multipart() else str(part.get_payload())
    return {"headers": own, "type": str(kind), "payload": payload}


def _storable(text: str) -> str:
    """Without what no database takes: NUL, and halves of surrogate pairs."""
    return text.replace("\x00", "").encode(errors="replace").decode()
