"""What each endpoint does; shapes and statuses are held against the OpenAPI document as well."""

import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import OperationalError

from notifications.api import views
from notifications.api.parsers import BATCH
from notifications.enums import AttemptOutcome, ReceiptState, State, WaitReason
from notifications.models import (
    Attempt,
    Batch,
    Notification,
    RateLimit,
    Receipt,
    Tenant,
    Worker,
)
from notifications.pipeline import forecast, policy
from tests.api.conftest import API, EMAIL, stored

pytestmark = pytest.mark.django_db

SMS = {"channel": "sms", "to": "+14155550123", "body": "Hello"}


def codes(response: Any) -> list[tuple[str, str]]:
    return [(error["pointer"], error["code"]) for error in response.json()["errors"]]


def in_flight(tenant: Tenant, **more: Any) -> Notification:
    until = datetime.now(UTC) + timedelta(minutes=1)
    leased = {"lease_token": uuid4(), "lease_until": until}
    return stored(tenant, state=State.DISPATCHING, **leased, **more)


# POST /notify


def test_a_notification_is_accepted_and_shown_where_it_says(api: API) -> None:
    response = api.post("/notify", {**EMAIL, "metadata": {"order": "7"}})
    body = response.json()
    assert response.status_code == 202
    assert response["Location"] == body["url"] == f"http://testserver/notifications/{body['id']}"
    assert body["status"] == "queued"
    assert (body["subject"], body["priority"]) == ("Hello", "normal")
    assert body["metadata"] == {"order": "7"}
    assert body["created_at"].endswith("Z")
    shown = api.get(f"/notifications/{body['id']}").json()
    assert shown["attempts"] == shown["receipts"] == []
    assert shown["waiting"]["reason"] == "queue"
    assert {name: shown[name] for name in body} == body


def test_a_scheduled_notification_says_when_it_will_go(api: API) -> None:
    body = api.post("/notify", {**EMAIL, "send_at": "2099-01-31T09:00:00+01:00"}).json()
    assert body["status"] == "scheduled"
    assert body["send_at"] == body["next_attempt_at"] == "2099-01-31T08:00:00Z"
    assert api.get(f"/notifications/{body['id']}").json()["waiting"]["reason"] == "scheduled"


def test_all_errors_are_told_at_once_and_nothing_is_stored(api: API) -> None:
    response = api.post(
        "/notify", {"channel": "email", "to": "nobody", "priority": "high", "state": "sent"}
    )
    assert response.status_code == 400
    assert {pointer for pointer, _ in codes(response)} >= {"/to", "/priority", "/state"}
    assert not Notification.objects.exists()


@pytest.mark.parametrize(
    "field", ["tenant", "status", "id", "created_at", "provider", "attempts", "is_staff"]
)
def test_fields_that_are_not_the_client_s_are_refused(api: API, field: str) -> None:
    response = api.post("/notify", {**EMAIL, field: "x"})
    assert response.status_code == 400
    assert (f"/{field}", "unknown_field") in codes(response)


def test_a_problem_points_at_a_value_and_never_repeats_it(api: API) -> None:
    canary = "canary-4711@example"
    response = api.post("/notify", {**EMAIL, "to": canary, "metadata": {"a": [canary]}})
    assert response.status_code == 400
    assert canary not in response.content.decode()


def test_an_unknown_parameter_never_sends(api: API) -> None:
    response = api.post("/notify?dryrun=true", EMAIL)
    assert response.status_code == 400
    assert codes(response) == [("/dryrun", "unknown_parameter")]
    assert not Notification.objects.exists()


@pytest.mark.parametrize("header", ["order-7", '"order-7"'])
def test_a_replayed_key_gives_the_notification_as_it_is_now(api: API, header: str) -> None:
    first = api.post("/notify", EMAIL, Idempotency_Key=header)
    Notification.objects.update(state=State.CANCELLED)
    for again in (
        api.post("/notify", EMAIL, Idempotency_Key="order-7"),
        api.post("/notify", {**EMAIL, "idempotency_key": "order-7"}),
        api.post("/notify", {**EMAIL, "idempotency_key": "order-7"}, Idempotency_Key=header),
    ):
        assert (first.status_code, again.status_code) == (202, 200)
        assert again["Idempotent-Replayed"] == "true"
        assert again["Location"] == first["Location"] == again.json()["url"]
        assert again.json()["id"] == first.json()["id"]
        assert again.json()["idempotency_key"] == "order-7"
        assert again.json()["status"] == "cancelled"
    assert "Idempotent-Replayed" not in first


