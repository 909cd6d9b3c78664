"""Many rows in one INSERT: they are what the ORM would have stored."""

import tracemalloc
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext

from notifications import bulk
from notifications.enums import Channel, Priority, State
from notifications.models import Notification, Tenant, new_id

pytestmark = pytest.mark.django_db

NOW = datetime(2030, 1, 31, 8, 0, 0, 123456, tzinfo=UTC)
ROW: dict[str, Any] = {
    "channel": Channel.WEBHOOK,
    "priority": Priority.BULK,
    "to": "https://example.com/%s?a=\\'\"",
    "content": {"payload": {"é": ["🐝", "\u2028", 1.5e-7, 10**30, -0.0, True, None, {}, "%s \\"]}},
    "metadata": {"order": "7"},
    "idempotency_key": None,
    "fingerprint": "f" * 64,
    "send_at": datetime(2030, 1, 31, 9, tzinfo=timezone(timedelta(hours=1))),
    "expires_at": None,
    "state": State.SCHEDULED,
    "due_at": NOW,
    "publish_at": NOW,
}


@pytest.fixture
def tenant() -> Tenant:
    return Tenant.objects.create(name="shop")


def insert(tenant: Tenant, *rows: dict[str, Any]) -> int:
    alike = {"tenant_id": tenant.pk, "created_at": NOW}
    return bulk.insert("default", Notification, rows, alike=alike)


def new_row(**more: Any) -> dict[str, Any]:
    return {"id": new_id(), **ROW, **more}


def values(row: Model) -> dict[str, Any]:
    return {f.attname: getattr(row, f.attname) for f in row._meta.concrete_fields if f.name != "id"}


def test_a_row_is_what_the_orm_would_have_stored(tenant: Tenant) -> None:
    row = new_row()
    assert insert(tenant, row) == 1
    by_orm = Notification.objects.create(tenant=tenant, created_at=NOW, **{**row, "id": new_id()})
    stored = Notification.objects.get(pk=row["id"])
    assert values(stored) == values(Notification.objects.get(pk=by_orm.pk))
    assert stored.content == ROW["content"]


def test_a_taken_key_stays_and_is_not_counted(tenant: Tenant) -> None:
    first = new_row(idempotency_key="k")
    insert(tenant, first)
    again = [new_row(idempotency_key=key) for key in ("k", "free", "free", None, None)]
    assert insert(tenant, *again) == 3
    assert Notification.objects.get(idempotency_key="k").pk == first["id"]


def test_many_rows_are_one_statement_and_none_is_no_statement(tenant: Tenant) -> None:
    with CaptureQueriesContext(connection) as captured:
        assert insert(tenant, *[new_row() for _ in range(500)]) == 500
        assert insert(tenant) == 0
    assert len(captured) == 1


@pytest.mark.postgres
def test_one_plan_serves_any_number_of_rows(tenant: Tenant) -> None:
    raw: Any = connection.connection
    raw.execute("DEALLOCATE ALL")
    before, raw.prepare_threshold = raw.prepare_threshold, 2
    try:
        for count in (1, 2, 50, 1):
            assert insert(tenant, *[new_row() for _ in range(count)]) == count
        kept = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'INSERT%'"
        assert raw.execute(kept).fetchone() == (1,)
    finally:
        raw.prepare_threshold = before


@pytest.mark.postgres
def test_what_was_sent_is_not_held_by_the_connection() -> None:
    """A connection that prepares counts the texts of its last hundred statements."""
    assert connection.settings_dict["OPTIONS"]["prepare_threshold"]
    shop = Tenant.objects.create(name="shop")
    tracemalloc.start()
    try:
        for _ in range(10):
            row = {**ROW, "id": new_id(), "content": {"body": "x" * 1_000_000}}
            assert insert(shop, row) == 1
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 4_000_000
