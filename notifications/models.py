"""The tables. What a status may become is in `lifecycle`, every move of it in `querysets`."""

from datetime import datetime, timedelta
from uuid import UUID

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Now
from django.utils.functional import cached_property
from uuid_utils.compat import uuid7

from .enums import (
    NOT_ARRIVED,
    UNPROVEN,
    AttemptOutcome,
    Channel,
    CircuitState,
    Counted,
    DisabledReason,
    Event,
    ImportPart,
    JobKind,
    JobState,
    KeyScope,
    Priority,
    ReceiptState,
    Scope,
    State,
    Status,
    SuppressionReason,
    WaitReason,
)
from .fields import MomentField
from .lifecycle import FRESH, IN_FLIGHT, LATER, MOVES, TERMINAL, TRIED, UNSENT, Move, status_of
from .querysets import (
    APIKeyQuerySet,
    DigestQuerySet,
    EndpointQuerySet,
    NotificationQuerySet,
    PreferenceQuerySet,
    SuppressionQuerySet,
    TemplateQuerySet,
    TemplateVersionQuerySet,
    WorkerQuerySet,
)
from .quiet_hours import QuietHours
from .validators import validate_rates, validate_scopes, validate_senders


def all_scopes() -> list[str]:
    """What a key may be used for where nobody has said less."""
    return list(KeyScope.values)


def new_id() -> UUID:
    """A UUIDv7: unique without the database, sorted by the time of its making."""
    return uuid7()


class Tenant(models.Model):
    """Who sends: every notification, key, limit and list belongs to one tenant."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(
        max_length=63,
        unique=True,
        validators=[RegexValidator(r"^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$")],
        help_text="Lower-case letters, digits and hyphens.",
    )
    is_active = models.BooleanField(
        default=True, help_text="While off, its keys are refused and nothing of it is sent."
    )
    api_rate_limit = models.CharField(
        "API rate limit",
        max_length=100,
        blank=True,
        validators=[validate_rates],
        help_text="How many requests it may make, such as 50/s; empty leaves it to the settings.",
    )
    has_suppressions = models.BooleanField(
        default=False,
        editable=False,
        help_text="Whether it ever had one; the list is not asked for the recipients of others.",
    )
    has_preferences = models.BooleanField(
        default=False,
        editable=False,
        help_text="Whether a recipient ever had one; the same for preferences.",
    )
    senders = models.TextField(
        blank=True,
        default="",
        validators=[validate_senders],
        help_text="What its keys may give as `from` of an e-mail: shop@example.com, or "
        "@example.com for all of a domain; one on each line. Empty: nothing.",
    )
    created_at = MomentField(db_default=Now(), editable=False)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class APIKey(models.Model):
    """What a client of a tenant shows to be let in; only a digest of its secret is kept."""

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100, blank=True)
    public_id = models.CharField(max_length=8, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(default=all_scopes, validators=[validate_scopes])
    created_at = MomentField(db_default=Now(), editable=False)
    expires_at = MomentField(null=True, blank=True)
    revoked_at = MomentField(null=True, blank=True, editable=False)
    last_used_at = MomentField(null=True, blank=True, editable=False)

    objects = APIKeyQuerySet.as_manager()

    class Meta:
        ordering = ("tenant", "-id")
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.public_id} ({self.name})" if self.name else self.public_id


class Template(models.Model):
    """A message of a tenant under a name; its text is in its versions.

    Archived, it cannot be used; it stays, because notifications refer to its versions.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, db_index=False)
    name = models.CharField(max_length=100)
    channel = models.CharField(max_length=10, choices=Channel)
    is_transactional = models.BooleanField(
        default=True,
        help_text="Off for what its recipients can unsubscribe from.",
    )
    category = models.CharField(
        max_length=50,
        blank=True,
        db_default=Value(""),
        default="",
        help_text="What its recipients can opt out of by itself, such as news.",
    )
    version = models.PositiveIntegerField(
        default=0, editable=False, help_text="The number of the version in use."
    )
    created_at = MomentField(db_default=Now(), editable=False)
    updated_at = MomentField(db_default=Now(), editable=False)
    archived_at = MomentField(null=True, editable=False)

    objects = TemplateQuerySet.as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("tenant", "name"), name="notifications_template_name"),
        )
        indexes = (models.Index(fields=("tenant", "id"), name="notifications_templates_idx"),)

    def __str__(self) -> str:
        return self.name


