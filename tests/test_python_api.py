"""notify, cancel and declared types, as code of a project calls them."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.db import transaction
from django.test import TransactionTestCase
from django.utils import timezone

import notifications
from notifications import (
    NotificationType,
    cancel,
    clean_address,
    notify,
    notify_many,
    put_template,
)
from notifications.enums import Channel
from notifications.exceptions import IdempotencyConflict, InvalidNotification, NotPossible
from notifications.messages import TemplateDraft
from notifications.models import Notification, Tenant
from notifications.pipeline.template_store import put
from notifications.shortcuts import Fields, Item
from notifications.testing import NotificationsMixin, assert_notified, deliver_due, outbox
from notifications.validation import KNOWN_FIELDS
from tests.pipeline.factories import fresh

MAIL: dict[str, Any] = {"to": "ada@example.com", "subject": "Hello", "body": "Dear Ada"}
SMS: dict[str, Any] = {"channel": "sms", "to": "+14155550123", "body": "Hello"}


def phone_of(user: Any) -> str | None:
    """A project's RECIPIENT."""
    return getattr(user, "phone", None)


WITH_PHONES = {"CHANNELS": {"sms": {"RECIPIENT": f"{__name__}.phone_of"}}}


def user(**fields: Any) -> Any:
    return get_user_model()(username="ada", email="ada@example.com", **fields)


@pytest.mark.django_db
def test_a_template_is_kept_and_each_change_is_a_version() -> None:
    said: dict[str, Any] = {"subject": "Order {{ order }}", "body": "It is on its way."}
    versions = [
        put_template("order-shipped", "email", **words).version
        for words in (said, said, said | {"body": "It comes."})
    ]
    assert versions == [1, 1, 2]
    row = notify("email", to="ada@example.com", template="order-shipped", context={"order": 7})
    assert (row.content["subject"], row.content["body"]) == ("Order 7", "It comes.")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "channel", "fields", "pointer"),
    [
        ("Order Shipped", "sms", {"body": "b"}, "/name"),
        ("order", "sms", {"body": "{{ broken"}, "/body"),
        ("order", "fax", {"body": "b"}, "/channel"),
        ("order", "sms", {"body": "b", "text": "b"}, "/text"),
    ],
)
def test_what_is_wrong_with_a_template_is_told_by_its_field(
    name: str, channel: str, fields: Any, pointer: str
) -> None:
    with pytest.raises(InvalidNotification) as refused:
        put_template(name, channel, **fields)
    assert pointer in [error.pointer for error in refused.value.errors]


def test_an_address_is_cleaned_or_refused_in_the_way_of_forms() -> None:
    assert clean_address("sms", "+14155550123") == "+14155550123"
    assert clean_address("email", "ada@bücher.example") == "ada@xn--bcher-kva.example"
    for channel, address in (("sms", "12345"), ("email", "grace"), ("webhook", "ftp://x")):
        with pytest.raises(ValidationError) as refused:
            clean_address(channel, address)
        assert address not in str(refused.value)
        assert refused.value.code


class InTransactions(NotificationsMixin, TransactionTestCase):
    """What the caller rolls back has never been."""

    def test_it_goes_with_the_callers_transaction(self) -> None:
        with transaction.atomic():
            notify("email", **MAIL)
            notify_many([SMS, SMS])
            transaction.set_rollback(True)
        assert deliver_due() == 0
        assert not Notification.objects.exists()

    def test_it_goes_with_a_savepoint_of_the_caller_and_the_rest_stays(self) -> None:
        with transaction.atomic():
            kept = notify("email", **MAIL)
            with transaction.atomic():
                notify("email", **MAIL | {"to": "gone@example.com"})
                with transaction.atomic():
                    notify_many([SMS])
                transaction.set_rollback(True)
        assert deliver_due() == 1
        assert [sent.notification for sent in outbox] == [kept]

    def test_a_refusal_leaves_the_callers_transaction_usable(self) -> None:
        with transaction.atomic():
            notify("email", **MAIL, idempotency_key="k")
            with pytest.raises(IdempotencyConflict):
                notify("email", **MAIL | {"body": "Other"}, idempotency_key="k")
            with pytest.raises(InvalidNotification):
                notify_many([SMS, SMS | {"to": "nowhere"}])
            with pytest.raises(IdempotencyConflict):
                notify_many(
                    [SMS, {"channel": "email", **MAIL, "idempotency_key": "k", "html": "!"}]
                )
            notify("sms", to="+14155550123", body="Hello")
        assert deliver_due() == 2

    def test_cancelling_goes_with_the_callers_transaction(self) -> None:
        notification = notify("email", **MAIL)
        with transaction.atomic():
            assert cancel(notification).status == "cancelled"
            transaction.set_rollback(True)
        assert fresh(notification).status == "queued"
        assert cancel(str(notification.pk)).status == "cancelled"
        assert deliver_due() == 0
        with pytest.raises(NotPossible):
            cancel(notification.pk)

    def test_asynchronous_code_has_its_own(self) -> None:
        async def code() -> tuple[Notification, list[Notification], Notification]:
            one = await notifications.anotify("email", **MAIL)
            many = await notifications.anotify_many([SMS, SMS])
            declared = await Shipped().anotify("+14155550123")
            return one, [*many, *declared], await notifications.acancel(many[0])

        one, others, cancelled = async_to_sync(code)()
        assert cancelled.status == "cancelled"
        assert deliver_due() == 3
        assert {sent.notification for sent in outbox} == {one, *others[1:]}


