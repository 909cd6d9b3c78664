"""Reports of providers: signed they are a 200 whatever they say, unsigned they change nothing."""

import hmac
import json
import threading
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from notifications import signals
from notifications.api.receipts import MAX_BYTES
from notifications.enums import State, Status
from notifications.models import Notification, Receipt, Tenant
from notifications.providers.simulated_receipts import sign
from tests.api.conftest import API, stored

pytestmark = pytest.mark.django_db(transaction=True)

TOKEN = "between-us"
SIMULATED = "notifications.providers.simulated.SimulatedProvider"


@pytest.fixture(autouse=True)
def with_token(settings: LazySettings) -> None:
    providers = {"simulated": {"BACKEND": SIMULATED, "OPTIONS": {"RECEIPT_TOKEN": TOKEN}}}
    settings.NOTIFICATIONS = {"PROVIDERS": providers}


@pytest.fixture
def row(tenant: Tenant) -> Notification:
    return stored(
        tenant, state=State.SENT, provider="simulated", provider_message_id="sim-1", attempt_count=1
    )


def report(api: API, *receipts: Any, provider: str = "simulated", **headers: str) -> Any:
    return send(api, json.dumps({"receipts": receipts}).encode(), provider, **headers)


def send(api: API, body: bytes, provider: str = "simulated", **headers: str) -> Any:
    headers.setdefault("X_Signature", sign(body, TOKEN))
    return api.post(f"/receipts/{provider}", body, **headers)


def told(row: Notification, kind: str = "delivered", **more: Any) -> dict[str, Any]:
    return {"event_id": f"e-{kind}", "kind": kind, "notification_id": str(row.pk), **more}


def status(row: Notification) -> Status:
    return Notification.objects.get(pk=row.pk).status


def test_a_signed_report_is_applied(anybody: API, row: Notification) -> None:
    said = told(row, "bounced", occurred_at="2030-01-31T08:00:00+01:00", code="bounce")
    assert report(anybody, said).json() == {"received": 1}
    assert status(row) == Status.UNDELIVERED
    receipt = row.receipts.get()
    assert receipt.occurred_at.isoformat() == "2030-01-31T07:00:00+00:00"
    assert receipt.code == "bounce"


def test_the_provider_s_own_id_is_enough(anybody: API, row: Notification) -> None:
    report(anybody, {"event_id": "e", "kind": "delivered", "provider_message_id": "sim-1"})
    assert status(row) == Status.DELIVERED


@pytest.mark.parametrize(
    "signature",
    ["", "sha256=", "sha256=" + "0" * 64, sign(b"{}", TOKEN), "sha1=x", "é", sign(b"", "other")],
)
def test_what_is_not_signed_is_a_403_and_changes_nothing(
    signature: str, anybody: API, row: Notification
) -> None:
    counted: list[tuple[str, str]] = []

    def count(provider: str, result: str, **_: Any) -> None:
        counted.append((provider, result))

    signals.receipt_dismissed.connect(count)
    try:
        with CaptureQueriesContext(connection) as queries:
            answer = report(anybody, told(row), X_Signature=signature)
    finally:
        signals.receipt_dismissed.disconnect(count)
    assert (answer.status_code, answer.json()["code"]) == (403, "not_authentic")
    assert counted == [("simulated", "refused")]
    assert not queries.captured_queries, "strangers cost the database nothing"
    assert status(row) == Status.SENT
    assert not Receipt.objects.exists()


def test_a_key_of_a_tenant_is_no_signature(api: API, row: Notification) -> None:
    assert report(api, told(row), X_Signature="").status_code == 403


@pytest.mark.parametrize("provider", ["nobody", "%00", "simulated%2F", "plain", "broken", "é"])
def test_a_provider_that_reports_nothing_is_a_404(
    provider: str, anybody: API, settings: LazySettings
) -> None:
    settings.NOTIFICATIONS = {
        "PROVIDERS": {"plain": {"BACKEND": SIMULATED}, "broken": {"BACKEND": "no.such.Provider"}}
    }
    assert report(anybody, provider=provider).status_code == 404


