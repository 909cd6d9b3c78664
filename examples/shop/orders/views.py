from typing import Any

from django.http import HttpResponse, HttpResponseRedirect
from django.views.generic import CreateView, DetailView

from .forms import OrderForm
from .models import Order
from .steps import place

ON_ITS_WAY = {"scheduled", "queued", "sending", "retrying"}


class PlaceOrderView(CreateView):
    model = Order
    form_class = OrderForm

    def form_valid(self, form: OrderForm) -> HttpResponse:
        order = form.instance
        page = order.get_absolute_url()
        place(order, self.request.build_absolute_uri(page))
        return HttpResponseRedirect(page)


class OrderView(DetailView):
    """The order, and what became of everything that its customer was told about it."""

    model = Order
    slug_field = slug_url_kwarg = "token"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        told = self.object.notifications.exclude(channel="webhook").order_by("created_at")
        is_on_its_way = any(notification.status in ON_ITS_WAY for notification in told)
        return super().get_context_data(told=told, is_on_its_way=is_on_its_way, **kwargs)
