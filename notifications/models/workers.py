"""Who delivers, and what they know of the broker's queues."""

from datetime import UTC, datetime

from django.db import models

from ..fields import MomentField
from ..querysets import QueueBacklogQuerySet, WorkerQuerySet

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


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


class QueueBacklog(models.Model):
    """What dispatchers have learnt together of a queue, which one at a time holds to fill it.

    Only `pipeline.backlog` touches it.
    """

    queue = models.CharField(max_length=100, primary_key=True)
    target = models.PositiveIntegerField(default=0)
    was_filled = models.BooleanField(default=False)
    looked_at = MomentField(default=LONG_AGO)
    adjusted_at = MomentField(default=LONG_AGO)
    holder = models.UUIDField(null=True)
    held_until = MomentField(default=LONG_AGO)

    objects = QueueBacklogQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.queue}: {self.target}"
