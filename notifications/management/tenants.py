"""Tenants by the name that was typed."""

from django.core.management.base import CommandError

from ..models import Tenant

NAMES_SHOWN = 20


def find_tenant(name: str, advice: str) -> Tenant:
    """The tenant of this name; raises CommandError, which names those there are and `advice`."""
    tenant = Tenant.objects.filter(name=name).first()
    if tenant is None:
        raise CommandError(f"There is no tenant {name!r}. {_known()} {advice}")
    return tenant


def _known() -> str:
    names = list(Tenant.objects.values_list("name", flat=True)[: NAMES_SHOWN + 1])
    if not names:
        return "There are no tenants yet."
    more = ", …" if len(names) > NAMES_SHOWN else ""
    return f"There is: {', '.join(names[:NAMES_SHOWN])}{more}."
