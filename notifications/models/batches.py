"""Notifications that were accepted together."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from ..fields import MomentField
from .ids import new_id
from .tenants import Tenant


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