class TemplateVersion(models.Model):
    """What a template says or has said; never changed, so that it can be cached by its digest."""

    id = models.BigAutoField(primary_key=True)
    template = models.ForeignKey(
        Template, on_delete=models.PROTECT, related_name="versions", db_index=False
    )
    number = models.PositiveIntegerField()
    content = models.JSONField(help_text="The text of each part of the message.")
    digest = models.CharField(max_length=64, editable=False)
    created_at = MomentField(db_default=Now(), editable=False)

    objects = TemplateVersionQuerySet.as_manager()

    class Meta:
        ordering = ("-number",)
        constraints = (
            models.UniqueConstraint(
                fields=("template", "number"), name="notifications_template_version"
            ),
        )

    def __str__(self) -> str:
        return f"version {self.number}"


class Batch(models.Model):
    """The notifications of one call of `POST /notify/batch`, or of one imported file."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, db_index=False)
    idempotency_key = models.CharField(max_length=255, null=True, editable=False)
    fingerprint = models.CharField(max_length=64, blank=True, editable=False)
    results = models.JSONField(
        null=True, editable=False, help_text="The answer to replay; kept only under a key."
    )
    created_at = MomentField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "batches"
        constraints = (
            models.UniqueConstraint(
                fields=("tenant", "idempotency_key"),
                condition=Q(idempotency_key__isnull=False),
                name="notifications_batch_key",
            ),
        )

    def __str__(self) -> str:
        return str(self.id)


class Digest(models.Model):
    """Notifications of one key to one recipient that become one; while it is open there is one.

    `recipient` is folded as its channel does. `count` says how many have joined; a full one is not
    open any more. At `closes_at` it is closed, once, in the transaction that stores `notification`,
    which says what they all had to say. Without one, those that were left went by themselves.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, db_index=False)
    channel = models.CharField(max_length=10, choices=Channel)
    recipient = models.CharField(max_length=2048)
    key = models.CharField(max_length=100)
    template = models.CharField(max_length=100)
    window = models.PositiveIntegerField(help_text="In seconds.")
    is_sliding = models.BooleanField(default=False)
    max_count = models.PositiveSmallIntegerField()
    count = models.PositiveIntegerField(default=0)
    is_open = models.BooleanField(default=True)
    created_at = MomentField(db_default=Now())
    closes_at = MomentField()
    closed_at = MomentField(null=True)
    # Not a constraint: what it sends is pruned by its own age, and refers to the digest itself.
    notification = models.ForeignKey(
        "Notification",
        null=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )

    objects = DigestQuerySet.as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("recipient", "tenant", "channel", "key"),
                condition=Q(is_open=True),
                name="notifications_one_open_digest",
            ),
        )
        indexes = (
            models.Index(
                fields=("closes_at",),
                condition=Q(closed_at__isnull=True),
                name="notifications_closing_idx",
            ),
            models.Index(fields=("tenant", "id"), name="notifications_digests_idx"),
        )

    def __str__(self) -> str:
        return str(self.id)


