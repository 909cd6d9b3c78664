"""Which state may follow which, as a table, and what the outside is told.

The states of delivery (`State`) are moved by workers and by control; what receipts say
(`ReceiptState`) is a column of its own. The public `Status` is a function of both.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from .enums import ReceiptState, State, Status

S = State


class Move(StrEnum):
    """The named moves of a notification; each one is a guarded statement in `querysets`."""

    CLAIM = "claim"
    RELEASE = "release"
    MARK = "mark"
    ACCEPT = "accept"
    RETRY = "retry"
    FAIL = "fail"
    PARK = "park"
    ABANDON = "abandon"
    POISON = "poison"
    CANCEL = "cancel"
    EXPIRE = "expire"
    SUPPRESS = "suppress"
    DIGEST = "digest"
    DISBAND = "disband"
    REQUEUE = "requeue"
    EVIDENCE = "evidence"


FRESH = frozenset({S.SCHEDULED, S.QUEUED})
"""Waiting for the first attempt, of all or since somebody asked for another."""

TRIED = frozenset({S.RETRY_WAIT})
"""Waiting for another attempt."""

WAITING = FRESH | TRIED
"""Not claimed by anybody; `due_at` says when it may be."""

IN_FLIGHT = frozenset({S.LEASED, S.DISPATCHING})
"""Held by a worker under a lease."""

SETTLING = frozenset({S.DISPATCHING, S.UNKNOWN})
"""What the holder of the lease token may settle: the truth is taken however late it comes."""

TERMINAL = frozenset({S.SENT, S.FAILED, S.CANCELLED, S.EXPIRED, S.SUPPRESSED, S.DIGESTED})
"""No worker touches these again of itself."""

LATER = frozenset({S.SCHEDULED, S.IN_DIGEST})
"""Waits for a time that somebody has set."""

UNSENT = TERMINAL - {S.SENT}
"""At their end without having been sent: few, and what an operator looks for."""

INDEXED = (TERMINAL, FRESH, TRIED, IN_FLIGHT, frozenset({S.UNKNOWN}), frozenset({S.IN_DIGEST}))
"""All states, apart as the indexes by channel and priority have them."""

MOVES: Mapping[Move, tuple[frozenset[State], frozenset[State]]] = MappingProxyType(
    {
        Move.CLAIM: (WAITING, frozenset({S.LEASED})),
        Move.RELEASE: (frozenset({S.LEASED}), frozenset({S.QUEUED, S.RETRY_WAIT})),
        Move.MARK: (frozenset({S.LEASED}), frozenset({S.DISPATCHING})),
        Move.ACCEPT: (SETTLING | {S.RETRY_WAIT}, frozenset({S.SENT})),
        Move.RETRY: (SETTLING, frozenset({S.RETRY_WAIT, S.CANCELLED, S.SENT})),
        Move.FAIL: (SETTLING, frozenset({S.FAILED, S.SENT})),
        Move.PARK: (SETTLING, frozenset({S.UNKNOWN, S.SENT})),
        Move.ABANDON: (
            frozenset({S.DISPATCHING}),
            frozenset({S.QUEUED, S.RETRY_WAIT, S.CANCELLED}),
        ),
        Move.POISON: (frozenset({S.LEASED}), frozenset({S.FAILED})),
        Move.CANCEL: (WAITING | {S.LEASED, S.IN_DIGEST}, frozenset({S.CANCELLED})),
        Move.EXPIRE: (WAITING | {S.LEASED}, frozenset({S.EXPIRED})),
        Move.SUPPRESS: (frozenset({S.LEASED}), frozenset({S.SUPPRESSED})),
        Move.DIGEST: (frozenset({S.IN_DIGEST}), frozenset({S.DIGESTED})),
        Move.DISBAND: (frozenset({S.IN_DIGEST}), frozenset({S.QUEUED})),
        Move.REQUEUE: (
            frozenset({S.FAILED, S.EXPIRED, S.CANCELLED, S.UNKNOWN, S.SENT}),
            frozenset({S.QUEUED, S.SCHEDULED}),
        ),
        Move.EVIDENCE: (
            frozenset({S.UNKNOWN, S.RETRY_WAIT, S.QUEUED, S.FAILED}),
            frozenset({S.SENT}),
        ),
    }
)
"""Each move with the states it may start from and those it may end in.

ACCEPT starts from RETRY_WAIT when a worker that was given up reports success after all.
RETRY, FAIL and PARK end in SENT where a receipt has already proved delivery; RETRY and
ABANDON end in CANCELLED where cancellation was asked for while the attempt was in flight.
REQUEUE starts from SENT only when a receipt said undelivered, and from UNKNOWN only when the
caller accepts the risk of a duplicate; it ends in SCHEDULED where send_at is still to come.
EVIDENCE is a receipt that proves delivery. DIGEST ends what another notification says along with
others; DISBAND sends it by itself after all.
"""

STATUS_OF_STATE: Mapping[State, Status] = MappingProxyType(
    {
        S.SCHEDULED: Status.SCHEDULED,
        S.IN_DIGEST: Status.SCHEDULED,
        S.QUEUED: Status.QUEUED,
        S.LEASED: Status.QUEUED,
        S.DISPATCHING: Status.SENDING,
        S.RETRY_WAIT: Status.RETRYING,
        S.UNKNOWN: Status.UNKNOWN,
        S.SENT: Status.SENT,
        S.FAILED: Status.FAILED,
        S.CANCELLED: Status.CANCELLED,
        S.EXPIRED: Status.EXPIRED,
        S.SUPPRESSED: Status.SUPPRESSED,
        S.DIGESTED: Status.DIGESTED,
    }
)

STATUS_OF_RECEIPT: Mapping[ReceiptState, Status] = MappingProxyType(
    {
        ReceiptState.DELIVERED: Status.DELIVERED,
        ReceiptState.UNDELIVERED: Status.UNDELIVERED,
        ReceiptState.BOUNCED: Status.UNDELIVERED,
    }
)
"""Receipts that decide the status of what was sent; the others only inform."""


def status_of(state: State, receipt_state: ReceiptState) -> Status:
    """What the outside is told of a notification in `state` with `receipt_state`."""
    if state == S.SENT:
        return STATUS_OF_RECEIPT.get(receipt_state, Status.SENT)
    return STATUS_OF_STATE[state]


def states_of(status: Status) -> list[tuple[State, ReceiptState]]:
    """Every pair of columns that shows as `status`; the inverse of `status_of`."""
    return [(s, r) for s in State for r in ReceiptState if status_of(s, r) == status]
