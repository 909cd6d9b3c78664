"""Who sends, and the keys it is known by."""

from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Now

from ..enums import KeyScope
from ..fields import MomentField
from ..querysets import APIKeyQuerySet
from ..validators import validate_rates, validate_scopes, validate_senders


def all_scopes() -> list[str]:
    """What a key may be used for where nobody has said less."""
    return list(KeyScope.values)


class Tenant(models.Model):
    """Who sends: every notification, key, limit and list belongs to one tenant."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(
        max_length=63,
        unique=True,
        validators=[RegexValidator(r"^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$")],
        help_text="Lower-case letters, digits and hyphens.",
    )
    is_active = models.BooleanField(
        default=True, help_text="While off, its keys are refused and nothing of it is sent."
    )
    api_rate_limit = models.CharField(
        "API rate limit",
        max_length=100,
        blank=True,
        validators=[validate_rates],
        help_text="How many requests it may make, such as 50/s; empty leaves it to the settings.",
    )
    has_suppressions = models.BooleanField(
        default=False,
        editable=False,
        help_text="Whether it ever had one; the list is not asked for the recipients of others.",
    )
    has_preferences = models.BooleanField(
        default=False,
        editable=False,
        help_text="Whether a recipient ever had one; the same for preferences.",
    )
    senders = models.TextField(
        blank=True,
        default="",
        validators=[validate_senders],
        help_text="What its keys may give as `from` of an e-mail: shop@example.com, or "
        "@example.com for all of a domain; one on each line. Empty: nothing.",
    )
    created_at = MomentField(db_default=Now(), editable=False)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


class APIKey(models.Model):
    """What a client of a tenant shows to be let in; only a digest of its secret is kept."""

    id = models.BigAutoField(primary_key=True)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100, blank=True)
    public_id = models.CharField(max_length=8, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    scopes = models.JSONField(default=all_scopes, validators=[validate_scopes])
    created_at = MomentField(db_default=Now(), editable=False)
    expires_at = MomentField(null=True, blank=True)
    revoked_at = MomentField(null=True, blank=True, editable=False)
    last_used_at = MomentField(null=True, blank=True, editable=False)

    objects = APIKeyQuerySet.as_manager()

    class Meta:
        ordering = ("tenant", "-id")
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.public_id} ({self.name})" if self.name else self.public_id