class Notification(models.Model):
    """One message to one recipient: the record of what became of it, and its own outbox.

    `due_at` says from when it may be claimed, `publish_at` from when on the dispatcher owes it
    a broker message. `attempt_count` numbers the attempts, `uncounted_attempts` of them did not
    use up the budget. `lease_token` stays after the lease: it tells a late writer from a stranger.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, db_index=False)
    batch = models.ForeignKey(Batch, null=True, on_delete=models.PROTECT, db_index=False)
    template_version = models.ForeignKey(
        TemplateVersion, null=True, on_delete=models.PROTECT, db_index=False
    )
    channel = models.CharField(max_length=10, choices=Channel)
    priority = models.SmallIntegerField(choices=Priority, default=Priority.NORMAL)
    to = models.CharField(max_length=2048)
    content = models.JSONField()
    metadata = models.JSONField(default=dict)
    category = models.CharField(max_length=50, blank=True)
    digest = models.ForeignKey(
        Digest, null=True, on_delete=models.PROTECT, db_index=False, related_name="notifications"
    )
    idempotency_key = models.CharField(max_length=255, null=True)
    fingerprint = models.CharField(max_length=64)
    created_at = MomentField(db_default=Now())
    send_at = MomentField(null=True)
    expires_at = MomentField(null=True)
    trace = models.CharField(
        max_length=55,
        default="",
        editable=False,
        help_text="The W3C traceparent of the span that accepted it.",
    )

    state = models.CharField(max_length=11, choices=State, default=State.QUEUED)
    receipt_state = models.SmallIntegerField(choices=ReceiptState, default=ReceiptState.NONE)
    due_at = MomentField(db_default=Now())
    publish_at = MomentField(db_default=Now())
    wait_reason = models.CharField(max_length=12, choices=WaitReason, blank=True)
    wait_scope = models.CharField(max_length=100, blank=True)
    lease_token = models.UUIDField(null=True)
    lease_until = MomentField(null=True)
    cancel_requested = models.BooleanField(default=False)

    attempt_count = models.PositiveIntegerField(default=0)
    uncounted_attempts = models.PositiveIntegerField(default=0)
    abandon_count = models.PositiveSmallIntegerField(default=0)
    was_ambiguous = models.BooleanField(default=False)
    duplicate_risk = models.BooleanField(default=False)
    provider = models.CharField(max_length=50, blank=True)
    provider_message_id = models.CharField(max_length=255, blank=True)
    dispatched_at = MomentField(null=True)
    sent_at = MomentField(null=True)
    settled_at = MomentField(null=True)
    error_code = models.CharField(max_length=50, blank=True)
    error_detail = models.CharField(max_length=500, blank=True)
    look_up_note = models.CharField(
        max_length=255,
        default="",
        editable=False,
        help_text="What its provider goes on with, which is asked what became of it.",
    )

    objects = NotificationQuerySet.as_manager()

    withheld: frozenset[str] = frozenset()
    """Those of several recipients that this attempt leaves out: they are suppressed."""

    class Meta:
        permissions = (
            ("retry_notification", "Can retry notifications"),
            ("cancel_notification", "Can cancel notifications"),
            ("reveal_notification", "Can see whole recipients, which is logged"),
            ("export_notification", "Can export notifications as CSV"),
        )
        constraints = (
            models.UniqueConstraint(
                fields=("tenant", "idempotency_key"),
                condition=Q(idempotency_key__isnull=False),
                name="notifications_key",
            ),
            models.CheckConstraint(
                condition=Q(state__in=State.values), name="notifications_known_state"
            ),
            models.CheckConstraint(
                condition=Q(receipt_state__in=ReceiptState.values),
                name="notifications_known_receipt_state",
            ),
            models.CheckConstraint(
                condition=Q(channel__in=Channel.values), name="notifications_known_channel"
            ),
            models.CheckConstraint(
                condition=Q(priority__in=Priority.values), name="notifications_known_priority"
            ),
            models.CheckConstraint(
                condition=~Q(state__in=sorted(IN_FLIGHT))
                | Q(lease_token__isnull=False, lease_until__isnull=False),
                name="notifications_in_flight_has_lease",
            ),
        )
        indexes = (
            # What the dispatcher owes a message: as small as the backlog, however large the table.
            # First attempts and retries apart, so that neither has to be read past to find the
            # other; a row is in one of the two.
            models.Index(
                fields=("channel", "priority", "tenant", "publish_at"),
                condition=Q(state__in=sorted(FRESH)),
                name="notifications_owed_idx",
            ),
            models.Index(
                fields=("channel", "priority", "tenant", "publish_at"),
                condition=Q(state__in=sorted(TRIED)),
                name="notifications_owed_again_idx",
            ),
            models.Index(
                fields=("lease_until",),
                condition=Q(state__in=sorted(IN_FLIGHT)),
                name="notifications_leases_idx",
            ),
            models.Index(
                fields=("expires_at",),
                condition=Q(state__in=sorted(MOVES[Move.EXPIRE][0]), expires_at__isnull=False),
                name="notifications_expiring_idx",
            ),
            # Else whoever asks for the few that failed reads past all that were delivered.
            models.Index(
                fields=("id",),
                condition=Q(state__in=sorted(UNSENT)),
                name="notifications_unsent_idx",
            ),
            models.Index(
                fields=("id",),
                condition=Q(receipt_state__in=sorted(NOT_ARRIVED)),
                name="notifications_not_arrived_idx",
            ),
            models.Index(
                fields=("id",),
                condition=Q(state__in=[State.SENT], receipt_state__in=sorted(UNPROVEN)),
                name="notifications_unproven_idx",
            ),
            models.Index(
                fields=("id",),
                condition=Q(state__in=sorted(LATER)),
                name="notifications_scheduled_idx",
            ),
            # Written to at the end alone: until then, the indexes of what is owed begin alike.
            models.Index(
                fields=("channel", "priority"),
                condition=Q(state__in=sorted(TERMINAL)),
                name="notifications_ended_idx",
            ),
            models.Index(
                fields=("channel", "priority"),
                condition=Q(state__in=[State.UNKNOWN]),
                name="notifications_unknown_idx",
            ),
            models.Index(
                fields=("channel", "priority"),
                condition=Q(state__in=[State.IN_DIGEST]),
                name="notifications_in_digest_idx",
            ),
            models.Index(
                fields=("digest",),
                condition=Q(digest__isnull=False),
                name="notifications_by_digest_idx",
            ),
            models.Index(fields=("tenant", "id"), name="notifications_newest_idx"),
            models.Index(fields=("to",), name="notifications_to_idx"),
            # For receipts that name nothing but the provider's own id.
            models.Index(
                fields=("provider_message_id",),
                condition=Q(provider_message_id__gt=""),
                name="notifications_message_id_idx",
            ),
            models.Index(
                fields=("batch",),
                condition=Q(batch__isnull=False),
                name="notifications_by_batch_idx",
            ),
            models.Index(
                fields=("template_version",),
                condition=Q(template_version__isnull=False),
                name="notifications_by_template_idx",
            ),
        )

    def __str__(self) -> str:
        return str(self.id)

    @cached_property
    def is_transactional(self) -> bool:
        """Whether it is no news that one can unsubscribe from; a claim has read it already."""
        version = self.template_version
        return not self.category and (version is None or version.template.is_transactional)

    @property
    def status(self) -> Status:
        """What the outside is told."""
        return status_of(State(self.state), ReceiptState(self.receipt_state))

    @property
    def template(self) -> str | None:
        """The name of the template it was made from."""
        return self.template_version.template.name if self.template_version else None

    @property
    def spent_attempts(self) -> int:
        """How much of the channel's MAX_ATTEMPTS is used up."""
        return self.attempt_count - self.uncounted_attempts


