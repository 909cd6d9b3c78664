from collections.abc import Callable

from django import forms

from notifications.addresses import AddressError, parse_email, parse_phone

from .models import Order


class OrderForm(forms.ModelForm):
    """Takes the addresses that can be sent to, so that no order fails for one later."""

    class Meta:
        model = Order
        fields = ("product", "quantity", "name", "email", "phone")

    def clean_email(self) -> str:
        return _address(parse_email, self.cleaned_data["email"])

    def clean_phone(self) -> str:
        phone = self.cleaned_data["phone"]
        return phone and _address(parse_phone, phone)


def _address(parse: Callable[[str], str], text: str) -> str:
    try:
        return parse(text)
    except AddressError as error:
        raise forms.ValidationError(error.detail) from error
