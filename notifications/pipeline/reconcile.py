"""Notifications whose outcome nobody knows: where their provider can be asked, it is asked."""

import logging
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured

from ..conf import get_settings
from ..enums import State
from ..messages import Outcome, Pending
from ..models import Notification
from ..providers.base import Provider
from ..providers.registry import get_provider
from . import database
from .deliver import message_of
from .settle import Ended, settle

logger = logging.getLogger(__name__)

AFTER_SECONDS = 60.0
"""How long after its attempt one is asked about: a provider may be late with its own books."""

AGAIN_SECONDS = 600.0
UNTIL_SECONDS = 72 * 3600.0
"""How long one is asked about; after that only a receipt or a person says more."""

MOST = 50
BUDGET_SECONDS = 2.0
"""How long a round goes on asking: whoever asks has other things to do."""


def reconcile() -> int:
    """Ask about some, and settle those of which the provider knows; how many that was.

    Costs nothing where no provider can be asked.
    """
    able = {provider.name: provider for provider in _used() if provider.can_look_up}
    if not able:
        return 0
    with database.atomic():
        rows = Notification.objects.ask_about(
            list(able), AFTER_SECONDS, AGAIN_SECONDS, UNTIL_SECONDS, MOST
        )
    by_attempt: dict[tuple[UUID, str], list[Ended]] = defaultdict(list)
    for row, outcome in _answers(able, rows):
        if row.lease_token:
            by_attempt[row.lease_token, row.provider].append(Ended(row, outcome))
    for (token, name), ended in by_attempt.items():
        settle(token, name, ended)
    return sum(map(len, by_attempt.values()))


def can_look_up(name: str) -> bool:
    """Whether the provider of this name is asked what became of a message."""
    return any(provider.name == name and provider.can_look_up for provider in _used())


def _used() -> Iterator[Provider]:
    """The providers that carry anything, as far as they are usable here."""
    channels = get_settings().channels.values()
    for name in sorted({name for channel in channels for name in channel.providers}):
        with suppress(ImportError, ImproperlyConfigured):  # delivering with it tells loudly
            yield get_provider(name)


def _answers(
    able: Mapping[str, Provider], rows: Sequence[Notification]
) -> list[tuple[Notification, Outcome]]:
    deadline = time.monotonic() + BUDGET_SECONDS
    found = []
    for row in rows:
        if time.monotonic() >= deadline:
            break
        outcome = _ask(able[row.provider], row)
        if outcome is not None:
            found.append((row, outcome))
    return found


def _ask(provider: Provider, row: Notification) -> Outcome | None:
    if row.dispatched_at is None or (provider.looks_up_by_content and _has_twin(row)):
        return None
    found = _look_up(provider, row, row.dispatched_at)
    if isinstance(found, Pending):
        Notification.objects.go_on_asking(row, found.note, found.seconds)
        return None
    if found is None or _is_another_s(row, found.provider_message_id):
        if row.look_up_note:
            Notification.objects.go_on_asking(row, "", AGAIN_SECONDS)
        return None
    return found


def _look_up(provider: Provider, row: Notification, began: datetime) -> Outcome | Pending | None:
    try:
        return provider.look_up(message_of(row), began, row.look_up_note)
    except Exception as error:
        # Without its text and traceback, which may show the recipient or the content.
        logger.error("provider %s, while looking up: %s", provider.name, type(error).__name__)
        return None


def _has_twin(row: Notification) -> bool:
    """Whether another one to the same recipient may be what the provider would find."""
    unsettled = Notification.objects.in_states({State.UNKNOWN, State.DISPATCHING})
    return unsettled.filter(provider=row.provider, to=row.to).exclude(pk=row.pk).exists()


def _is_another_s(row: Notification, message_id: str) -> bool:
    taken = Notification.objects.taken_as(row.provider, [message_id] if message_id else [])
    return taken.exclude(pk=row.pk).exists()