class Attachment(models.Model):
    """The bytes that go with an e-mail; its notification's content tells what they are.

    Read for an attempt of a notification that has any, and by nobody else. They stay as long as it
    does, for it may be sent again.
    """

    id = models.BigAutoField(primary_key=True)
    notification = models.ForeignKey(
        Notification, on_delete=models.CASCADE, related_name="attachments", db_index=False
    )
    position = models.PositiveSmallIntegerField()
    data = models.BinaryField()

    class Meta:
        ordering = ("position",)
        constraints = (
            models.UniqueConstraint(
                fields=("notification", "position"), name="notifications_attachment_position"
            ),
        )

    def __str__(self) -> str:
        return f"attachment {self.position}"


class Attempt(models.Model):
    """One delivery attempt that has ended; `number` counts from 1 within the notification."""

    id = models.BigAutoField(primary_key=True)
    notification = models.ForeignKey(
        Notification, on_delete=models.CASCADE, related_name="attempts", db_index=False
    )
    number = models.PositiveIntegerField()
    provider = models.CharField(max_length=50)
    outcome = models.CharField(max_length=9, choices=AttemptOutcome)
    code = models.CharField(max_length=50, blank=True)
    detail = models.CharField(max_length=500, blank=True)
    duration_ms = models.PositiveIntegerField()
    finished_at = MomentField(db_default=Now())

    class Meta:
        ordering = ("number",)
        constraints = (
            models.UniqueConstraint(
                fields=("notification", "number"), name="notifications_attempt_number"
            ),
        )

    def __str__(self) -> str:
        return f"attempt {self.number}: {self.outcome}"

    @property
    def started_at(self) -> datetime:
        return self.finished_at - timedelta(milliseconds=self.duration_ms)


