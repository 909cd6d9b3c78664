"""What is done to many in the background."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from ..enums import JobKind, JobState
from ..fields import MomentField
from .ids import new_id


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
