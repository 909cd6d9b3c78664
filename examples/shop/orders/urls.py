from django.urls import path

from .views import OrderView, PlaceOrderView

urlpatterns = [
    path("", PlaceOrderView.as_view(), name="place-order"),
    path("orders/<uuid:token>/", OrderView.as_view(), name="order"),
]
