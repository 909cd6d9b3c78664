"""What attempts came to: the attempt rows and one guarded move each, in one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from .. import prepared
from ..conf import get_settings
from ..enums import AttemptOutcome, Channel, ReceiptState, State
from ..lifecycle import Move, status_of
from ..messages import Outcome
from ..models import Attempt, Notification
from ..providers.registry import get_provider
from ..retry import Decision, History, decide
from ..settlements import PROVEN, Settlement, Way
from ..signals import attempt_finished, attempts_finished, writes_fenced
from . import database, events, route
from .adopt import adopt
from .parties import parties_of
from .receive import Arrival, store, tell_received
from .suppressions import learn
from .told import Settled, tell_settled

DETAIL_MAX = 500
CODE_MAX = 50


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt that has ended: `row.attempt_count` is its number."""

    row: Notification
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Abilities:
    """What the decision needs to know of the provider that was tried."""

    name: str
    honours_key: bool = False
    reports_delivery: bool = False
    one_account: bool = True


def settle(token: UUID, provider: str, ended: Sequence[Ended]) -> Mapping[UUID, Decision]:
    """Write what the attempts under `token` came to; the decisions that took effect.

    Rows that another holder has meanwhile taken are left alone and counted as fenced.
    """
    if not ended:
        return {}
    abilities = _abilities_of(provider)
    decisions = {e.row.pk: _decide(abilities, e) for e in ended}
    settlements = [_settlement(abilities, e, decisions[e.row.pk]) for e in ended]
    with database.atomic(savepoint=False):
        moved = Notification.objects.settle(token, settlements)
        if moved < len(ended):
            ended = _fence(token, provider, ended, moved)
        _record_attempts(provider, ended)
        _record_receipts(provider, ended)
        learn((e.row, *said) for e in ended for said in _codes(e.outcome))
        events.record([e.row.pk for e in ended])
        _announce_settled(abilities, ended, decisions)
        _adopt_receipts(abilities, ended)
    return {e.row.pk: decisions[e.row.pk] for e in ended}


def _fence(token: UUID, provider: str, ended: Sequence[Ended], moved: int) -> list[Ended]:
    """Those of `ended` that are still ours; the others came too late to be written."""
    fenced = len(ended) - moved
    database.on_commit(
        lambda: writes_fenced.send_robust(sender=Notification, count=fenced, provider=provider)
    )
    ours = Notification.objects.settled_under(token, [e.row.pk for e in ended])
    return [e for e in ended if e.row.pk in ours]


def _abilities_of(name: str) -> Abilities:
    if name not in get_settings().providers:  # taken out of the settings since the attempt
        return Abilities(name)
    provider = get_provider(name)
    return Abilities(name, provider.honours_key, provider.reports_delivery, provider.one_account)


def _decide(abilities: Abilities, ended: Ended) -> Decision:
    channel = get_settings().channel(ended.row.channel)
    history = History(ended.row.spent_attempts, ended.row.was_ambiguous)
    following = route.following(ended.row, abilities.name)
    return decide(
        ended.outcome,
        history,
        channel.retry,
        channel.on_unknown,
        abilities.honours_key,
        following,
        abilities.one_account,
    )


def _settlement(abilities: Abilities, ended: Ended, decision: Decision) -> Settlement:
    outcome = ended.outcome
    ambiguous = outcome.kind is AttemptOutcome.AMBIGUOUS
    way = Way(
        decision.move,
        free=decision.free and decision.move is not Move.ABANDON,
        final=not abilities.reports_delivery,
        ambiguous=ambiguous,
        risky=ambiguous and not abilities.honours_key,
        receipt=_highest(ended),
        fails_over=bool(decision.following),
    )
    return Settlement(
        id=ended.row.pk,
        way=way,
        delay=decision.delay,
        next_scope=route.scope_of(decision.following),
        provider_message_id=outcome.provider_message_id[:255],
        code=outcome.code[:CODE_MAX],
        detail=outcome.detail[:DETAIL_MAX],
    )


def _codes(outcome: Outcome) -> list[tuple[str, str]]:
    """What is said by the outcome, and by the receipts that came with it; and of whom."""
    return [(outcome.code, ""), *((r.code, r.recipient) for r in outcome.receipts)]