def test_only_a_post_is_taken(anybody: API) -> None:
    assert anybody.get("/receipts/simulated").status_code == 405


def test_a_body_over_the_limit_is_a_413(anybody: API) -> None:
    assert send(anybody, b"x" * (MAX_BYTES + 1)).status_code == 413
    assert send(anybody, b"x" * MAX_BYTES).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"\xff",
        b"[]",
        b"[" * 100_000,
        b'{"receipts": 7}',
        b'{"receipts": [7, null, [], {}]}',
        b'{"receipts": [{"event_id": {}, "kind": [], "notification_id": 7}]}',
        b'{"receipts": [{"event_id": "\\ud800\\u0000", "kind": "delivered", "code": 7}]}',
        b'{"receipts": [{"event_id": 7, "kind": "none", "occurred_at": "0001-01-01T00:00+14:00"}]}',
    ],
)
def test_whatever_is_signed_is_a_200(body: bytes, anybody: API) -> None:
    assert send(anybody, body).status_code == 200


TEXTS = st.one_of(st.text(max_size=20), st.sampled_from(["delivered", "sim-1", "none"]))
ITEMS = st.dictionaries(
    st.sampled_from(
        ["event_id", "kind", "notification_id", "provider_message_id", "occurred_at", "code", "x"]
    ),
    st.one_of(
        TEXTS, st.none(), st.integers(), st.lists(TEXTS, max_size=2), st.datetimes().map(str)
    ),
)


@hypothesis_settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(items=st.lists(ITEMS, max_size=5))
def test_whatever_is_said_is_a_200(items: list[Any], anybody: API) -> None:
    assert report(anybody, *items).status_code == 200


def test_unknown_words_and_more_fields_are_ignored(anybody: API, row: Notification) -> None:
    report(anybody, told(row, "teleported"), told(row, "delivered", price={"EUR": 7}))
    assert status(row) == Status.DELIVERED
    assert Receipt.objects.count() == 1


def test_what_belongs_to_nothing_is_a_200_and_kept(anybody: API) -> None:
    said = {"event_id": "e", "kind": "delivered", "notification_id": str(uuid4())}
    assert report(anybody, said).status_code == 200
    assert Receipt.objects.get().notification is None


def test_the_answer_says_nothing_of_whose_it_is(
    anybody: API, row: Notification, stranger: Tenant
) -> None:
    """A report of a notification of ours, of another's provider, of none: all alike."""
    other = stored(stranger, state=State.SENT, provider="another", attempt_count=1)
    answers = [report(anybody, told(row, "accepted"), told(r)).json() for r in (row, other)]
    made_up = {**told(row), "event_id": "x", "notification_id": str(uuid4())}
    answers.append(report(anybody, told(row, "accepted"), made_up).json())
    assert answers == [{"received": 2}] * 3
    assert status(other) == Status.SENT


