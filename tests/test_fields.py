"""Times are moments, whatever the project thinks of time zones."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, models
from django.test import override_settings

from notifications.fields import Moment
from notifications.models import Notification, Tenant
from notifications.testing import assert_notified, deliver_due, outbox, travel
from tests.pipeline.factories import fresh, sms

NEW_YORK = "America/New_York"


@pytest.fixture(params=["USE_TZ", "no USE_TZ", "a time zone of the database"])
def zone(request: pytest.FixtureRequest) -> Iterator[str]:
    kind: str = request.param
    with override_settings(USE_TZ=kind != "no USE_TZ", TIME_ZONE=NEW_YORK):
        if kind.startswith("a time zone"):
            if connection.vendor == "postgresql":
                pytest.skip("PostgreSQL stores moments, whatever the zone of its connection")
            connection.settings_dict["TIME_ZONE"] = NEW_YORK
            connection.__dict__.pop("timezone", None)
        yield kind
    connection.settings_dict["TIME_ZONE"] = None
    connection.__dict__.pop("timezone", None)
    connection.__dict__.pop("timezone_name", None)
    connection.ensure_timezone()


@pytest.mark.django_db(transaction=True)
def test_what_is_stored_is_the_same_moment_and_due_when_it_should_be(zone: str) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    now, scheduled = sms(), sms(send_at=later)
    assert deliver_due() == 1
    assert fresh(now).status == "delivered"
    row = fresh(scheduled)
    assert (row.status, row.send_at, row.due_at) == ("scheduled", later, later)
    assert abs(fresh(now).created_at - datetime.now(UTC)) < timedelta(minutes=5)
    found = Notification.objects.filter(send_at=later, created_at__gt=later - timedelta(hours=2))
    assert list(found) == [scheduled]
    travel(hours=1)
    assert deliver_due() == 1
    assert len(outbox) == 2


@pytest.mark.django_db
@override_settings(USE_TZ=False, TIME_ZONE=NEW_YORK)
def test_without_use_tz_datetimes_are_local_time() -> None:
    local = datetime.now() + timedelta(hours=1)  # noqa: DTZ005 - as all of them in such a project
    sms(send_at=local)
    assert_notified(status="scheduled", send_at=local.astimezone(UTC))
    tenant = Tenant.objects.create(name="shop")
    key = tenant.api_keys.create(public_id="12345678", digest="-", expires_at=local)
    key.refresh_from_db()
    assert key.expires_at == local.astimezone(UTC), "as a form of the admin gives it"


def test_to_migrations_it_is_a_datetime_field() -> None:
    assert Moment(null=True).deconstruct()[1:] == models.DateTimeField(null=True).deconstruct()[1:]
