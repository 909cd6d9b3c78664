"""`python manage.py test`: the pipeline runs as it does in a worker, and nothing is ever sent."""

import re
from io import StringIO
from typing import Any

from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import transaction
from django.http import HttpResponse
from django.test import TestCase, override_settings
from django.urls import reverse

from notifications.exceptions import InvalidNotification
from notifications.testing import (
    assert_not_notified,
    assert_notified,
    deliver_due,
    outbox,
    script,
    travel,
)

from .models import Order
from .steps import place, ship

ADA = {"name": "Ada", "email": "ada@example.com", "phone": "+14155550123"}
PAGE = "https://shop.example.com/orders/1"


class ShopTestCase(TestCase):
    fixtures = ("products",)

    @classmethod
    def setUpTestData(cls) -> None:
        call_command("load_templates", stdout=StringIO())

    def placed(self, **values: Any) -> Order:
        order = Order(product_id=2, quantity=3, **ADA | values)
        place(order, PAGE)
        return order

    def order_tea(self, **values: Any) -> HttpResponse:
        filled_in = {"product": 2, "quantity": 3, **ADA, **values}
        return self.client.post(reverse("place-order"), filled_in, follow=True)

    def shown(self, order: Order) -> HttpResponse:
        return self.client.get(order.get_absolute_url())


class PlacingTests(ShopTestCase):
    def test_who_orders_gets_a_confirmation_with_a_link_to_the_order(self) -> None:
        page = self.order_tea()
        self.assertContains(page, "3 × Darjeeling")
        deliver_due()
        [mail] = outbox
        order = Order.objects.get()
        self.assertEqual((mail.channel, mail.to), ("email", "ada@example.com"))
        self.assertEqual(mail.subject, f"Your order {order.pk}")
        for text in (mail.body, mail.html):
            self.assertIn("3 × Darjeeling", text)
            self.assertIn(f"http://testserver{order.get_absolute_url()}", text)

    def test_an_order_that_is_rolled_back_is_not_confirmed(self) -> None:
        with self.assertRaises(ZeroDivisionError), transaction.atomic():
            self.placed()
            raise ZeroDivisionError
        assert_not_notified()

    def test_an_order_that_cannot_be_confirmed_is_not_taken(self) -> None:
        with self.assertRaises(InvalidNotification):
            self.placed(email="nobody")
        self.assertFalse(Order.objects.exists())

    def test_a_number_that_takes_no_text_messages_is_refused_by_the_form(self) -> None:
        page = self.order_tea(phone="0800 123")
        self.assertContains(page, "not a number to send to")
        self.assertFalse(Order.objects.exists())
        assert_not_notified()


class InformingTests(ShopTestCase):
    def test_the_customer_is_informed_when_the_e_mail_has_gone(self) -> None:
        order = self.placed()
        self.assertContains(self.shown(order), "Queued")
        self.assertIsNone(order.informed_at)
        deliver_due()
        self.assertContains(self.shown(order), "Sent")
        order.refresh_from_db()
        self.assertIsNotNone(order.informed_at)

    def test_a_mail_server_that_is_away_for_a_moment_costs_time_alone(self) -> None:
        order = self.placed()
        with script("transient", "accept"):
            deliver_due()
            self.assertContains(self.shown(order), "Retrying")
            travel(minutes=10)
            deliver_due()
        order.refresh_from_db()
        self.assertIsNotNone(order.informed_at)

    def test_whose_address_is_refused_is_not_informed(self) -> None:
        order = self.placed()
        with script("reject"):
            deliver_due()
        self.assertContains(self.shown(order), "Failed")
        order.refresh_from_db()
        self.assertIsNone(order.informed_at)


class ShippingTests(ShopTestCase):
    def test_the_customer_is_texted_and_the_partner_is_called(self) -> None:
        order = self.placed()
        deliver_due()
        self.assertTrue(ship(order))
        deliver_due()
        text, call = outbox[1:]
        self.assertEqual(text.to, "+14155550123")
        self.assertEqual(text.body, f"Your order {order.pk} (3 x Darjeeling) has left our house.")
        self.assertEqual(call.to, "https://partner.example.com/hooks")
        self.assertEqual(call.payload, {"order": order.pk, "product": 2, "quantity": 3})
        page = self.shown(order)
        self.assertContains(page, "+14155550123")
        self.assertContains(page, "Delivered")
        self.assertNotContains(page, "partner")

    def test_who_gave_no_number_is_not_texted(self) -> None:
        ship(self.placed(phone=""))
        assert_not_notified("sms")
        assert_notified("webhook", event="order.shipped")

    def test_shipping_twice_tells_once(self) -> None:
        order = self.placed()
        self.assertEqual([ship(order), ship(order)], [True, False])
        assert_notified("sms", count=1)
        assert_notified("webhook", count=1)


class StaffTests(ShopTestCase):
    def setUp(self) -> None:
        self.staff = User.objects.create_superuser("grace", "grace@example.com", "before")

    def test_orders_are_shipped_in_the_admin_which_shows_what_was_said(self) -> None:
        order = self.placed()
        self.client.force_login(self.staff)
        choice = {"action": "ship", "_selected_action": [order.pk]}
        page = self.client.post(reverse("admin:orders_order_changelist"), choice, follow=True)
        self.assertContains(page, "1 shipped.")
        page = self.client.get(reverse("admin:orders_order_change", args=[order.pk]))
        for said in ("email to ada@", "SMS to +1415", "webhook to https://partner"):
            self.assertContains(page, said)

    @override_settings(EMAIL_BACKEND="notifications.mail.EmailBackend")  # not the test runner's
    def test_a_forgotten_password_is_set_anew(self) -> None:
        self.client.post(reverse("admin_password_reset"), {"email": "grace@example.com"})
        assert_notified("email", to="grace@example.com", priority="urgent")
        deliver_due()
        [mail] = outbox
        [link] = re.findall(r"http://testserver(\S+)", mail.content["mime"])
        form = self.client.get(link, follow=True).redirect_chain[-1][0]
        new = {"new_password1": "Lapsang-7", "new_password2": "Lapsang-7"}
        self.client.post(form, new)
        self.assertTrue(self.client.login(username="grace", password="Lapsang-7"))
