"""Checks of single fields that the admin and the models share."""

from typing import Any

from django.core.exceptions import ValidationError

from .conf import parse_rates
from .enums import KeyScope
from .senders import parse_senders


def validate_rates(text: str) -> None:
    """Refuse what is no list of rates such as `100/s, 5000/d`."""
    try:
        rates = parse_rates(text)
    except ValueError as error:
        raise ValidationError(str(error), code="invalid_rate") from error
    if not rates:
        raise ValidationError("Write at least one rate, such as 50/s.", code="invalid_rate")


def validate_scopes(scopes: Any) -> None:
    """Refuse what is no list of at least one scope of a key."""
    if isinstance(scopes, list) and scopes and set(scopes) <= set(KeyScope.values):
        return
    known = ", ".join(KeyScope.values)
    raise ValidationError(f"Name at least one of: {known}.", code="invalid_scopes")


def validate_senders(text: str) -> None:
    """Refuse what is no list of senders, one on each line."""
    try:
        parse_senders(text)
    except ValueError as error:
        raise ValidationError(str(error), code="invalid_sender") from error