def test_a_key_used_with_other_content_is_a_422(api: API) -> None:
    api.post("/notify", EMAIL, Idempotency_Key="order-7")
    response = api.post("/notify", {**EMAIL, "body": "Other"}, Idempotency_Key="order-7")
    assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")
    assert Notification.objects.count() == 1


def test_two_different_keys_are_refused(api: API) -> None:
    response = api.post("/notify", {**EMAIL, "idempotency_key": "a"}, Idempotency_Key="b")
    assert response.status_code == 400
    assert codes(response) == [("/idempotency_key", "conflicting_keys")]


@pytest.mark.parametrize("header", ["", " ", "a b", "é", "x" * 256, '""', "a\x7f"])
def test_a_bad_key_is_told_with_all_other_errors(api: API, header: str) -> None:
    response = api.post("/notify", {"channel": "email", "to": "nobody"}, Idempotency_Key=header)
    assert response.status_code == 400
    assert ("/idempotency_key", "invalid_key") in codes(response)
    assert "/to" in [pointer for pointer, _ in codes(response)]
    assert not Notification.objects.exists()


def test_a_key_is_free_again_after_a_failed_validation(api: API) -> None:
    assert api.post("/notify", {}, Idempotency_Key="k").status_code == 400
    assert api.post("/notify", EMAIL, Idempotency_Key="k").status_code == 202


def test_tenants_do_not_share_keys(api: API, stranger_api: API) -> None:
    one, other = (a.post("/notify", EMAIL, Idempotency_Key="k") for a in (api, stranger_api))
    assert (one.status_code, other.status_code) == (202, 202)
    assert one.json()["id"] != other.json()["id"]


def test_a_database_that_is_away_is_a_503_with_retry_after(
    api: API, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> None:
        raise OperationalError("could not connect to ada@example.com")

    monkeypatch.setattr(views, "accept_one", away)
    response = api.post("/notify", EMAIL)
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert "ada" not in response.content.decode()


# POST /notify/batch


def test_the_items_of_a_batch_are_independent(api: API) -> None:
    api.post("/notify", {**EMAIL, "idempotency_key": "old"})
    items = [EMAIL, {**EMAIL, "to": "nobody"}, {**EMAIL, "idempotency_key": "old"}, 7, SMS]
    response = api.post("/notify/batch", {"notifications": items})
    body = response.json()
    assert response.status_code == 202
    assert response["Location"] == body["url"] == f"http://testserver/batches/{body['id']}"
    outcomes = [result["outcome"] for result in body["results"]]
    assert outcomes == ["accepted", "rejected", "replayed", "rejected", "accepted"]
    assert (body["accepted"], body["replayed"], body["rejected"]) == (2, 1, 2)
    assert [result["index"] for result in body["results"]] == [0, 1, 2, 3, 4]
    assert body["results"][1]["errors"][0]["pointer"] == "/to"
    assert body["results"][1]["id"] is None


def test_a_batch_of_which_nothing_can_be_accepted_is_a_400(api: API) -> None:
    response = api.post("/notify/batch", {"notifications": [{**EMAIL, "to": "x"}, []]})
    assert response.status_code == 400
    pointers = [pointer for pointer, _ in codes(response)]
    assert pointers == ["/notifications/0/to", "/notifications/1"]
    assert not Batch.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"notifications": []},
        {"notifications": None},
        {"notifications": {}},
        {"notifications": [EMAIL] * 1001},
        {"notifications": [EMAIL], "priority": "urgent"},
    ],
)
def test_what_is_no_batch_is_a_400(api: API, body: dict[str, Any]) -> None:
    assert api.post("/notify/batch", body).status_code == 400
    assert not Notification.objects.exists()


def test_a_batch_of_a_thousand_is_accepted(api: API) -> None:
    items = [{**SMS, "body": f"Hello {n}"} for n in range(1000)]
    body = api.post("/notify/batch", {"notifications": items}).json()
    assert body["accepted"] == 1000
    assert api.get(f"/batches/{body['id']}").json()["counts"]["queued"] == 1000


