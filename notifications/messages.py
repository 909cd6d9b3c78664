"""Frozen values that cross the walls between models, gates and providers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from .enums import AttemptOutcome, Channel, CircuitState, Priority, ReceiptState

DIGEST_COUNT = 100
"""How many a digest holds at most, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class DigestRule:
    """What a notification is to be gathered by: all of one `key` to one recipient become one.

    The digest closes `window` seconds after it was opened, or after the last one that came when it
    is `sliding`, and at once with `max_count` of them. `template` is what is sent then.
    """

    key: str
    template: str
    window: int
    sliding: bool = False
    max_count: int = DIGEST_COUNT


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with an e-mail; with a `content_id` its HTML can show it (`cid:`)."""

    filename: str
    content_type: str
    data: bytes = field(repr=False)
    content_id: str = ""

    def described(self) -> dict[str, Any]:
        """What the content of a notification tells of it: all but its bytes."""
        told = {
            "filename": self.filename,
            "content_type": self.content_type,
            "size": len(self.data),
            "digest": sha256(self.data).hexdigest(),
        }
        return told | {"content_id": self.content_id} if self.content_id else told


@dataclass(frozen=True, slots=True)
class Draft:
    """A validated request to notify: what `accept` stores.

    `content` holds the channel's own keys (email: subject, body, html, and who it is from, goes to
    beside `to`, and is answered to; sms: body; webhook: event, payload). Where a `template` is
    named, its parts are missing until that was rendered with `context`. `attachments` are
    described in it. An e-mail that is complete already is in `mime`. Times are aware, in UTC.
    What has a `category` is not transactional. `digest_id` is the digest that it sends.
    """

    channel: Channel
    to: str
    content: Mapping[str, Any]
    priority: Priority = Priority.NORMAL
    send_at: datetime | None = None
    expires_at: datetime | None = None
    idempotency_key: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    template: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    template_version_id: int | None = None
    is_transactional: bool = True
    category: str = ""
    digest: DigestRule | None = None
    digest_id: UUID | None = None
    attachments: tuple[Attachment, ...] = ()
    mime: bytes = field(default=b"", repr=False)


def recipients_of(to: str, content: Mapping[str, Any]) -> tuple[str, ...]:
    """Everybody whom a message goes to: nearly always `to` alone."""
    return (*content.get("to", (to,)), *content.get("cc", ()), *content.get("bcc", ()))


@dataclass(frozen=True, slots=True)
class TemplateDraft:
    """A validated template: `content` holds the text of each of its parts."""

    channel: Channel
    content: Mapping[str, str]
    is_transactional: bool = True
    category: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One notification as a provider sees it.

    `key` is the same on every attempt of a notification: a provider that honours keys
    turns a repeated send into a no-op. `attempt` counts from 1. `secrets` are what a message
    to a receiver of the tenant's own is signed with; every live one of them.
    Where `unsubscribe_url` is set, a POST to it suppresses the recipient; mail programs offer it as
    a button. `recipients` are everybody whom it is to be handed over for; without them, `to`.
    `mime` is an e-mail that is complete, to be sent as it is; `attachments` belong to one that is
    still to be built.
    """

    key: str
    channel: Channel
    tenant: str
    to: str
    content: Mapping[str, Any]
    metadata: Mapping[str, str] = field(default_factory=dict)
    attempt: int = 1
    secrets: tuple[str, ...] = field(default=(), repr=False)
    unsubscribe_url: str = ""
    recipients: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = field(default=(), repr=False)
    mime: bytes = field(default=b"", repr=False)

    @property
    def envelope(self) -> tuple[str, ...]:
        """Everybody whom it is to be handed over for."""
        return self.recipients or (self.to,)


@dataclass(frozen=True, slots=True)
class ProviderReceipt:
    """What a provider says about a message after it was accepted; `code` is why, if it says so.

    `recipient` is whom it says so of, where it names one.
    """

    kind: ReceiptState
    event_id: str
    occurred_at: datetime | None = None
    code: str = ""
    recipient: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedReceipt(ProviderReceipt):
    """A receipt that came by itself: whose it is, by our id, by the provider's, or by both.

    `code` says why, where that is told: `bounce`, `soft_bounce`, `complaint`, `unsubscribed`, or a
    word of the provider's own. A `kind` of NONE says nothing that counts here.
    """

    notification_id: UUID | None = None
    provider_message_id: str = ""


