"""What a tenant knows of a recipient: that nothing is sent to it, or what it wants."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from ..enums import Channel, SuppressionReason
from ..fields import MomentField
from ..querysets import PreferenceQuerySet, SuppressionQuerySet
from ..quiet_hours import QuietHours
from .ids import new_id
from .tenants import Tenant


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
