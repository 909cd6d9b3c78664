"""Who delivers."""

from django.db import models

from ..fields import MomentField
from ..querysets import WorkerQuerySet


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
