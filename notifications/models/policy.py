"""What is set while running: limits and pauses."""

from django.db import models
from django.db.models.functions import Now

from ..enums import Scope
from ..fields import MomentField
from ..validators import validate_rates


class RateLimit(models.Model):
    """A limit set while running; it replaces the one in the settings for its subject."""

    id = models.BigAutoField(primary_key=True)
    scope = models.CharField(
        max_length=10, choices=[choice for choice in Scope.choices if choice[0] != Scope.TEMPLATE]
    )
    subject = models.CharField(
        max_length=100, help_text="The name of the channel, provider or tenant."
    )
    rates = models.CharField(
        max_length=100,
        validators=[validate_rates],
        help_text="Such as 50/s, or 100/s, 5000/d: all of them hold, over the whole cluster.",
    )

    class Meta:
        ordering = ("scope", "subject")
        constraints = (
            models.UniqueConstraint(fields=("scope", "subject"), name="notifications_one_limit"),
        )

    def __str__(self) -> str:
        return f"{self.scope} {self.subject}: {self.rates}"


class Pause(models.Model):
    """While it exists, nothing of its subject is sent; nothing is lost."""

    id = models.BigAutoField(primary_key=True)
    scope = models.CharField(max_length=10, choices=Scope)
    subject = models.CharField(
        max_length=200,
        help_text="The name of the channel, provider or tenant; of a template as tenant/name.",
    )
    reason = models.CharField(max_length=200, blank=True)
    created_at = MomentField(db_default=Now(), editable=False)

    class Meta:
        ordering = ("scope", "subject")
        constraints = (
            models.UniqueConstraint(fields=("scope", "subject"), name="notifications_one_pause"),
        )

    def __str__(self) -> str:
        return f"{self.scope} {self.subject}"
