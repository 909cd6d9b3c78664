"""What operators switch while it runs, and a pause of a template among it."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from notifications import notify
from notifications.enums import Channel, Scope, Status, WaitReason
from notifications.models import Notification, Pause, RateLimit
from notifications.pipeline import dispatch, explain, policy, switches
from notifications.pipeline.template_store import put
from notifications.template_validation import parse_template

from .factories import attempt, fresh, make_due, sms, tenant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def fresh_policy() -> Iterator[None]:
    policy.forget()
    dispatch.forget_flows()
    yield
    policy.forget()
    dispatch.forget_flows()


def made(name: str = "hello", owner: str = "shop") -> Notification:
    put(tenant(owner), name, parse_template({"channel": "sms", "body": "Hello"}))
    return notify("sms", to="+14155550123", template=name, tenant=owner)


def test_a_paused_template_keeps_its_rows_and_no_others() -> None:
    held, other, foreign = made(), made("other"), made(owner="bakery")
    plain = sms(tenant="shop")
    switches.pause(Scope.TEMPLATE, "shop/hello", "a typo")
    attempt(held, other, foreign, plain)
    held = fresh(held)
    assert (held.status, held.attempt_count) == (Status.QUEUED, 0)
    assert (held.wait_reason, held.wait_scope) == (WaitReason.PAUSED, "template:shop/hello")
    told = explain.waiting(held)
    assert told is not None
    assert told.detail == "template shop/hello is paused"
    assert {fresh(row).status for row in (other, foreign, plain)} == {Status.DELIVERED}
    assert switches.resume(Scope.TEMPLATE, "shop/hello")
    attempt(held)
    assert fresh(held).status == Status.DELIVERED


def test_a_version_made_during_the_pause_waits_too() -> None:
    made()
    switches.pause(Scope.TEMPLATE, "shop/hello", "")
    put(tenant("shop"), "hello", parse_template({"channel": "sms", "body": "Hello again"}))
    policy.forget()  # as a second later
    row = notify("sms", to="+14155550123", template="hello", tenant="shop")
    attempt(row)
    assert fresh(row).wait_scope == "template:shop/hello"


def test_what_a_pause_of_its_template_holds_is_not_published(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    published: list[UUID] = []
    monkeypatch.setattr(dispatch, "publish", lambda channel, priority, ids: published.extend(ids))
    monkeypatch.setattr(dispatch, "waiting_messages", lambda queue: 0)
    held, other = made(), sms(tenant="shop")
    make_due([held.pk, other.pk])
    Notification.objects.update(publish_at=held.created_at)
    switches.pause(Scope.TEMPLATE, "shop/hello", "")
    assert dispatch.dispatch_due() == 1
    assert published == [other.pk]
    switches.resume(Scope.TEMPLATE, "shop/hello")
    assert dispatch.dispatch_due() == 1
    assert published == [other.pk, held.pk]


def test_without_a_paused_template_the_policy_takes_no_further_query() -> None:
    Pause.objects.create(scope="channel", subject="email")
    with CaptureQueriesContext(connection) as queries:
        policy.current()
    assert len(queries) == 1


def test_a_pause_says_the_latest_reason_and_ends_once() -> None:
    switches.pause(Scope.PROVIDER, "simulated", "slow")
    switches.pause(Scope.PROVIDER, "simulated", "down")
    assert policy.current().pauses == {("provider", "simulated"): "down"}
    assert switches.resume(Scope.PROVIDER, "simulated")
    assert not switches.resume(Scope.PROVIDER, "simulated")
    assert policy.current().pauses == {}


def test_a_drain_holds_all_channels_and_leaves_earlier_pauses_their_reason() -> None:
    switches.pause(Scope.CHANNEL, "sms", "contract ended")
    made = switches.drain("new database")
    assert len(made) == len(Channel) - 1
    reasons: Any = policy.current().pauses
    assert reasons["channel", "sms"] == "contract ended"
    assert reasons["channel", "email"] == "new database"


def test_a_limit_holds_until_it_is_taken_back() -> None:
    switches.limit(Scope.CHANNEL, "sms", "5/s")
    switches.limit(Scope.CHANNEL, "sms", "7/s")
    assert [limit.rate for limit in policy.current().limits_of(Scope.CHANNEL, "sms")] == [7]
    assert RateLimit.objects.count() == 1
    assert switches.unlimit(Scope.CHANNEL, "sms")
    assert policy.current().limits_of(Scope.CHANNEL, "sms") == ()
    assert policy.current().limits_of(Scope.TEMPLATE, "shop/hello") == ()
