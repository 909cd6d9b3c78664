"""Uploaded files, and their bytes."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from ..enums import ImportPart, JobState
from ..fields import MomentField
from .ids import new_id
from .tenants import Tenant


class Import(models.Model):
    """An uploaded file whose rows become notifications in the background; how far it has come.

    `rows` of it are read; with `dry_run` they are only judged. A worker holds it under a lease,
    and not before `due_at`; where one was killed, another goes on with the next row.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, db_index=False)
    name = models.CharField(max_length=255, help_text="Of the file.")
    digest = models.CharField(max_length=64, editable=False)
    size = models.PositiveBigIntegerField(default=0, editable=False)
    options = models.JSONField(default=dict, help_text="How it is read, as in the command.")
    dry_run = models.BooleanField(default=True)
    by = models.CharField(max_length=150, editable=False)
    state = models.CharField(
        max_length=10, choices=JobState, default=JobState.RUNNING, editable=False
    )
    error = models.CharField(
        max_length=500, blank=True, editable=False, help_text="Why it has stopped by itself."
    )
    rows = models.PositiveBigIntegerField(default=0, editable=False)
    accepted = models.PositiveBigIntegerField(default=0, editable=False)
    replayed = models.PositiveBigIntegerField(default=0, editable=False)
    rejected = models.PositiveBigIntegerField(default=0, editable=False)
    read_bytes = models.PositiveBigIntegerField(default=0, editable=False)
    first_rejects = models.JSONField(
        default=list, editable=False, help_text="Line, fields and reason of the first of them."
    )
    due_at = MomentField(db_default=Now(), editable=False)
    lease_token = models.UUIDField(null=True, editable=False)
    lease_until = MomentField(null=True, editable=False)
    created_at = MomentField(db_default=Now(), editable=False)
    finished_at = MomentField(null=True, editable=False)

    class Meta:
        ordering = ("-id",)
        default_permissions = ("add", "view")
        indexes = (
            models.Index(
                fields=("lease_until",),
                condition=Q(state=JobState.RUNNING),
                name="notifications_imports_idx",
            ),
        )

    def __str__(self) -> str:
        return self.name


class ImportChunk(models.Model):
    """Some of the bytes of an import: web and worker need no disk that they share.

    `position` is where they begin: a byte of the file, or the first row that may be in them.
    """

    id = models.BigAutoField(primary_key=True)
    upload = models.ForeignKey(
        Import, on_delete=models.CASCADE, related_name="chunks", db_index=False
    )
    part = models.CharField(max_length=7, choices=ImportPart)
    position = models.PositiveBigIntegerField()
    data = models.BinaryField()

    class Meta:
        ordering = ("position",)
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(
                fields=("upload", "part", "position"), name="notifications_import_chunk"
            ),
        )

    def __str__(self) -> str:
        return f"{self.part} from {self.position}"