class Wait(models.Model):
    """That a notification was put off, free of charge: why, and how often in a row of attempts.

    Between two attempts each reason and scope has one row, which goes on counting; `until` is when
    it was to be looked at again after the last time.
    """

    id = models.BigAutoField(primary_key=True)
    notification = models.ForeignKey(
        Notification, on_delete=models.CASCADE, related_name="waits", db_index=False
    )
    after_attempt = models.PositiveIntegerField(help_text="How many attempts there were before.")
    reason = models.CharField(max_length=12, choices=WaitReason)
    scope = models.CharField(max_length=100, blank=True)
    since = MomentField()
    last_at = MomentField()
    until = MomentField()
    count = models.PositiveIntegerField()

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=("notification", "after_attempt", "reason", "scope"),
                name="notifications_one_wait",
            ),
        )

    def __str__(self) -> str:
        return f"{self.reason} {self.scope}"


class Receipt(models.Model):
    """What a provider told of a message's further way, stored once per event.

    One without a notification is an orphan: it waits for the send that it tells of to be recorded.
    `claims` is then the id that it names, of which nobody knows whether there is such a row.
    `recipient` is whom it is about where that is one of several, and of an orphan whom it names.
    """

    id = models.BigAutoField(primary_key=True)
    notification = models.ForeignKey(
        Notification, null=True, on_delete=models.CASCADE, related_name="receipts"
    )
    provider = models.CharField(max_length=50)
    provider_message_id = models.CharField(max_length=255, blank=True, db_default=Value(""))
    claims = models.UUIDField(null=True, editable=False)
    event_id = models.CharField(max_length=255)
    kind = models.SmallIntegerField(choices=ReceiptState)
    code = models.CharField(max_length=50, blank=True, db_default=Value(""))
    recipient = models.CharField(max_length=320, blank=True, db_default=Value(""))
    occurred_at = MomentField(db_default=Now())
    received_at = MomentField(db_default=Now())

    class Meta:
        ordering = ("id",)
        constraints = (
            models.UniqueConstraint(
                fields=("provider", "event_id"), name="notifications_receipt_once"
            ),
        )
        indexes = (
            models.Index(
                fields=("provider_message_id",),
                condition=Q(notification__isnull=True),
                name="notifications_orphans_idx",
            ),
            models.Index(
                fields=("claims",),
                condition=Q(notification__isnull=True, claims__isnull=False),
                name="notifications_claiming_idx",
            ),
            models.Index(
                fields=("received_at",),
                condition=Q(notification__isnull=True),
                name="notifications_orphan_age_idx",
            ),
            # How often one of several has bounced: as small as the number of copies.
            models.Index(
                fields=("recipient",),
                condition=Q(recipient__gt=""),
                name="notifications_receipt_to_idx",
            ),
        )

    def __str__(self) -> str:
        return f"{self.provider}: {self.get_kind_display()}"


