"""What the modules that read providers' receipts have in common: reading without an error."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.utils.dateparse import parse_datetime


def text_of(item: Mapping[str, Any], name: str) -> str:
    """The text under `name`, empty where there is none or something else."""
    value = item.get(name)
    return value if isinstance(value, str) else ""


def mapping_of(item: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object under `name`, empty where there is none or something else."""
    value = item.get(name)
    return value if isinstance(value, dict) else {}


def uuid_of(text: str) -> UUID | None:
    """Our id in what a provider gives back to us, or None when it is none."""
    try:
        return UUID(text)
    except ValueError:
        return None


def time_of(text: str) -> datetime | None:
    """An ISO 8601 time with its offset, in UTC, or None when it is none."""
    try:
        time = parse_datetime(text)
        return time.astimezone(UTC) if time and time.tzinfo else None
    except (ValueError, OverflowError):
        return None
