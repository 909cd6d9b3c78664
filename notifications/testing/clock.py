"""Time travel: what is stored moves into the past, as if so much time had gone by.

All of the pipeline goes by the database's clock, which no test can set. So the rows are moved
against it: what was due in ten minutes is due, and what waited to be retried can be tried again.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.db import models
from django.db.models import F, Value

from ..gates import forget_gates
from ..pipeline import database, policy


def travel(
    delta: timedelta | None = None,
    *,
    seconds: float = 0,
    minutes: float = 0,
    hours: float = 0,
    days: float = 0,
) -> None:
    """Let so much time go by, for all that this package has stored.

    Instances that were read before know nothing of it: read them again. Retries, schedules,
    expiry, leases, suppressions, retention and the limits of the database all follow.
    """
    span = (delta or timedelta()) + timedelta(
        seconds=seconds, minutes=minutes, hours=hours, days=days
    )
    if span <= timedelta():
        raise ValueError("travel() goes forward: give it a timedelta or seconds=, minutes= …")
    with database.atomic():
        for model in apps.get_app_config("notifications").get_models():
            _move(model, span)
    policy.forget()
    forget_gates()


def _move(model: type[models.Model], span: timedelta) -> None:
    moved = {field.attname: _earlier(field, span) for field in _times(model)}
    if moved:
        model._base_manager.using(database.alias()).update(**moved)


def _times(model: type[models.Model]) -> Iterator[Any]:
    """Its times; the books of the gates have theirs as seconds since 1970."""
    kinds = (models.DateTimeField, models.FloatField)
    return (field for field in model._meta.concrete_fields if isinstance(field, kinds))


def _earlier(field: Any, span: timedelta) -> Any:
    if isinstance(field, models.FloatField):
        return F(field.attname) - span.total_seconds()
    output = models.DateTimeField()
    return models.ExpressionWrapper(F(field.attname) - Value(span), output_field=output)
