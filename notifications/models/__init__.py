"""The tables. What a status may become is in `lifecycle`, every move of it in `querysets`."""

from .attachments import Attachment
from .batches import Batch
from .dashboard import Dashboard, MinuteCount
from .digests import Digest
from .endpoints import Endpoint
from .gates import ProviderCircuit, ProviderPace, RateBucket
from .history import Attempt, Receipt, Wait
from .ids import new_id
from .imports import Import, ImportChunk
from .jobs import Job
from .notification import Notification
from .policy import Pause, RateLimit
from .recipients import Preference, Suppression
from .templates import Template, TemplateVersion
from .tenants import APIKey, Tenant, all_scopes
from .workers import QueueBacklog, Worker

__all__ = [
    "APIKey",
    "Attachment",
    "Attempt",
    "Batch",
    "Dashboard",
    "Digest",
    "Endpoint",
    "Import",
    "ImportChunk",
    "Job",
    "MinuteCount",
    "Notification",
    "Pause",
    "Preference",
    "ProviderCircuit",
    "ProviderPace",
    "QueueBacklog",
    "RateBucket",
    "RateLimit",
    "Receipt",
    "Suppression",
    "Template",
    "TemplateVersion",
    "Tenant",
    "Wait",
    "Worker",
    "all_scopes",
    "new_id",
]
