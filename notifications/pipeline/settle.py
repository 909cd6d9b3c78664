"""What attempts came to: the attempt rows and one guarded move each, in one transaction."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.models.functions import Now

from ..conf import get_settings
from ..enums import AttemptOutcome, Channel, Status
from ..lifecycle import Move
from ..messages import Outcome
from ..models import Attempt, Notification
from ..providers.registry import get_provider
from ..querysets import Settlement
from ..retry import Decision, History, decide
from ..signals import attempt_finished, notification_settled, writes_fenced
from . import database
from .receive import Arrival, record

logger = logging.getLogger(__name__)

DETAIL_MAX = 500
CODE_MAX = 50


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt that has ended: `row.attempt_count` is its number.

    `started_at` is given where the outcome was not timed by whoever made the attempt.
    """

    row: Notification
    outcome: Outcome
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the decision needs to know of the provider that was tried."""

    name: str
    honours_key: bool = False
    reports_delivery: bool = False


class _Fenced(Exception):
    """Some rows are no longer ours; the transaction is rolled back."""


def settle(token: UUID, provider: str, ended: Sequence[Ended]) -> Mapping[UUID, Decision]:
    """Write what the attempts under `token` came to; the decisions that took effect.

    Rows that another holder has meanwhile taken are left alone and counted as fenced.
    """
    abilities = _abilities_of(provider)
    decisions = {e.row.pk: _decide(abilities, e) for e in ended}
    if not ended:
        return decisions
    try:
        with database.atomic():
            _write(token, abilities, ended, decisions, whole=True)
    except _Fenced:
        ended = _write_what_is_ours(token, abilities, ended, decisions)
    return {e.row.pk: decisions[e.row.pk] for e in ended}


def _abilities_of(name: str) -> Abilities:
    if name not in get_settings().providers:  # taken out of the settings since the attempt
        return Abilities(name)
    provider = get_provider(name)
    return Abilities(name, provider.honours_key, provider.reports_delivery)


def _decide(abilities: Abilities, ended: Ended) -> Decision:
    channel = get_settings().channel(ended.row.channel)
    history = History(ended.row.spent_attempts, ended.row.was_ambiguous)
    return decide(ended.outcome, history, channel.retry, channel.on_unknown, abilities.honours_key)


def _write(
    token: UUID,
    abilities: Abilities,
    ended: Sequence[Ended],
    decisions: Mapping[UUID, Decision],
    *,
    whole: bool,
) -> None:
    settlements = [_settlement(abilities, e, decisions[e.row.pk]) for e in ended]
    moved = Notification.objects.settle(token, settlements)
    if whole and moved != len(ended):
        raise _Fenced
    _record_attempts(abilities.name, ended)
    record([Arrival(e.row.pk, abilities.name, r) for e in ended for r in e.outcome.receipts])
    _announce_settled(abilities, ended, decisions)


def _write_what_is_ours(
    token: UUID,
    abilities: Abilities,
    ended: Sequence[Ended],
    decisions: Mapping[UUID, Decision],
) -> list[Ended]:
    with database.atomic():
        ours = Notification.objects.settleable(token, [e.row.pk for e in ended])
        kept = [e for e in ended if e.row.pk in ours]
        if kept:
            _write(token, abilities, kept, decisions, whole=False)
    fenced = len(ended) - len(kept)
    logger.warning("fenced %d late writes to %s", fenced, abilities.name)
    writes_fenced.send_robust(sender=Notification, count=fenced)
    return kept


def _settlement(abilities: Abilities, ended: Ended, decision: Decision) -> Settlement:
    outcome = ended.outcome
    ambiguous = outcome.kind is AttemptOutcome.AMBIGUOUS
    return Settlement(
        id=ended.row.pk,
        move=decision.move,
        delay=decision.delay,
        free=decision.free and decision.move is not Move.ABANDON,
        final=not abilities.reports_delivery,
        ambiguous=ambiguous,
        risky=ambiguous and not abilities.honours_key,
        provider_message_id=outcome.provider_message_id[:255],
        code=outcome.code[:CODE_MAX],
        detail=outcome.detail[:DETAIL_MAX],
    )


def _record_attempts(provider: str, ended: Sequence[Ended]) -> None:
    """One row an attempt; a late writer replaces what the rescuer had to assume.

    What was abandoned never left this process: it is no attempt.
    """
    made = [e for e in ended if e.outcome.kind is not AttemptOutcome.ABANDONED]
    attempts = [_attempt(provider, e) for e in made]
    Attempt.objects.bulk_create(
        attempts,
        update_conflicts=True,
        unique_fields=["notification", "number"],
        update_fields=["outcome", "code", "detail", "finished_at"],
    )
    database.on_commit(lambda: _tell_finished(made, attempts))


def _attempt(provider: str, ended: Ended) -> Attempt:
    outcome = ended.outcome
    return Attempt(
        notification=ended.row,
        number=ended.row.attempt_count,
        provider=provider,
        outcome=outcome.kind,
        code=outcome.code[:CODE_MAX],
        detail=outcome.detail[:DETAIL_MAX],
        started_at=ended.started_at or Now() - timedelta(seconds=outcome.seconds),
        finished_at=Now(),
    )


def _tell_finished(ended: Sequence[Ended], attempts: Sequence[Attempt]) -> None:
    for e, attempt in zip(ended, attempts, strict=True):
        # The rows have the database's times; listeners get this host's, which cost no statement.
        attempt.finished_at = datetime.now(UTC)
        attempt.started_at = attempt.finished_at - timedelta(seconds=e.outcome.seconds)
        attempt_finished.send_robust(
            sender=Attempt, notification=e.row, attempt=attempt, seconds=e.outcome.seconds
        )


def _announce_settled(
    abilities: Abilities, ended: Sequence[Ended], decisions: Mapping[UUID, Decision]
) -> None:
    """Tell what is now at its end; a CASE in the move may have led elsewhere than decided."""
    sure = {
        e.row.pk
        for e in ended
        if decisions[e.row.pk].move is Move.ACCEPT
        and (e.outcome.receipts or not abilities.reports_delivery)
    }
    unsure = [e.row.pk for e in ended if e.row.pk not in sure]
    settled = Notification.objects.filter(pk__in=unsure, settled_at__isnull=False)
    told = [(n.pk, n.channel, n.status) for n in settled.only(*SETTLED_FIELDS)] if unsure else []
    if not abilities.reports_delivery:
        told += [(e.row.pk, e.row.channel, Status.SENT) for e in ended if e.row.pk in sure]
    database.on_commit(lambda: _tell_settled(told))


SETTLED_FIELDS = ("id", "channel", "state", "receipt_state")


def _tell_settled(told: Sequence[tuple[UUID, str, Status]]) -> None:
    for id, channel, status in told:
        notification_settled.send_robust(
            sender=Notification, notification_id=id, channel=Channel(channel), status=status
        )
