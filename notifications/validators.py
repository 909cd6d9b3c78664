"""Checks of single fields that the admin and the models share."""

from django.core.exceptions import ValidationError

from .conf import parse_rates


def validate_rates(text: str) -> None:
    """Refuse what is no list of rates such as `100/s, 5000/d`."""
    try:
        rates = parse_rates(text)
    except ValueError as error:
        raise ValidationError(str(error), code="invalid_rate") from error
    if not rates:
        raise ValidationError("Write at least one rate, such as 50/s.", code="invalid_rate")
