"""An e-mail to several: each fares in a way of its own, and the notification as its `to` does."""

import hmac
import json
from typing import Any

import pytest
from django.conf import LazySettings

from notifications import notify
from notifications.admin.timeline import timeline
from notifications.enums import ReceiptState, State, Status, SuppressionReason
from notifications.models import Notification, Receipt, Suppression, Tenant
from notifications.pipeline.adopt import adopt_missed
from notifications.providers import sns
from tests.providers.test_ses_receipts import TOPIC, Web, envelope

from .conftest import API
from .test_receipts import MAILGUN, SES

pytestmark = pytest.mark.django_db

ADA, BOB, CYD = "Ada@example.com", "bob@example.org", "cyd@example.net"
R = SuppressionReason


@pytest.fixture(autouse=True)
def providers(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sns, "fetch", Web())
    options = {**SES["OPTIONS"], "RECEIPT_TOPICS": [TOPIC]}
    settings.NOTIFICATIONS = {
        "PROVIDERS": {"ses": {**SES, "OPTIONS": options}, "mailgun": MAILGUN},
    }


def email(tenant: Tenant, provider: str = "ses") -> Notification:
    """One that the provider has taken, to Ada, with copies for Bob and Cyd."""
    said = {"subject": "Hello", "body": "Hello"}
    return sent(notify("email", to=ADA, cc=[BOB], bcc=[CYD], tenant=tenant, **said), provider)


def alone(tenant: Tenant) -> Notification:
    return sent(notify("email", to=ADA, subject="Hello", body="Hello", tenant=tenant))


def sent(row: Notification, provider: str = "ses", state: State = State.SENT) -> Notification:
    Notification.objects.filter(pk=row.pk).update(
        state=state, provider=provider, provider_message_id=f"id-{row.pk}", attempt_count=1
    )
    return row


class Told:
    """SNS, which signs what it posts; each post is another event."""

    def __init__(self, anybody: API) -> None:
        self.anybody, self.count = anybody, 0

    def __call__(self, row: Notification, name: str, *named: str, type: str = "Permanent") -> None:
        lists = {"Bounce": "bouncedRecipients", "Complaint": "complainedRecipients"}
        each: list[Any] = [{"emailAddress": to} for to in named]
        part = {"bounceType": type, lists.get(name, "recipients"): each if name in lists else named}
        mail = {"messageId": f"id-{row.pk}", "tags": {"notification-id": [str(row.pk)]}}
        self.count += 1
        said = envelope(
            {"eventType": name, "mail": mail, name.lower(): part}, MessageId=f"event-{self.count}"
        )
        answer = self.anybody.post("/receipts/ses", json.dumps(said).encode())
        assert answer.status_code == 200


@pytest.fixture
def told(anybody: API) -> Told:
    return Told(anybody)


def listed() -> dict[str, str]:
    return dict(Suppression.objects.values_list("recipient", "reason"))


def status(row: Notification) -> Status:
    return Notification.objects.get(pk=row.pk).status


def recipients() -> list[str]:
    return list(Receipt.objects.order_by("id").values_list("recipient", flat=True))


@pytest.mark.parametrize(
    ("name", "reason"), [("Bounce", R.HARD_BOUNCE), ("Complaint", R.COMPLAINT)]
)
@pytest.mark.parametrize("named", [ADA, "ADA@EXAMPLE.COM", BOB, CYD])
def test_whom_it_is_about_is_suppressed_and_nobody_else(
    told: Told, tenant: Tenant, name: str, reason: R, named: str
) -> None:
    told(email(tenant), name, named)
    assert listed() == {named.lower(): reason}
    assert [each.lower() for each in recipients()] == [named.lower()]


def test_several_that_bounce_are_all_suppressed(told: Told, tenant: Tenant) -> None:
    told(email(tenant), "Bounce", BOB, CYD)
    assert listed() == {BOB: R.HARD_BOUNCE, CYD: R.HARD_BOUNCE}


@pytest.mark.parametrize("named", ["eve@example.com", "", "no address", "\x00", "a" * 5000])
def test_who_is_none_of_its_recipients_is_never_suppressed(
    told: Told, tenant: Tenant, named: str
) -> None:
    row = email(tenant)
    told(row, "Bounce", named)
    told(row, "Complaint", named)
    assert listed() == {}
    assert set(recipients()) == {""}, "and not written down either"


def test_who_is_hidden_among_several_is_not_guessed(told: Told, tenant: Tenant) -> None:
    row = email(tenant)
    told(row, "Complaint", ADA, BOB)
    assert (listed(), status(row)) == ({}, Status.SENT)


def test_of_one_recipient_it_is_clear_whoever_is_named(told: Told, tenant: Tenant) -> None:
    """As where a mailbox that it was forwarded to bounces."""
    row = alone(tenant)
    told(row, "Bounce", "forwarded@example.net")
    assert (listed(), status(row)) == ({ADA.lower(): R.HARD_BOUNCE}, Status.UNDELIVERED)
    assert recipients() == [""]


# The notification itself


