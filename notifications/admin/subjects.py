"""What a pause or a limit can be laid on: it must exist, or it would never hold."""

from typing import Any

from django import forms

from ..conf import get_settings
from ..enums import Channel, Scope
from ..labels import say, word
from ..models import Template, Tenant

NAMES_SHOWN = 20


def check_subject(scope: str | None, subject: str) -> str:
    """The subject without spaces around it; raises ValidationError, naming those there are."""
    subject = subject.strip()
    if scope and not _exists(Scope(scope), subject):
        names = _names(Scope(scope))
        known = ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")
        raise forms.ValidationError(
            say(
                "There is no {scope} of this name. There is: {known}.",
                scope=word(scope),
                known=known or say("none yet"),
            )
        )
    return subject


def _exists(scope: Scope, subject: str) -> bool:
    if scope is Scope.TENANT:
        return Tenant.objects.filter(name=subject).exists()
    if scope is Scope.TEMPLATE:
        tenant, _, name = subject.partition("/")
        return Template.objects.filter(tenant__name=tenant, name=name).exists()
    return subject in _names(scope)


def _names(scope: Scope) -> list[str]:
    if scope is Scope.CHANNEL:
        return [channel.value for channel in Channel]
    if scope is Scope.PROVIDER:
        return sorted(get_settings().providers)
    if scope is Scope.TEMPLATE:
        found: Any = Template.objects.live().order_by("tenant__name", "name")
        names = found.values_list("tenant__name", "name")[: NAMES_SHOWN + 1]
        return [f"{tenant}/{name}" for tenant, name in names]
    return list(Tenant.objects.values_list("name", flat=True)[: NAMES_SHOWN + 1])
