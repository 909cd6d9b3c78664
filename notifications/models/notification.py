"""The notification, with the indexes by which it is found."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.functional import cached_property

from ..enums import (
    NOT_ARRIVED,
    UNPROVEN,
    Channel,
    Priority,
    ReceiptState,
    State,
    Status,
    WaitReason,
)
from ..fields import MomentField
from ..lifecycle import FRESH, IN_FLIGHT, LATER, MOVES, TERMINAL, TRIED, UNSENT, Move, status_of
from ..querysets import NotificationQuerySet
from .batches import Batch
from .digests import Digest
from .ids import new_id
from .templates import TemplateVersion
from .tenants import Tenant


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
