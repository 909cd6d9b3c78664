"""Kinds of notifications, declared once: their template, channels and priority."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured

from .enums import Channel, Priority
from .exceptions import FieldError, InvalidNotification
from .models import Notification, Tenant
from .recipients import find_address
from .shortcuts import notify_many


class NotificationType:
    """A kind of notification; an instance is one occasion, and `notify` sends it to somebody.

        class OrderShipped(NotificationType):
            channels = ("email", "sms")
            template = {"email": "order-shipped", "sms": "order-shipped-sms"}
            priority = "urgent"

            def __init__(self, order):
                self.order = order

            def context(self):
                return {"order": self.order.number}

            def idempotency_key(self):
                return f"order-{self.order.pk}-shipped"

        OrderShipped(order).notify(order.customer)

    A template belongs to one channel, so that several channels take a template each. Who has no
    template overrides `content`. What is wrong with a class is told where it is defined.
    """

    channels: ClassVar[Sequence[str]] = ("email",)
    template: ClassVar[str | Mapping[str, str]] = ""
    priority: ClassVar[str] = Priority.NORMAL.label
    tenant: ClassVar[str | Tenant | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for problem in _problems(cls):
            raise ImproperlyConfigured(f"{cls.__qualname__}.{problem}")

    def notify(self, to: Any, **fields: Any) -> list[Notification]:
        """Notify `to` on every channel that `channels_for` chooses; all are accepted, or none.

        `fields` are those of `notifications.notify` and overrule what the class says. Raises what
        that raises.
        """
        chosen = self.channels_for(to)
        if not chosen:
            detail = f"the recipient has no address for any of: {', '.join(self.channels)}"
            raise InvalidNotification([FieldError("/to", "no_address", detail)])
        return notify_many([self._item(c, to, fields) for c in chosen], tenant=self.tenant)

    async def anotify(self, to: Any, **fields: Any) -> list[Notification]:
        """`notify`, for asynchronous code."""
        return await sync_to_async(self.notify)(to, **fields)

    def context(self) -> Mapping[str, Any]:
        """What fills the template."""
        return {}

    def idempotency_key(self) -> str | None:
        """What tells this occasion from others, however often it is notified of.

        The channel is added where there are several: each notification has a key of its own. Where
        one occasion concerns several recipients, put them into it too.
        """
        return None

    def channels_for(self, to: Any) -> Sequence[str]:
        """Those of `channels` that are used for `to`: all on which it has an address."""
        if isinstance(to, str):
            return self.channels
        return [name for name in self.channels if find_address(Channel(name), to)]

    def content(self, channel: str) -> Mapping[str, Any]:
        """The fields of `notify` that make the message: template and context."""
        name = self.template if isinstance(self.template, str) else self.template[channel]
        return {"template": name, "context": dict(self.context())}

    def _item(self, channel: str, to: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
        item = {"channel": channel, "to": to, "priority": self.priority}
        if key := self.idempotency_key():
            item["idempotency_key"] = key if len(self.channels) == 1 else f"{key}:{channel}"
        return {**item, **self.content(channel), **fields}


def _problems(cls: type[NotificationType]) -> list[str]:
    known, priorities = ", ".join(Channel.values), ", ".join(Priority.labels)
    problems = []
    if isinstance(cls.channels, str) or not set(cls.channels) <= set(Channel.values):
        problems.append(f"channels must be a list of: {known}")
    elif not cls.channels:
        problems.append("channels must not be empty")
    if cls.priority not in Priority.labels:
        problems.append(f"priority must be one of: {priorities}")
    return problems or _template_problems(cls)


def _template_problems(cls: type[NotificationType]) -> list[str]:
    if cls.content is not NotificationType.content:
        return []
    if isinstance(cls.template, str):
        if not cls.template:
            return ["template is missing; name one, or override content()"]
        if len(cls.channels) > 1:
            return [f"template must name one for each channel: {{{cls.channels[0]!r}: …}}"]
        return []
    missing = sorted(set(cls.channels) - set(cls.template))
    return [f"template names none for {', '.join(missing)}"] if missing else []