class Endpoint(models.Model):
    """A URL that a tenant has registered for webhooks, with the secrets they are signed with.

    The one without a URL is the tenant's default, for whatever goes to a URL that is not
    registered. `secrets` encrypts both secrets; the previous one signs until `previous_until`.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, db_index=False)
    url = models.CharField("URL", max_length=2048, blank=True)
    description = models.CharField(max_length=200, blank=True)
    events = models.JSONField(default=list, help_text="What it is told of without being sent to.")
    is_active = models.BooleanField(default=True, help_text="While off, nothing is sent to it.")
    disabled_reason = models.CharField(
        max_length=9, choices=DisabledReason, blank=True, editable=False
    )
    failing_since = MomentField(null=True, editable=False)
    probe_at = MomentField(
        null=True,
        editable=False,
        help_text="While it does nothing but fail: when one message may go ahead again.",
    )
    secret = models.CharField(max_length=255, editable=False)
    previous_secret = models.CharField(max_length=255, blank=True, editable=False)
    previous_until = MomentField(null=True, editable=False)
    created_at = MomentField(db_default=Now(), editable=False)

    objects = EndpointQuerySet.as_manager()

    class Meta:
        ordering = ("tenant", "id")
        constraints = (
            models.UniqueConstraint(fields=("tenant", "url"), name="notifications_endpoint_url"),
        )

    def __str__(self) -> str:
        return str(self.id)

    def wants(self, event: Event) -> bool:
        """Whether it asked to be told of `event`."""
        return event in self.events or event.family in self.events


class Suppression(models.Model):
    """A recipient that nothing of a tenant is sent to; `recipient` is folded as its channel does.

    Each recipient has one, that of the reason that holds longest and most.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, db_index=False)
    channel = models.CharField(max_length=10, choices=Channel)
    recipient = models.CharField(max_length=2048)
    reason = models.CharField(
        max_length=11, choices=SuppressionReason, default=SuppressionReason.MANUAL
    )
    note = models.CharField(max_length=200, blank=True)
    created_at = MomentField(db_default=Now(), editable=False)
    expires_at = MomentField(null=True, blank=True)

    objects = SuppressionQuerySet.as_manager()

    class Meta:
        constraints = (
            # The recipient first: a worker asks for those of many tenants at once.
            models.UniqueConstraint(
                fields=("recipient", "tenant", "channel"), name="notifications_one_suppression"
            ),
            models.CheckConstraint(
                condition=Q(reason__in=SuppressionReason.values),
                name="notifications_known_suppression_reason",
            ),
        )
        indexes = (models.Index(fields=("tenant", "id"), name="notifications_suppressed_idx"),)

    def __str__(self) -> str:
        return str(self.id)


