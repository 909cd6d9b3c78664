"""Where webhooks go."""

from django.db import models
from django.db.models.functions import Now

from ..enums import DisabledReason, Event
from ..fields import MomentField
from ..querysets import EndpointQuerySet
from .ids import new_id
from .tenants import Tenant


class Endpoint(models.Model):
    """A URL that a tenant has registered for webhooks, with the secrets they are signed with.

    The one without a URL is the tenant's default, for whatever goes to a URL that is not
    registered. `secrets` encrypts both secrets; the previous one signs until `previous_until`.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, db_index=False)
    url = models.CharField("URL", max_length=2048, blank=True)
    description = models.CharField(max_length=200, blank=True)
    events = models.JSONField(default=list, help_text="What it is told of without being sent to.")
    is_active = models.BooleanField(default=True, help_text="While off, nothing is sent to it.")
    disabled_reason = models.CharField(
        max_length=9, choices=DisabledReason, blank=True, editable=False
    )
    failing_since = MomentField(null=True, editable=False)
    probe_at = MomentField(
        null=True,
        editable=False,
        help_text="While it does nothing but fail: when one message may go ahead again.",
    )
    secret = models.CharField(max_length=255, editable=False)
    previous_secret = models.CharField(max_length=255, blank=True, editable=False)
    previous_until = MomentField(null=True, editable=False)
    created_at = MomentField(db_default=Now(), editable=False)

    objects = EndpointQuerySet.as_manager()

    class Meta:
        ordering = ("tenant", "id")
        constraints = (
            models.UniqueConstraint(fields=("tenant", "url"), name="notifications_endpoint_url"),
        )

    def __str__(self) -> str:
        return str(self.id)

    def wants(self, event: Event) -> bool:
        """Whether it asked to be told of `event`."""
        return event in self.events or event.family in self.events
