"""What a scenario came to, by what outsiders can see.

Known are the ids that clients were answered, the provider's own log, the rows and their attempts.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

OPEN = frozenset({"scheduled", "in_digest", "queued", "leased", "dispatching", "retry_wait"})
EFFECT = "accepted"
ENDED_UNSENT = frozenset({"failed", "cancelled", "expired", "suppressed"})


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the provider's log."""

    at: float
    key: str
    attempt: int
    what: str


@dataclass(frozen=True, slots=True)
class Row:
    """A notification, with the outcomes of its attempts."""

    id: str
    state: str
    attempt_count: int
    duplicate_risk: bool
    outcomes: tuple[str, ...]


@dataclass(slots=True)
class Verdict:
    """The figures; `broken` says in sentences what must not be."""

    accepted: int = 0
    once: int = 0
    duplicated: int = 0
    lost: int = 0
    unknown: int = 0
    unknown_delivered: int = 0
    ended: int = 0
    stuck: int = 0
    illegal: list[str] = field(default_factory=list)
    faults: int = 0
    recovery: float = 0.0
    broken: list[str] = field(default_factory=list)

    def promise(self, kept: bool, sentence: str) -> None:
        """Add `sentence`, which says what was expected, unless it was so."""
        if not kept:
            self.broken.append(sentence)


def read_log(path: Path) -> list[Line]:
    # The last one may be half written at this moment.
    lines = (line.split() for line in path.read_text().splitlines(True) if line.endswith("\n"))
    return [Line(float(at), key, int(attempt), what) for at, key, attempt, what in lines]


def judge(
    answered: Collection[str],
    log: Iterable[Line],
    rows: Collection[Row],
    *,
    may_end: Collection[str] = (),
    may_repeat: bool = False,
) -> Verdict:
    """The verdict over all that was answered, and over rows of which the answer was lost.

    `may_end` are ids that may end unsent. With `may_repeat` a duplicate is none where the row
    admits the risk of one: a provider without keys, and a channel that retries what is unknown.
    """
    lines = list(log)
    effects = Counter(line.key for line in lines if line.what == EFFECT)
    hits = Counter(line.key for line in lines if line.what == "arrived")
    by_id = {row.id: row for row in rows}
    ended = {row.id for row in rows if row.state in ENDED_UNSENT}
    unknown = {row.id for row in rows if row.state == "unknown"}
    lost = [id for id in answered if _is_lost(by_id.get(id), effects)]
    lost += [id for id in ended - set(may_end) if not effects[id]]
    marked = {row.id for row in rows if row.duplicate_risk} if may_repeat else set()
    verdict = Verdict(
        accepted=len(set(answered)),
        once=sum(count == 1 for count in effects.values()),
        duplicated=sum(count > 1 for id, count in effects.items() if id not in marked),
        lost=len(set(lost)),
        unknown=len(unknown),
        unknown_delivered=sum(effects[id] > 0 for id in unknown),
        ended=len(ended),
        stuck=sum(row.state in OPEN for row in rows),
        illegal=[s for row in rows for s in _illegal(row, hits[row.id], effects[row.id])],
    )
    verdict.illegal += [f"{id} was sent, and has no row" for id in set(hits) - set(by_id)]
    _convict(verdict)
    return verdict


def _is_lost(row: Row | None, effects: Counter[str]) -> bool:
    """Answered, and then not there, or called sent although the provider never took it."""
    return row is None or (row.state == "sent" and not effects[row.id])


def _illegal(row: Row, hits: int, effects: int) -> Iterable[str]:
    """Where a row contradicts the provider or itself."""
    if row.state in ENDED_UNSENT and effects:
        yield f"{row.id} is {row.state}, and was delivered"
    if hits > row.attempt_count:
        yield f"{row.id} was sent {hits} times on {row.attempt_count} attempts"
    if row.state not in OPEN and len(row.outcomes) != row.attempt_count:
        yield f"{row.id} is {row.state} with {row.attempt_count} attempts: {row.outcomes}"
    if row.state == "sent" and "accepted" not in row.outcomes:
        yield f"{row.id} is sent, and no attempt was accepted: {row.outcomes}"


def _convict(verdict: Verdict) -> None:
    verdict.promise(not verdict.lost, f"nothing is lost: {verdict.lost}")
    verdict.promise(not verdict.stuck, f"nothing is stuck: {verdict.stuck}")
    verdict.promise(not verdict.duplicated, f"nothing is sent twice: {verdict.duplicated}")
    shown = "; ".join(verdict.illegal[:3])
    verdict.promise(not verdict.illegal, f"rows and log agree: {len(verdict.illegal)}: {shown}")