def _highest(ended: Ended) -> ReceiptState:
    arrivals = _arrivals(ended, ended.row.provider)
    return max((arrival.weight for arrival in arrivals), default=ReceiptState.NONE)


def _arrivals(ended: Ended, provider: str) -> list[Arrival]:
    """The receipts that came with the outcome."""
    row = ended.row
    return [
        Arrival(row.pk, provider, receipt, parties_of(row) if receipt.recipient else None)
        for receipt in ended.outcome.receipts
    ]


def _record_attempts(provider: str, ended: Sequence[Ended]) -> None:
    """One row an attempt; a late writer replaces what the rescuer had to assume.

    What was abandoned never left this process: it is no attempt.
    """
    made = [e for e in ended if e.outcome.kind is not AttemptOutcome.ABANDONED]
    if not made:
        return
    prepared.insert(
        database.alias(),
        Attempt,
        [_attempt(provider, e) for e in made],
        unique_fields=("notification", "number"),
        update_fields=("outcome", "code", "detail", "duration_ms", "finished_at"),
    )
    database.on_commit(lambda: _tell_finished(provider, made))


def _attempt(provider: str, ended: Ended) -> dict[str, Any]:
    outcome = ended.outcome
    return {
        "notification_id": ended.row.pk,
        "number": ended.row.attempt_count,
        "provider": provider,
        "outcome": outcome.kind,
        "code": outcome.code[:CODE_MAX],
        "detail": outcome.detail[:DETAIL_MAX],
        "duration_ms": round(outcome.seconds * 1000),
    }


def _tell_finished(provider: str, ended: Sequence[Ended]) -> None:
    attempts_finished.send_robust(
        sender=Attempt,
        provider=provider,
        notifications=[e.row for e in ended],
        outcomes=[e.outcome for e in ended],
    )
    if attempt_finished.has_listeners(Attempt):
        _tell_each_finished(provider, ended)


def _tell_each_finished(provider: str, ended: Sequence[Ended]) -> None:
    # The rows have the database's time; listeners get this host's, which costs no statement.
    now = datetime.now(UTC)
    for e in ended:
        attempt = Attempt(**_attempt(provider, e), finished_at=now)
        attempt_finished.send_robust(
            sender=Attempt, notification=e.row, attempt=attempt, seconds=e.outcome.seconds
        )


def _record_receipts(provider: str, ended: Sequence[Ended]) -> None:
    """Those that came with the outcome; the move itself has applied the highest of each row."""
    arrivals = [arrival for e in ended for arrival in _arrivals(e, provider)]
    if arrivals:
        store(arrivals)
        risen = {arrival.notification_id for arrival in arrivals}
        database.on_commit(lambda: tell_received(arrivals, risen))


def _adopt_receipts(abilities: Abilities, ended: Sequence[Ended]) -> None:
    """Those that overtook their send; nobody waits for one where the outcome has proved it all."""
    accepted = [e for e in ended if e.outcome.kind is AttemptOutcome.ACCEPTED]
    open_ended = [e for e in accepted if _highest(e) not in PROVEN]
    if open_ended and abilities.reports_delivery:
        named = {e.outcome.provider_message_id[:255]: e.row.pk for e in open_ended}
        named.pop("", None)
        adopt(abilities.name, {e.row.pk for e in open_ended}, named)


def _announce_settled(
    abilities: Abilities, ended: Sequence[Ended], decisions: Mapping[UUID, Decision]
) -> None:
    """Tell what is now at its end; a CASE in the move may have led elsewhere than decided."""
    settled, unsure = [], []
    for e in ended:
        kind = _highest(e)
        certain = kind in PROVEN or not abilities.reports_delivery
        if decisions[e.row.pk].move is Move.ACCEPT and certain:
            status = status_of(State.SENT, kind)
            settled.append(Settled(e.row.pk, Channel(e.row.channel), status))
        else:
            unsure.append(e.row.pk)
    if unsure:
        found = Notification.objects.filter(pk__in=unsure, settled_at__isnull=False)
        settled += [
            Settled(row.pk, Channel(row.channel), row.status)
            for row in found.only("id", "channel", "state", "receipt_state")
        ]
    database.on_commit(lambda: tell_settled(settled))
