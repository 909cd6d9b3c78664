"""Wires the house together when Django starts."""

from importlib import import_module

from django.apps import AppConfig
from django.utils.translation import pgettext_lazy

from . import check_list
from .labels import translate_names


class NotificationsConfig(AppConfig):
    name = "notifications"
    verbose_name = pgettext_lazy("notifications", "Notifications")
    default_auto_field = "django.db.models.BigAutoField"

    def import_models(self) -> None:
        super().import_models()
        translate_names(self.models.values())

    def ready(self) -> None:
        # Named here and nowhere else: tasks are published by name, metrics listen to signals.
        # What these need in turn is loaded when it is used: every process of the project starts.
        for module in ("schemes", "tasks", "observability.wiring"):
            import_module(f"notifications.{module}")
        check_list.register()
