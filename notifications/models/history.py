"""What became of a notification: its attempts, waits and receipts."""

from datetime import datetime, timedelta

from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Now

from ..enums import AttemptOutcome, ReceiptState, WaitReason
from ..fields import MomentField
from .notification import Notification


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
