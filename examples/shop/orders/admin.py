from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html_join

from notifications.models import Notification

from .models import Order, Product
from .steps import ship

admin.site.register(Product)


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    list_display = ("__str__", "name", "product", "quantity", "shipped_at", "informed_at")
    list_select_related = ("product",)
    readonly_fields = fields = (
        "product",
        "quantity",
        "name",
        "email",
        "phone",
        "placed_at",
        "shipped_at",
        "informed_at",
        "said",
    )
    actions = ("ship",)

    @admin.action(description="Ship selected orders")
    def ship(self, request: HttpRequest, orders: QuerySet[Order]) -> None:
        count = sum(ship(order) for order in orders.select_related("product"))
        self.message_user(request, f"{count} shipped.", messages.SUCCESS)

    @admin.display(description="notifications")
    def said(self, order: Order) -> str:
        """Each with a link to all that is known of it: attempts, receipts, what it waits for."""
        rows = order.notifications.order_by("created_at")
        return format_html_join("", '<div><a href="{}">{} to {}</a>: {}</div>', map(_shown, rows))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


def _shown(notification: Notification) -> tuple[str, ...]:
    url = reverse("admin:notifications_notification_change", args=[notification.pk])
    return url, notification.get_channel_display(), notification.to, notification.status.label
