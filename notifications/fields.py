"""Times that mean the same whatever the project's USE_TZ and TIME_ZONE are."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.utils.timezone import get_default_timezone, make_naive

if TYPE_CHECKING:
    Base = models.DateTimeField[Any, Any]
else:  # Django's fields cannot be subscripted at run time.
    Base = models.DateTimeField


class Moment(Base):
    """A DateTimeField that is aware and in UTC in Python, and a moment in the database.

    The pipeline compares with the database's clock, which on SQLite is UTC. Django would store
    what is naive there in the time zone of the project or the database. To migrations it is a
    DateTimeField: the column is the same.
    """

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()
        return name, "django.db.models.DateTimeField", args, kwargs

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        if not prepared:
            value = self.get_prep_value(value)
        if not isinstance(value, datetime):
            return super().get_db_prep_value(value, connection, prepared=True)
        moment = utc(value)
        return str(moment.replace(tzinfo=None)) if connection.vendor == "sqlite" else moment

    def get_db_converters(self, connection: Any) -> list[Any]:
        if connection.vendor == "sqlite":
            return [_of_sqlite]
        return [] if settings.USE_TZ else [_of_naive]


def utc(value: datetime) -> datetime:
    """The same moment in UTC; what is naive is local time, as Django has set it by TIME_ZONE."""
    return value.astimezone(UTC)


def local(moment: datetime) -> datetime:
    """As other applications store it: naive and local time in a project without USE_TZ."""
    return moment if settings.USE_TZ else make_naive(moment, get_default_timezone())


def _of_sqlite(value: datetime | None, *_: Any) -> datetime | None:
    return value and value.replace(tzinfo=UTC)


def _of_naive(value: datetime | None, *_: Any) -> datetime | None:
    return value and utc(value)


if TYPE_CHECKING:  # What its values are is what those of a DateTimeField are.
    MomentField = models.DateTimeField
else:
    MomentField = Moment
