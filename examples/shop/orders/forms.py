from django import forms

from notifications import clean_address

from .models import Order


class OrderForm(forms.ModelForm):
    """Takes the addresses that can be sent to, so that no order fails for one later."""

    class Meta:
        model = Order
        fields = ("product", "quantity", "name", "email", "phone")

    def clean_email(self) -> str:
        return clean_address("email", self.cleaned_data["email"])

    def clean_phone(self) -> str:
        phone = self.cleaned_data["phone"]
        return phone and clean_address("sms", phone)
