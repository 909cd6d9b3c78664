"""What is sold, and who has bought it. What happens to an order is in `steps`."""

from uuid import uuid4

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.urls import reverse

from notifications.models import Notification


class Product(models.Model):
    name = models.CharField(max_length=100)
    price = models.DecimalField(max_digits=8, decimal_places=2)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return f"{self.name}, {self.price} €"


class Order(models.Model):
    """Known to its customer by the `token` in the address of its page, which nobody can guess."""

    token = models.UUIDField(default=uuid4, unique=True, editable=False)
    product = models.ForeignKey(Product, on_delete=models.PROTECT)
    quantity = models.PositiveSmallIntegerField(
        default=1, validators=[MinValueValidator(1), MaxValueValidator(99)]
    )
    name = models.CharField("your name", max_length=100)
    email = models.EmailField("e-mail")
    phone = models.CharField(
        max_length=16, blank=True, help_text="To be told when it leaves: +14155550123"
    )
    placed_at = models.DateTimeField(auto_now_add=True)
    shipped_at = models.DateTimeField(null=True, editable=False)
    informed_at = models.DateTimeField("customer informed at", null=True, editable=False)
    notifications = models.ManyToManyField(Notification, related_name="orders", editable=False)

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"Order {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("order", args=[self.token])