@dataclass(frozen=True, slots=True)
class ReceiptRequest:
    """A provider's call as it came in; `headers` have lower-case names.

    `url` is what the provider called, made of PUBLIC_URL; empty where that is not set.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one delivery attempt of one message came to.

    `code` is a short machine word, `detail` a sentence without recipient or content.
    `retry_after` is in seconds and only a wish of the provider. `receipts` are what the
    provider already knows of the message's further way. `seconds` is how long it took.
    """

    kind: AttemptOutcome
    code: str = ""
    detail: str = ""
    provider_message_id: str = ""
    retry_after: float | None = None
    receipts: tuple[ProviderReceipt, ...] = ()
    seconds: float = 0.0

    @classmethod
    def accepted(
        cls, provider_message_id: str = "", receipts: tuple[ProviderReceipt, ...] = ()
    ) -> "Outcome":
        return cls(
            AttemptOutcome.ACCEPTED, provider_message_id=provider_message_id, receipts=receipts
        )

    @classmethod
    def transient(cls, code: str, detail: str = "", retry_after: float | None = None) -> "Outcome":
        """The provider certainly did not take it, and may take it later."""
        return cls(AttemptOutcome.TRANSIENT, code, detail, retry_after=retry_after)

    @classmethod
    def throttled(cls, code: str, detail: str = "", retry_after: float | None = None) -> "Outcome":
        """The provider certainly did not take it because we send too fast."""
        return cls(AttemptOutcome.THROTTLED, code, detail, retry_after=retry_after)

    @classmethod
    def permanent(cls, code: str, detail: str = "") -> "Outcome":
        """The provider certainly did not take it and never will."""
        return cls(AttemptOutcome.PERMANENT, code, detail)

    @classmethod
    def ambiguous(cls, code: str, detail: str = "") -> "Outcome":
        """The provider may have taken it: nobody can tell."""
        return cls(AttemptOutcome.AMBIGUOUS, code, detail)

    @classmethod
    def abandoned(cls, code: str, detail: str = "") -> "Outcome":
        """No byte of it was handed over: it goes back to the queue free of charge."""
        return cls(AttemptOutcome.ABANDONED, code, detail)


@dataclass(frozen=True, slots=True)
class Pending:
    """A look-up that takes its time: it is gone on with in so many `seconds`, with this `note`.

    Without a note it begins anew. The note is kept with the notification, up to 255 characters.
    """

    note: str = ""
    seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Limit:
    """A rate that holds over the whole cluster: `rate` units a second, `burst` at once."""

    key: str
    rate: float
    burst: int


@dataclass(frozen=True, slots=True)
class Want:
    """A wish for `units` that every one of `limits` must allow."""

    limits: tuple[Limit, ...]
    units: int


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer to a `Want`: how many may go now, and what holds up the rest.

    `limited_by` is the key of the limit that gave least, `retry_after` the seconds until it
    has one more unit and `rate` its units a second; they are empty when all was granted.
    """

    units: int
    limited_by: str = ""
    retry_after: float = 0.0
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Passage:
    """How many messages a provider's circuit lets through now.

    `retry_after` is in seconds and for those it holds back, `reason` says why it opened. `probe`
    is set when the one unit is a probe, and is to be given back with what became of it.
    """

    units: int
    state: CircuitState = CircuitState.CLOSED
    retry_after: float = 0.0
    reason: str = ""
    probe: str = ""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a provider's account may be used: not for `held` seconds, then so many a second.

    Without a `rate` nothing slows it down.
    """

    held: float = 0.0
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Tally:
    """What calls say of their provider: how many it served, how many failed by its own fault.

    `fatal` is a failure that every other message would meet too.
    """

    ok: int = 0
    failed: int = 0
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class Circuit:
    """A provider's circuit as it is: since when and why, and until when at least."""

    state: CircuitState = CircuitState.CLOSED
    since: datetime | None = None
    reason: str = ""
    until: datetime | None = None
