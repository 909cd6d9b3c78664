"""The product, broken on purpose in the workers of a scenario: a judge must be seen to convict.

TEST_MUTATION names a function below; as an app, this module calls it once the models are there.
"""

import os
import re
import signal
from collections.abc import Callable, Collection
from importlib import import_module
from typing import Any
from uuid import UUID

from django.apps import AppConfig, apps
from django.db.backends.signals import connection_created

from tests.faults.http_provider import POISON


class Mutations(AppConfig):
    name = "tests.faults"
    label = "faults"

    def ready(self) -> None:
        globals()[os.environ["TEST_MUTATION"]]()


def settle_without_token() -> None:
    """Whoever reports an outcome is believed, whether or not it still holds the row."""
    connection_created.connect(
        lambda connection, **_: connection.execute_wrappers.append(_without_token), weak=False
    )


def _without_token(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
    assigned, where, condition = sql.partition(" WHERE ")
    if assigned.startswith('UPDATE "notifications_notification"') and '"error_code"' in assigned:
        condition = TOKEN_HELD.sub("(%s)::uuid IS NOT NULL", condition)
    return execute(assigned + where + condition, *rest)


TOKEN_HELD = re.compile(r'"notifications_notification"."lease_token" = \(?%s\)?')


def no_rescue() -> None:
    """What a lost worker held is never found."""
    _rows().lapsed = lambda self, *_: self.none()


def mark_after_the_call() -> None:
    """One commit instead of two: while the provider is asked, the row still says `leased`."""
    rows = _rows()
    kept: dict[UUID, list[Any]] = {}
    mark, settle = rows.mark_dispatching, rows.settle

    def keep(self: Any, ids: Collection[UUID], token: UUID, *rest: Any) -> set[UUID]:
        kept.setdefault(token, []).append((self, ids, rest))
        return set(ids)

    def settle_all(self: Any, token: UUID, items: Any) -> Any:
        for queryset, ids, rest in kept.pop(token, ()):
            mark(queryset, ids, token, *rest)
        return settle(self, token, items)

    rows.mark_dispatching, rows.settle = keep, settle_all


def crash_before_mark() -> None:
    """No fault of the product: a process that ends just before it would mark a poisonous row."""
    rows = _rows()
    mark = rows.mark_dispatching

    def crash(self: Any, ids: Collection[UUID], *rest: Any) -> Any:
        if self.filter(pk__in=ids, content__body=POISON).exists():
            os._exit(1)
        return mark(self, ids, *rest)

    rows.mark_dispatching = crash


def crash_while_closing() -> None:
    """No fault of the product: a process is killed when a digest is written but for its end."""
    digests = import_module("notifications.pipeline.digests")
    digests.__dict__["_close"] = lambda *_: os.kill(os.getpid(), signal.SIGKILL)


def _rows() -> Any:
    """The class of `Notification.objects.all()`, whose methods its manager calls."""
    return type(apps.get_model("notifications", "Notification").objects.all())