def test_a_copy_that_bounces_does_not_take_the_delivery_back(told: Told, tenant: Tenant) -> None:
    row = email(tenant)
    told(row, "Delivery", ADA)
    told(row, "Bounce", BOB)
    assert status(row) == Status.DELIVERED
    kinds = Receipt.objects.order_by("id").values_list("kind", flat=True)
    assert list(kinds) == [ReceiptState.DELIVERED, ReceiptState.BOUNCED]


def test_a_copy_that_arrives_is_no_delivery(told: Told, tenant: Tenant) -> None:
    row = email(tenant)
    told(row, "Delivery", BOB, CYD)
    assert status(row) == Status.SENT
    told(row, "Bounce", ADA)
    assert status(row) == Status.UNDELIVERED
    told(row, "Delivery", CYD)
    assert status(row) == Status.UNDELIVERED


def test_what_arrives_at_all_of_them_is_delivered(told: Told, tenant: Tenant) -> None:
    row = email(tenant)
    told(row, "Delivery", CYD, ADA, BOB)
    assert status(row) == Status.DELIVERED


def test_what_names_nobody_is_about_the_whole(told: Told, tenant: Tenant) -> None:
    row = email(tenant)
    told(row, "Reject")
    assert (status(row), listed()) == (Status.UNDELIVERED, {})


@pytest.mark.parametrize("name", ["Delivery", "Bounce"])
def test_what_a_copy_came_to_proves_that_the_provider_has_it(
    told: Told, tenant: Tenant, name: str
) -> None:
    row = sent(email(tenant), state=State.UNKNOWN)
    told(row, name, BOB)
    assert status(row) == Status.SENT


def test_one_that_overtook_its_send_is_told_of_the_same_one(told: Told, tenant: Tenant) -> None:
    rows = [email(tenant), alone(tenant)]
    Notification.objects.update(provider="", provider_message_id="")
    for row in rows:
        told(row, "Bounce", BOB.upper())
    assert recipients() == [BOB.upper()] * 2, "whoever that is"
    for row in rows:
        sent(row)
    assert adopt_missed() == 2
    assert recipients() == [BOB, ""]
    assert [status(row) for row in rows] == [Status.SENT, Status.UNDELIVERED]
    assert listed() == {BOB: R.HARD_BOUNCE, ADA.lower(): R.HARD_BOUNCE}


# Soft bounces


def test_soft_bounces_are_counted_for_whom_they_are_about(told: Told, tenant: Tenant) -> None:
    for _ in range(2):
        told(email(tenant), "Bounce", BOB, type="Transient")
    for _ in range(2):
        told(email(tenant), "Bounce", ADA, type="Transient")
    assert listed() == {}
    told(email(tenant), "Bounce", "stranger@example.com", type="Transient")
    assert listed() == {}
    told(email(tenant), "Bounce", BOB, type="Transient")
    assert listed() == {BOB: R.SOFT_BOUNCE}


def test_alone_or_among_others_it_is_the_same_recipient(told: Told, tenant: Tenant) -> None:
    told(email(tenant), "Bounce", ADA, type="Transient")
    told(alone(tenant), "Bounce", ADA, type="Transient")
    told(email(tenant), "Bounce", BOB, type="Transient")
    told(email(tenant), "Bounce", "stranger@example.com", type="Transient")
    assert listed() == {}
    told(alone(tenant), "Bounce", ADA, type="Transient")
    assert listed() == {ADA.lower(): R.SOFT_BOUNCE}


# What is shown


def test_the_tenant_is_told_whom_it_is_about(told: Told, api: API, tenant: Tenant) -> None:
    row = email(tenant)
    told(row, "Bounce", BOB.upper())
    told(row, "Reject")
    shown = api.get(f"/notifications/{row.pk}").json()["receipts"]
    assert [(each["kind"], each["recipient"]) for each in shown] == [
        ("bounced", BOB),
        ("undelivered", None),
    ]


def test_in_the_admin_it_is_masked(told: Told, tenant: Tenant) -> None:
    row = email(tenant)
    told(row, "Bounce", BOB)
    details = " ".join(event.detail for event in timeline(row, []))
    assert "bounce, b…@example.org, received" in details
    assert BOB not in details


def test_anymail_names_one_in_each_event(anybody: API, tenant: Tenant) -> None:
    row = email(tenant, "mailgun")
    events = [(BOB, {"event": "failed", "severity": "permanent", "reason": "bounce"})]
    events += [(CYD, {"event": "delivered"}), (ADA, {"event": "delivered"})]
    for recipient, event in events:
        message = {"headers": {"message-id": f"id-{row.pk}"}}
        variables = {"notification-id": str(row.pk)}
        said = {"timestamp": 1.5, "message": message, "user-variables": variables, **event}
        digest = hmac.digest(b"mailgun-s", b"1529006854token", "sha256").hex()
        signature = {"timestamp": "1529006854", "token": "token", "signature": digest}
        body = {"signature": signature, "event-data": {**said, "recipient": recipient}}
        assert anybody.post("/receipts/mailgun", json.dumps(body).encode()).status_code == 200
    assert listed() == {BOB: R.HARD_BOUNCE}
    assert recipients() == [BOB, CYD, ADA]
    assert status(row) == Status.DELIVERED
