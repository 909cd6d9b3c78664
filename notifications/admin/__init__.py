"""Django's admin for the package: what became of everything, and the switches to act on it."""

from django.apps import apps
from django.contrib import admin

from . import (
    dashboard,
    delivery,
    digests,
    endpoints,
    imports,
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
    "digests",
    "endpoints",
    "imports",
    "jobs",
    "policy",
    "preferences",
    "register",
    "suppressions",
    "templates",
    "tenants",
)


def register(site: admin.AdminSite) -> None:
    """Show the pages on `site` too; on the project's default site they are already."""
    for model in apps.get_app_config("notifications").get_models():
        if admin.site.is_registered(model):
            site.register(model, type(admin.site.get_model_admin(model)))