# To whom


@pytest.mark.django_db
def test_a_user_is_reached_at_the_address_its_model_names() -> None:
    class Person:
        contact = "grace@example.com"

        @staticmethod
        def get_email_field_name() -> str:
            return "contact"

    content = {"subject": "Hello", "body": "Hello"}
    assert notify("email", to=user(), **content).to == "ada@example.com"
    rows = notify_many([{"channel": "email", "to": one, **content} for one in (Person(), user())])
    assert [row.to for row in rows] == ["grace@example.com", "ada@example.com"]


@pytest.mark.django_db
def test_a_channel_s_address_is_found_by_the_function_of_the_settings(settings: Any) -> None:
    settings.NOTIFICATIONS = WITH_PHONES
    who = SimpleNamespace(phone="+14155550123")
    assert notify("sms", to=who, body="Hello").to == "+14155550123"


def test_who_has_no_address_is_refused_with_the_remedy(settings: Any) -> None:
    with pytest.raises(InvalidNotification, match=r'"sms"\]\["RECIPIENT"\]'):
        notify("sms", to=user(), body="Hello")
    settings.NOTIFICATIONS = WITH_PHONES
    with pytest.raises(InvalidNotification, match="no address for SMS"):
        notify("sms", to=user(), body="Hello")


# Declared types


class Shipped(NotificationType):
    channels = ("sms",)
    priority = "urgent"

    def content(self, channel: str) -> dict[str, Any]:
        return {"body": "It is on its way."}


class OrderShipped(NotificationType):
    channels = ("email", "sms")
    template = {"email": "order-shipped", "sms": "order-shipped-sms"}
    tenant = "shop"

    def __init__(self, order: int) -> None:
        self.order = order

    def context(self) -> dict[str, Any]:
        return {"order": self.order}

    def idempotency_key(self) -> str:
        return f"order-{self.order}-shipped"


@pytest.fixture
def shop(settings: Any) -> Tenant:
    settings.NOTIFICATIONS = WITH_PHONES
    tenant = Tenant.objects.create(name="shop")
    mail = {"subject": "Order {{ order }}", "body": "It left."}
    put(tenant, "order-shipped", TemplateDraft(Channel.EMAIL, mail))
    put(tenant, "order-shipped-sms", TemplateDraft(Channel.SMS, {"body": "Order {{ order }}"}))
    return tenant


@pytest.mark.django_db
def test_a_declared_type_goes_out_on_every_channel_the_recipient_has(shop: Tenant) -> None:
    both, mail_only = user(), user()
    both.phone = "+14155550123"
    email, sms = OrderShipped(7).notify(both)
    assert (email.to, email.template, email.content["subject"]) == (
        "ada@example.com",
        "order-shipped",
        "Order 7",
    )
    assert (sms.to, sms.content, sms.tenant) == ("+14155550123", {"body": "Order 7"}, shop)
    assert OrderShipped(7).notify(both) == [email, sms], "the same occasion"
    [one] = OrderShipped(8).notify(mail_only, priority="bulk")
    assert one.get_priority_display() == "bulk"


@pytest.mark.django_db
def test_all_that_a_type_says_is_in_the_row() -> None:
    Shipped().notify("+14155550123", send_at=timezone.now() + timedelta(hours=1))
    assert_notified("sms", priority="urgent", status="scheduled", tenant="default")


def test_who_is_reached_on_no_channel_is_refused() -> None:
    with pytest.raises(InvalidNotification, match="no address for any of: email, sms"):
        OrderShipped(7).notify(SimpleNamespace())


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"channels": ("email",)}, "template is missing"),
        ({"channels": ("email", "sms"), "template": "t"}, "one for each channel"),
        ({"channels": ("email", "sms"), "template": {"email": "t"}}, "none for sms"),
        ({"channels": ("pigeon",), "template": "t"}, "channels must be a list of: email"),
        ({"channels": "email", "template": "t"}, "channels must be a list of: email"),
        ({"channels": (), "template": "t"}, "must not be empty"),
        ({"template": "t", "priority": "high"}, "priority must be one of: urgent"),
    ],
)
def test_a_type_that_cannot_work_is_refused_where_it_is_defined(
    body: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ImproperlyConfigured, match=rf"Wrong\..*{problem}"):
        type("Wrong", (NotificationType,), body)


# The names


def test_the_types_name_every_field_that_is_known() -> None:
    assert set(Fields.__annotations__) | {"channel", "to", "from"} == KNOWN_FIELDS
    assert set(Item.__required_keys__) == {"channel", "to"}


def test_the_package_gives_all_that_it_names() -> None:
    for name in notifications.__all__:
        assert callable(getattr(notifications, name))
    with pytest.raises(AttributeError, match="nothing"):
        notifications.nothing  # noqa: B018
