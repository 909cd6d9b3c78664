"""The notifications have a database of their own; nothing may lead from one to the other."""

from typing import Any


class Router:
    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "letters" if model._meta.app_label == "notifications" else "default"

    db_for_write = db_for_read

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool:
        return self.db_for_read(one) == self.db_for_read(other)

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return (db == "letters") == (app_label == "notifications")
