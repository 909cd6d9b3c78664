"""What the dashboard draws, and its place in the admin."""

from django.db import models

from ..enums import Counted
from ..fields import MomentField


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
