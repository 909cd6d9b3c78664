"""What the shop makes of what became of its notifications."""

from typing import Any
from uuid import UUID

from django.dispatch import receiver
from django.utils import timezone

from notifications.signals import notification_settled

from .models import Order

REACHED = {"sent", "delivered"}
"""Not every provider reports what it has delivered; with one that does not, `sent` is the end."""


@receiver(notification_settled)
def note_that_the_customer_is_informed(
    notification_id: UUID, channel: str, status: str, **_: Any
) -> None:
    """By e-mail, for everybody gets one. Called by the worker, after its commit."""
    if channel == "email" and status in REACHED:
        uninformed = Order.objects.filter(notifications=notification_id, informed_at=None)
        uninformed.update(informed_at=timezone.now())