def test_a_batch_as_large_as_may_be_takes_a_small_multiple_of_it_in_memory(api: API) -> None:
    items = [{**EMAIL, "subject": "🐝", "body": "x" * (BATCH.max_bytes // 1000 - 150)}] * 1000
    body = json.dumps({"notifications": items}).encode()
    assert 0.95 * BATCH.max_bytes < len(body) <= BATCH.max_bytes
    tracemalloc.start()
    try:
        assert api.post("/notify/batch", body).json()["accepted"] == 1000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * BATCH.max_bytes


def test_a_batch_with_a_key_is_answered_again(api: API) -> None:
    body = {"notifications": [EMAIL, {}]}
    first = api.post("/notify/batch", body, Idempotency_Key="k")
    again = api.post("/notify/batch", body, Idempotency_Key="k")
    assert (first.status_code, again.status_code) == (202, 200)
    assert again["Idempotent-Replayed"] == "true"
    assert again["Location"] == first["Location"] == again.json()["url"]
    assert again.json() == first.json()
    assert Notification.objects.count() == 1
    other = api.post("/notify/batch", {"notifications": [SMS]}, Idempotency_Key="k")
    assert other.status_code == 422


# GET /notifications/{id}


def test_the_detail_shows_attempts_and_receipts(api: API, tenant: Tenant) -> None:
    now = datetime.now(UTC)
    row = stored(
        tenant,
        state=State.SENT,
        receipt_state=ReceiptState.DELIVERED,
        attempt_count=2,
        provider="simulated",
        provider_message_id="m-1",
        sent_at=now,
        settled_at=now,
    )
    for number, outcome in enumerate((AttemptOutcome.TRANSIENT, AttemptOutcome.ACCEPTED), 1):
        Attempt.objects.create(
            notification=row,
            number=number,
            provider="simulated",
            outcome=outcome,
            code="busy" if number == 1 else "",
            duration_ms=12,
            finished_at=now + timedelta(milliseconds=12),
        )
    Receipt.objects.create(
        notification=row,
        provider="simulated",
        event_id="e-1",
        kind=ReceiptState.DELIVERED,
        occurred_at=now,
    )
    body = api.get(f"/notifications/{row.pk}").json()
    assert body["status"] == "delivered"
    assert body["waiting"] is body["next_attempt_at"] is body["error"] is None
    assert [a["outcome"] for a in body["attempts"]] == ["transient", "accepted"]
    assert [a["code"] for a in body["attempts"]] == ["busy", None]
    assert body["attempts"][0]["duration_ms"] == 12
    assert [r["kind"] for r in body["receipts"]] == ["delivered"]


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"state": State.QUEUED}, False),
        ({"state": State.QUEUED, "wait_reason": WaitReason.RATE_LIMIT}, True),
        ({"state": State.RETRY_WAIT, "wait_reason": WaitReason.BACKOFF}, True),
        ({"state": State.SCHEDULED}, True),
        ({"state": State.SENT}, False),
        ({"state": State.UNKNOWN}, False),
        ({"state": State.FAILED}, False),
    ],
)
def test_the_next_attempt_is_told_only_where_there_is_one(
    api: API, tenant: Tenant, values: dict[str, Any], shown: bool
) -> None:
    row = stored(tenant, **values)
    body = api.get(f"/notifications/{row.pk}").json()
    assert (body["next_attempt_at"] is not None) == shown


# POST /notifications/{id}/cancel and /retry


def test_a_waiting_notification_is_cancelled(api: API, tenant: Tenant) -> None:
    row = stored(tenant)
    response = api.post(f"/notifications/{row.pk}/cancel")
    assert (response.status_code, response.json()["status"]) == (200, "cancelled")
    assert "cancel_requested" not in response.json()


def test_cancelling_in_flight_is_noted(api: API, tenant: Tenant) -> None:
    row = in_flight(tenant)
    response = api.post(f"/notifications/{row.pk}/cancel", {})
    assert response.status_code == 202
    assert response.json()["status"] == "sending"
    assert response.json()["cancel_requested"] is True
    row.refresh_from_db()
    assert row.cancel_requested


