"""Django's admin for the package: what became of everything, and the switches to act on it."""

from . import delivery, policy, tenants

__all__ = ("delivery", "policy", "tenants")
