"""From a user, or another object of the project, to its address on a channel."""

from collections.abc import Callable
from functools import cache
from typing import Any

from django.core.exceptions import ValidationError
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from .addresses import AddressError
from .channels import CHANNELS
from .conf import get_settings
from .enums import Channel
from .exceptions import FieldError, InvalidNotification

AddressOf = Callable[[Any], str | None]


def address_of(channel: object, to: Any) -> Any:
    """The address of `to` on `channel`; what is text already stays as it is.

    The channel's RECIPIENT finds it. Raises InvalidNotification where there is none.
    """
    if to is None or isinstance(to, str) or channel not in Channel.values:
        return to  # judged with all other fields
    address = find_address(Channel(channel), to)
    if not address:
        raise InvalidNotification([FieldError("/to", "no_address", _why_none(Channel(channel)))])
    return address


def find_address(channel: Channel, to: Any) -> str | None:
    """The address of `to` on `channel`, or None where it has none."""
    if isinstance(to, str):
        return to
    find = _finder(channel)
    return (find(to) or None) if find else None


def clean_address(channel: str, address: str) -> str:
    """The address in the form in which it is sent to, for forms and models of the project.

    Raises Django's ValidationError, with a sentence that does not repeat it, for what `notify`
    would refuse as `to`.
    """
    try:
        return CHANNELS[Channel(channel)].parse_to(address)
    except AddressError as error:
        raise ValidationError(error.detail, code=error.code) from error


@cache
def _finder(channel: Channel) -> AddressOf | None:
    path = get_settings().channel(channel).recipient
    found: AddressOf | None = import_string(path) if path else CHANNELS[channel].address_of
    return found


def _why_none(channel: Channel) -> str:
    if _finder(channel):
        return f"the recipient has no address for {channel.label}"
    return (
        f"must be text; for objects, name a function that finds their address: "
        f'NOTIFICATIONS["CHANNELS"]["{channel.value}"]["RECIPIENT"]'
    )


def _forget(*, setting: str, **_: Any) -> None:
    if setting == "NOTIFICATIONS":
        _finder.cache_clear()


setting_changed.connect(_forget)
