"""Notifications that become one."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from ..enums import Channel
from ..fields import MomentField
from ..querysets import DigestQuerySet
from .ids import new_id
from .tenants import Tenant


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