@pytest.mark.parametrize("state", [State.SENT, State.FAILED, State.CANCELLED, State.EXPIRED])
def test_what_is_settled_cannot_be_cancelled(api: API, tenant: Tenant, state: State) -> None:
    row = stored(tenant, state=state)
    response = api.post(f"/notifications/{row.pk}/cancel")
    assert (response.status_code, response.json()["code"]) == (409, "not_possible")


@pytest.mark.parametrize("state", [State.FAILED, State.EXPIRED, State.CANCELLED])
def test_what_has_ended_is_retried(api: API, tenant: Tenant, state: State) -> None:
    row = stored(tenant, state=state)
    response = api.post(f"/notifications/{row.pk}/retry")
    assert (response.status_code, response.json()["status"]) == (202, "queued")


@pytest.mark.parametrize("state", [State.QUEUED, State.SENT, State.SCHEDULED])
def test_what_has_not_ended_badly_is_not_retried(api: API, tenant: Tenant, state: State) -> None:
    row = stored(tenant, state=state)
    assert api.post(f"/notifications/{row.pk}/retry").status_code == 409


def test_an_unknown_one_is_retried_only_by_who_accepts_the_risk(api: API, tenant: Tenant) -> None:
    path = f"/notifications/{stored(tenant, state=State.UNKNOWN).pk}/retry"
    assert api.post(path).status_code == 409
    assert api.post(path, {"accept_duplicate_risk": False}).status_code == 409
    response = api.post(path, {"accept_duplicate_risk": True})
    assert (response.status_code, response.json()["duplicate_risk"]) == (202, True)


@pytest.mark.parametrize("body", [{"accept_duplicate_risk": "true"}, {"acknowledge": True}, []])
def test_a_wrong_body_retries_nothing(api: API, tenant: Tenant, body: Any) -> None:
    row = stored(tenant, state=State.FAILED)
    assert api.post(f"/notifications/{row.pk}/retry", body).status_code == 400
    assert api.post(f"/notifications/{row.pk}/cancel", body).status_code == 400
    row.refresh_from_db()
    assert row.state == State.FAILED


# /batches/{id}


def test_a_batch_is_finished_when_nothing_of_it_can_be_sent_any_more(
    api: API, tenant: Tenant
) -> None:
    batch = Batch.objects.create(tenant=tenant)
    now = datetime.now(UTC)
    stored(tenant, batch=batch, state=State.SENT, sent_at=now)
    waiting = stored(tenant, batch=batch)
    body = api.get(f"/batches/{batch.pk}").json()
    assert (body["total"], body["finished_at"]) == (2, None)
    assert (body["forecast"], body["forecast_detail"]) == (None, "no worker is there for it")
    assert (body["counts"]["sent"], body["counts"]["queued"]) == (1, 1)
    later = now + timedelta(seconds=5)
    Notification.objects.filter(pk=waiting.pk).update(state=State.FAILED, settled_at=later)
    body = api.get(f"/batches/{batch.pk}").json()
    assert body["finished_at"] == later.isoformat().replace("+00:00", "Z")
    assert body["forecast"] is body["forecast_detail"] is None


def test_a_batch_that_a_limit_holds_says_when_it_will_be_done(api: API, tenant: Tenant) -> None:
    RateLimit.objects.create(scope="channel", subject="email", rates="1/s")
    Worker.objects.create(name="w@host", seen_at=datetime.now(UTC))
    policy.forget()
    forecast.forget()
    made = api.post("/notify/batch", {"notifications": [EMAIL] * 31}).json()
    body = api.get(f"/batches/{made['id']}").json()
    seconds = (datetime.fromisoformat(body["forecast"]) - datetime.now(UTC)).total_seconds()
    assert 20 < seconds <= 31
    assert body["forecast_detail"] == "the limit of channel email (1/s)"
    policy.forget()


def test_cancelling_a_batch_leaves_what_is_sent(api: API, tenant: Tenant) -> None:
    batch = Batch.objects.create(tenant=tenant)
    for state in (State.SENT, State.QUEUED, State.SCHEDULED):
        stored(tenant, batch=batch, state=state)
    other = stored(tenant)
    response = api.post(f"/batches/{batch.pk}/cancel")
    assert (response.status_code, response.json()["cancelled"]) == (200, 2)
    assert response.json()["counts"]["sent"] == 1
    other.refresh_from_db()
    assert other.state == State.QUEUED
