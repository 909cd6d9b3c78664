"""Django's admin for the package: what became of everything, and the switches to act on it."""

from . import (
    dashboard,
    delivery,
    endpoints,
    jobs,
    policy,
    preferences,
    suppressions,
    templates,
    tenants,
)

__all__ = (
    "dashboard",
    "delivery",
    "endpoints",
    "jobs",
    "policy",
    "preferences",
    "suppressions",
    "templates",
    "tenants",
)