class Preference(models.Model):
    """What a recipient wants to have of a tenant, and when; `recipient` as in suppressions.

    It holds for what is not transactional. Quiet hours are told by the clock of `time_zone`.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, db_index=False)
    channel = models.CharField(max_length=10, choices=Channel)
    recipient = models.CharField(max_length=2048)
    opt_outs = models.JSONField(
        default=list, blank=True, help_text="The categories that are not sent to the recipient."
    )
    quiet_from = models.TimeField(null=True, blank=True)
    quiet_until = models.TimeField(null=True, blank=True)
    time_zone = models.CharField(
        max_length=64, blank=True, help_text="Of the quiet hours, such as Europe/Berlin."
    )
    created_at = MomentField(db_default=Now(), editable=False)

    objects = PreferenceQuerySet.as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("recipient", "tenant", "channel"), name="notifications_one_preference"
            ),
        )
        indexes = (models.Index(fields=("tenant", "id"), name="notifications_preferred_idx"),)

    def __str__(self) -> str:
        return str(self.id)

    @property
    def quiet_hours(self) -> QuietHours | None:
        """When the recipient is to be left alone, if ever."""
        if self.quiet_from is None or self.quiet_until is None:
            return None
        return QuietHours(self.quiet_from, self.quiet_until, self.time_zone)


class RateLimit(models.Model):
    """A limit set while running; it replaces the one in the settings for its subject."""

    id = models.BigAutoField(primary_key=True)
    scope = models.CharField(
        max_length=10, choices=[choice for choice in Scope.choices if choice[0] != Scope.TEMPLATE]
    )
    subject = models.CharField(
        max_length=100, help_text="The name of the channel, provider or tenant."
    )
    rates = models.CharField(
        max_length=100,
        validators=[validate_rates],
        help_text="Such as 50/s, or 100/s, 5000/d: all of them hold, over the whole cluster.",
    )

    class Meta:
        ordering = ("scope", "subject")
        constraints = (
            models.UniqueConstraint(fields=("scope", "subject"), name="notifications_one_limit"),
        )

    def __str__(self) -> str:
        return f"{self.scope} {self.subject}: {self.rates}"


class Pause(models.Model):
    """While it exists, nothing of its subject is sent; nothing is lost."""

    id = models.BigAutoField(primary_key=True)
    scope = models.CharField(max_length=10, choices=Scope)
    subject = models.CharField(
        max_length=200,
        help_text="The name of the channel, provider or tenant; of a template as tenant/name.",
    )
    reason = models.CharField(max_length=200, blank=True)
    created_at = MomentField(db_default=Now(), editable=False)

    class Meta:
        ordering = ("scope", "subject")
        constraints = (
            models.UniqueConstraint(fields=("scope", "subject"), name="notifications_one_pause"),
        )

    def __str__(self) -> str:
        return f"{self.scope} {self.subject}"


class RateBucket(models.Model):
    """How far ahead of time a limit is used up (GCRA); only `gates.database` touches it."""

    key = models.CharField(max_length=150, primary_key=True)
    arrival = models.FloatField(
        help_text="Theoretical arrival time: seconds since 1970 by the database's clock."
    )

    def __str__(self) -> str:
        return self.key


class ProviderCircuit(models.Model):
    """The circuit breaker's book of a provider; only `gates.database` touches it.

    Times are in seconds since 1970 by the database's clock.
    """

    provider = models.CharField(max_length=100, primary_key=True)
    state = models.CharField(max_length=9, choices=CircuitState, default=CircuitState.CLOSED)
    since = models.FloatField(default=0.0)
    reason = models.CharField(max_length=20, blank=True)
    until = models.FloatField(default=0.0)
    trips = models.PositiveSmallIntegerField(default=0)
    probe = models.CharField(max_length=32, blank=True)
    window = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"{self.provider}: {self.state}"


class ProviderPace(models.Model):
    """The pacer's book of a provider's account; only `gates.database` touches it.

    Times are in seconds since 1970 by the database's clock.
    """

    provider = models.CharField(max_length=100, primary_key=True)
    until = models.FloatField(default=0.0)
    refused = models.FloatField(default=0.0)
    slowed = models.FloatField(default=0.0)
    adding = models.BooleanField(default=False)

    def __str__(self) -> str:
        return self.provider


class Worker(models.Model):
    """A worker that has shown itself; `seen_at` is renewed while it lives."""

    name = models.CharField(max_length=255, primary_key=True)
    seen_at = MomentField()
    queues = models.JSONField(default=list, help_text="What it reads; empty where it did not say.")

    objects = WorkerQuerySet.as_manager()

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class Job(models.Model):
    """Many notifications retried or cancelled in the background; the row is how far it has come.

    It goes through the ids from `cursor` to `until`, which is where they ended when it was made.
    A worker holds it under a lease; where one was killed, another goes on from the cursor.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    kind = models.CharField(max_length=10, choices=JobKind)
    filters = models.JSONField(default=dict)
    accept_duplicate_risk = models.BooleanField(default=False)
    reason = models.CharField(max_length=200)
    by = models.CharField(max_length=150, editable=False)
    user = models.CharField(max_length=64, blank=True, editable=False)
    state = models.CharField(
        max_length=10, choices=JobState, default=JobState.RUNNING, editable=False
    )
    begins = models.UUIDField(editable=False)
    cursor = models.UUIDField(editable=False)
    until = models.UUIDField(editable=False)
    looked_at = models.PositiveBigIntegerField(default=0, editable=False)
    changed = models.PositiveBigIntegerField(default=0, editable=False)
    asked = models.PositiveBigIntegerField(default=0, editable=False)
    lease_token = models.UUIDField(null=True, editable=False)
    lease_until = MomentField(null=True, editable=False)
    created_at = MomentField(db_default=Now(), editable=False)
    finished_at = MomentField(null=True, editable=False)

    class Meta:
        ordering = ("-id",)
        indexes = (
            models.Index(
                fields=("lease_until",),
                condition=Q(state=JobState.RUNNING),
                name="notifications_jobs_idx",
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"


class Import(models.Model):
    """An uploaded file whose rows become notifications in the background; how far it has come.

    `rows` of it are read; with `dry_run` they are only judged. A worker holds it under a lease,
    and not before `due_at`; where one was killed, another goes on with the next row.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, db_index=False)
    name = models.CharField(max_length=255, help_text="Of the file.")
    digest = models.CharField(max_length=64, editable=False)
    size = models.PositiveBigIntegerField(default=0, editable=False)
    options = models.JSONField(default=dict, help_text="How it is read, as in the command.")
    dry_run = models.BooleanField(default=True)
    by = models.CharField(max_length=150, editable=False)
    state = models.CharField(
        max_length=10, choices=JobState, default=JobState.RUNNING, editable=False
    )
    error = models.CharField(
        max_length=500, blank=True, editable=False, help_text="Why it has stopped by itself."
    )
    rows = models.PositiveBigIntegerField(default=0, editable=False)
    accepted = models.PositiveBigIntegerField(default=0, editable=False)
    replayed = models.PositiveBigIntegerField(default=0, editable=False)
    rejected = models.PositiveBigIntegerField(default=0, editable=False)
    read_bytes = models.PositiveBigIntegerField(default=0, editable=False)
    first_rejects = models.JSONField(
        default=list, editable=False, help_text="Line, fields and reason of the first of them."
    )
    due_at = MomentField(db_default=Now(), editable=False)
    lease_token = models.UUIDField(null=True, editable=False)
    lease_until = MomentField(null=True, editable=False)
    created_at = MomentField(db_default=Now(), editable=False)
    finished_at = MomentField(null=True, editable=False)

    class Meta:
        ordering = ("-id",)
        default_permissions = ("add", "view")
        indexes = (
            models.Index(
                fields=("lease_until",),
                condition=Q(state=JobState.RUNNING),
                name="notifications_imports_idx",
            ),
        )

    def __str__(self) -> str:
        return self.name


class ImportChunk(models.Model):
    """Some of the bytes of an import: web and worker need no disk that they share.

    `position` is where they begin: a byte of the file, or the first row that may be in them.
    """

    id = models.BigAutoField(primary_key=True)
    upload = models.ForeignKey(
        Import, on_delete=models.CASCADE, related_name="chunks", db_index=False
    )
    part = models.CharField(max_length=7, choices=ImportPart)
    position = models.PositiveBigIntegerField()
    data = models.BinaryField()

    class Meta:
        ordering = ("position",)
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(
                fields=("upload", "part", "position"), name="notifications_import_chunk"
            ),
        )

    def __str__(self) -> str:
        return f"{self.part} from {self.position}"


class MinuteCount(models.Model):
    """How often something happened in a minute: what the dashboard draws; see `minutes`."""

    id = models.BigAutoField(primary_key=True)
    minute = MomentField()
    what = models.CharField(max_length=10, choices=Counted)
    channel = models.CharField(max_length=10)
    label = models.CharField(max_length=110)
    count = models.PositiveBigIntegerField()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("minute", "what", "channel", "label"), name="notifications_one_count"
            ),
        )

    def __str__(self) -> str:
        return f"{self.minute} {self.what} {self.channel} {self.label}: {self.count}"


class NoRows(models.Manager["Dashboard"]):
    """Asks no table: `dumpdata` reads whatever model there is."""

    def get_queryset(self) -> models.QuerySet["Dashboard"]:
        return super().get_queryset().none()


class Dashboard(models.Model):
    """No table: it gives the dashboard its place in the admin, and a permission of its own."""

    objects = NoRows()

    class Meta:
        managed = False
        base_manager_name = "objects"
        default_permissions = ("view",)
        verbose_name = "dashboard"
        verbose_name_plural = "dashboard"

    def __str__(self) -> str:
        return "dashboard"
