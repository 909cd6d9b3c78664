"""The words: every closed set of names the system uses, each defined once."""

from enum import StrEnum

from django.db.models import IntegerChoices, TextChoices


class Channel(TextChoices):
    """How a notification reaches its recipient."""

    EMAIL = "email", "email"
    SMS = "sms", "SMS"
    WEBHOOK = "webhook", "webhook"

    @property
    def task(self) -> str:
        """The name of the Celery task that delivers it."""
        return f"notifications.deliver_{self.value}"


class Priority(IntegerChoices):
    """Which queue a notification waits in; the lower the number, the sooner it goes."""

    URGENT = 0, "urgent"
    NORMAL = 1, "normal"
    BULK = 2, "bulk"


class State(TextChoices):
    """How far delivery has come: written by workers and by control, never by receipts."""

    SCHEDULED = "scheduled"
    IN_DIGEST = "in_digest"
    QUEUED = "queued"
    LEASED = "leased"
    DISPATCHING = "dispatching"
    RETRY_WAIT = "retry_wait"
    UNKNOWN = "unknown"
    SENT = "sent"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"
    DIGESTED = "digested"


class ReceiptState(IntegerChoices):
    """What receipts have said so far: written by receipts only.

    The tens digit is the rank, and only a higher rank replaces a lower one.
    """

    NONE = 0, "none"
    ACCEPTED = 10, "accepted"
    IN_TRANSIT = 20, "in_transit"
    DELIVERED = 30, "delivered"
    UNDELIVERED = 31, "undelivered"
    BOUNCED = 40, "bounced"

    @property
    def floor(self) -> int:
        """The lowest value of this rank: a stored value below it may be replaced."""
        return self.value - self.value % 10


UNPROVEN = frozenset({ReceiptState.NONE, ReceiptState.ACCEPTED, ReceiptState.IN_TRANSIT})
"""What leaves open whether it arrived."""

NOT_ARRIVED = frozenset({ReceiptState.UNDELIVERED, ReceiptState.BOUNCED})
"""What says that it did not arrive."""


class Status(TextChoices):
    """What the outside sees: a function of `State` and `ReceiptState` (see `lifecycle`)."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    SENDING = "sending"
    RETRYING = "retrying"
    UNKNOWN = "unknown"
    SENT = "sent"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"
    DIGESTED = "digested"


class AttemptOutcome(TextChoices):
    """What one delivery attempt came to."""

    ACCEPTED = "accepted"
    TRANSIENT = "transient"
    THROTTLED = "throttled"
    PERMANENT = "permanent"
    AMBIGUOUS = "ambiguous"
    ABANDONED = "abandoned"


class WaitReason(TextChoices):
    """Why a notification has not gone yet."""

    SCHEDULED = "scheduled"
    DIGEST = "digest"
    QUIET_HOURS = "quiet_hours"
    QUEUE = "queue"
    RATE_LIMIT = "rate_limit"
    CIRCUIT_OPEN = "circuit_open"
    BACKOFF = "backoff"
    PAUSED = "paused"
    RECONCILE = "reconcile"


class Scope(TextChoices):
    """What a limit or a pause is laid on; a template is named `tenant/name`, and has no limits."""

    CHANNEL = "channel"
    PROVIDER = "provider"
    TENANT = "tenant"
    TEMPLATE = "template"


class JobKind(TextChoices):
    """What a job does to every notification that it finds."""

    RETRY = "retry"
    CANCEL = "cancel"


class JobState(TextChoices):
    """How far a job or an import has come."""

    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"


class ImportPart(TextChoices):
    """What the bytes kept of an import are."""

    FILE = "file", "the uploaded file"
    REJECTS = "rejects", "the rows that were not accepted"


class Counted(TextChoices):
    """What is counted for each minute, and what its label then says."""

    ACCEPTED = "accepted", "accepted: the priority"
    ATTEMPT = "attempt", "an attempt has ended: its provider and outcome"
    RETRY = "retry", "an attempt that was not the first: its provider"
    ERROR = "error", "an attempt was not accepted: its provider and code"
    SETTLED = "settled", "settled: the status"
    WAIT = "wait", "sent: the bucket of the time it took"


class KeyScope(TextChoices):
    """What an API key may be used for."""

    NOTIFY = "notify", "notify: send, cancel and retry"
    READ = "read", "read: see everything of the tenant, change nothing"
    MANAGE = "manage", "manage: templates, preferences, suppressions and endpoints"


class SuppressionReason(TextChoices):
    """Why nothing is sent to a recipient."""

    HARD_BOUNCE = "hard_bounce", "hard bounce"
    COMPLAINT = "complaint"
    STOP = "stop"
    UNSUBSCRIBE = "unsubscribe"
    SOFT_BOUNCE = "soft_bounce", "soft bounces"
    MANUAL = "manual"


class CircuitState(TextChoices):
    """Whether a provider is asked at all."""

    CLOSED = "closed", "closed"
    HALF_OPEN = "half_open", "half-open"
    OPEN = "open", "open"


class Event(TextChoices):
    """What endpoints can ask to be told of."""

    DELIVERED = "notification.delivered"
    UNDELIVERED = "notification.undelivered"
    FAILED = "notification.failed"
    UNKNOWN = "notification.unknown"
    ENDPOINT_DISABLED = "endpoint.disabled"

    @property
    def family(self) -> str:
        """It and all its kind, as `notification.*`."""
        return self.value.partition(".")[0] + ".*"


class DisabledReason(TextChoices):
    """Why nothing is sent to an endpoint."""

    GONE = "gone", "it answered 410"
    FAILING = "failing", "nothing but failures for five days"
    REQUESTED = "requested", "it was switched off"


class OnUnknown(StrEnum):
    """What becomes of a notification whose attempt had an ambiguous outcome."""

    PARK = "park"
    RETRY = "retry"
