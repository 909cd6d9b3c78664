"""What happens to an order. Each step is one transaction, together with what is said about it.

Nobody is told of a step that was rolled back, and a step that was made cannot forget to tell. The
keys make sure that nobody is told twice.
"""

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from notifications import notify

from .models import Order


@transaction.atomic
def place(order: Order, page: str) -> None:
    """Store the order and confirm it by e-mail; `page` is where its customer can look at it."""
    order.save()
    confirmation = notify(
        "email",
        to=order.email,
        template="order-confirmation",
        context=_context(order) | {"page": page},
        idempotency_key=f"order-{order.pk}-confirmed",
    )
    order.notifications.add(confirmation)


@transaction.atomic
def ship(order: Order) -> bool:
    """Text the customer and tell the partner that it has left; False when it had before."""
    if not Order.objects.filter(pk=order.pk, shipped_at=None).update(shipped_at=timezone.now()):
        return False
    if order.phone:
        text = notify(
            "sms",
            to=order.phone,
            template="order-shipped",
            context=_context(order),
            idempotency_key=f"order-{order.pk}-shipped-sms",
        )
        order.notifications.add(text)
    call = notify(
        "webhook",
        to=settings.PARTNER_URL,
        event="order.shipped",
        payload={"order": order.pk, "product": order.product_id, "quantity": order.quantity},
        idempotency_key=f"order-{order.pk}-shipped-partner",
    )
    order.notifications.add(call)
    return True


def _context(order: Order) -> dict[str, object]:
    return {
        "number": order.pk,
        "name": order.name,
        "product": order.product.name,
        "quantity": order.quantity,
    }
