"""Django's admin for the package: what became of everything, and the switches to act on it."""

from . import delivery, endpoints, policy, preferences, suppressions, templates, tenants

__all__ = ("delivery", "endpoints", "policy", "preferences", "suppressions", "templates", "tenants")
