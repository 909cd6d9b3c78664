"""Wires the house together when Django starts."""

from importlib import import_module

from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "notifications"
    verbose_name = "Notifications"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Named here and nowhere else: tasks are published by name, metrics listen to signals.
        for module in ("checks", "tasks", "observability.wiring"):
            import_module(f"notifications.{module}")
