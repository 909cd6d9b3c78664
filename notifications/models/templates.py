"""Templates and what they say."""

from django.db import models
from django.db.models import Value
from django.db.models.functions import Now

from ..enums import Channel
from ..fields import MomentField
from ..querysets import TemplateQuerySet, TemplateVersionQuerySet
from .ids import new_id
from .tenants import Tenant


class Template(models.Model):
    """A message of a tenant under a name; its text is in its versions.

    Archived, it cannot be used; it stays, because notifications refer to its versions.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, db_index=False)
    name = models.CharField(max_length=100)
    channel = models.CharField(max_length=10, choices=Channel)
    is_transactional = models.BooleanField(
        default=True,
        help_text="Off for what its recipients can unsubscribe from.",
    )
    category = models.CharField(
        max_length=50,
        blank=True,
        db_default=Value(""),
        default="",
        help_text="What its recipients can opt out of by itself, such as news.",
    )
    version = models.PositiveIntegerField(
        default=0, editable=False, help_text="The number of the version in use."
    )
    created_at = MomentField(db_default=Now(), editable=False)
    updated_at = MomentField(db_default=Now(), editable=False)
    archived_at = MomentField(null=True, editable=False)

    objects = TemplateQuerySet.as_manager()

    class Meta:
        constraints = (
            models.UniqueConstraint(fields=("tenant", "name"), name="notifications_template_name"),
        )
        indexes = (models.Index(fields=("tenant", "id"), name="notifications_templates_idx"),)

    def __str__(self) -> str:
        return self.name


class TemplateVersion(models.Model):
    """What a template says or has said; never changed, so that it can be cached by its digest."""

    id = models.BigAutoField(primary_key=True)
    template = models.ForeignKey(
        Template, on_delete=models.PROTECT, related_name="versions", db_index=False
    )
    number = models.PositiveIntegerField()
    content = models.JSONField(help_text="The text of each part of the message.")
    digest = models.CharField(max_length=64, editable=False)
    created_at = MomentField(db_default=Now(), editable=False)

    objects = TemplateVersionQuerySet.as_manager()

    class Meta:
        ordering = ("-number",)
        constraints = (
            models.UniqueConstraint(
                fields=("template", "number"), name="notifications_template_version"
            ),
        )

    def __str__(self) -> str:
        return f"version {self.number}"