def test_the_url_is_the_one_we_are_known_by(
    anybody: API, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    reads = f"{SIMULATED.rpartition('.')[0]}.SimulatedProvider.read_receipts"
    monkeypatch.setattr(reads, lambda self, request: seen.append(request.url) or [])
    path = "/receipts/simulated?notification-id=%C3%A9&b="
    for public in ("", "https://notify.example.com/", "https://example.com/n"):
        settings.NOTIFICATIONS = {"PUBLIC_URL": public}
        anybody.post(path, b"{}", Host="testserver")
    assert seen == ["", f"https://notify.example.com{path}", f"https://example.com/n{path}"]


@pytest.mark.postgres
def test_nobody_is_kept_waiting_for_a_row_that_others_hold(anybody: API, row: Notification) -> None:
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Notification.objects.select_for_update().get(pk=row.pk)
            held.set()
            let_go.wait(30)
        connections.close_all()

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(30)
    answer = report(anybody, told(row))
    assert holder.is_alive()
    assert (answer.status_code, bool(answer["Retry-After"])) == (503, True)
    let_go.set()
    holder.join(30)
    assert report(anybody, told(row)).status_code == 200
    assert status(row) == Status.DELIVERED


TWILIO = {
    "BACKEND": "notifications.providers.twilio.TwilioProvider",
    "OPTIONS": {"ACCOUNT_SID": "AC" + "0" * 32, "AUTH_TOKEN": "hush", "FROM": "+14155550123"},
}
FORM = "application/x-www-form-urlencoded"


def test_twilio_signs_the_address_we_are_known_by(
    anybody: API, settings: LazySettings, tenant: Tenant
) -> None:
    public = "https://notify.example.com"
    settings.NOTIFICATIONS = {"PROVIDERS": {"twilio": TWILIO}, "PUBLIC_URL": public}
    sent = stored(tenant, state=State.UNKNOWN, provider="twilio", attempt_count=1)
    form = {"AccountSid": "AC" + "0" * 32, "MessageSid": "SM1", "MessageStatus": "delivered"}
    path = f"/receipts/twilio?notification-id={sent.pk}"
    signature = RequestValidator("hush").compute_signature(public + path, form)
    body = urlencode(form).encode()
    headers = {"Content_Type": FORM, "X_Twilio_Signature": signature}
    assert anybody.post(path, body + b"&x=1", **headers).status_code == 403
    assert anybody.post(path, body, **headers).status_code == 200
    assert status(sent) == Status.DELIVERED


MAILGUN = {
    "BACKEND": "notifications.providers.anymail.AnymailProvider",
    "OPTIONS": {
        "ESP": "mailgun",
        "FROM": "shop@example.com",
        "SETTINGS": {"api_key": "hush", "sender_domain": "example.com"},
        "RECEIPTS": {"webhook_signing_key": "mailgun-s"},
    },
}


def test_what_mailgun_signs_is_read_by_anymail(
    anybody: API, settings: LazySettings, tenant: Tenant
) -> None:
    settings.NOTIFICATIONS = {"PROVIDERS": {"mailgun": MAILGUN}}
    id = "<1@example.com>"
    sent = stored(tenant, state=State.SENT, provider="mailgun", provider_message_id=id)
    event = {"event": "delivered", "timestamp": 1.5, "message": {"headers": {"message-id": id}}}
    for key, code in (("another", 403), ("mailgun-s", 200)):
        digest = hmac.digest(key.encode(), b"1529006854token", "sha256").hex()
        signature = {"timestamp": "1529006854", "token": "token", "signature": digest}
        body = json.dumps({"signature": signature, "event-data": event}).encode()
        assert anybody.post("/receipts/mailgun", body).status_code == code
    assert status(sent) == Status.DELIVERED


SES: dict[str, Any] = {
    "BACKEND": "notifications.providers.ses.SESProvider",
    "OPTIONS": {"REGION": "eu-west-1", "FROM": "shop@example.com"},
}


@pytest.mark.parametrize(
    ("options", "code"),
    [({}, 404), ({"RECEIPT_TOPICS": ["arn:aws:sns:eu-west-1:123456789012:ses-events"]}, 403)],
)
def test_of_ses_only_topics_that_are_named_may_report(
    options: dict[str, Any], code: int, anybody: API, settings: LazySettings
) -> None:
    ses = {**SES, "OPTIONS": {**SES["OPTIONS"], **options}}
    settings.NOTIFICATIONS = {"PROVIDERS": {"ses": ses}}
    said = {"Type": "Notification", "TopicArn": "arn:aws:sns:eu-west-1:210987654321:another"}
    body = json.dumps(said).encode()
    answer = anybody.post("/receipts/ses", body, Content_Type="text/plain; charset=UTF-8")
    assert answer.status_code == code
