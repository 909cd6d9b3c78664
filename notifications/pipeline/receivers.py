"""The receivers that the rows of one task go to: what to sign with, and how they fare."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.models import Q

from ..channels import CHANNELS
from ..enums import AttemptOutcome, Channel, DisabledReason
from ..messages import Outcome
from ..models import Endpoint, Notification
from ..secrets import Unreadable
from . import endpoints

logger = logging.getLogger(__name__)

FAILING_MAX = timedelta(days=5)
"""After so long of nothing but failures an endpoint is disabled."""

PROBE_SECONDS_MIN = 1.0
PROBE_SECONDS_MAX = 600.0
UNREADABLE_SECONDS = 60.0

GONE = "gone"
OUR_OWN = frozenset({"endpoint_disabled", "invalid_url", "render_error", "provider_error"})
"""Codes of attempts that say nothing of the receiver."""


class Receivers:
    """Read in one query, before anything is marked; nothing at all for channels without."""

    def __init__(self, rows: Sequence[Notification]) -> None:
        signed = [row for row in rows if CHANNELS[Channel(row.channel)].signed]
        self._by_row: dict[UUID, Endpoint] = _endpoints(signed) if signed else {}
        self._secrets: dict[UUID, tuple[str, ...]] = {}
        self._lost: set[UUID] = set()
        for endpoint in set(self._by_row.values()):
            self._read(endpoint)

    def held(self, rows: Sequence[Notification]) -> dict[str, dict[UUID, float]]:
        """Rows that must not go now, with the seconds for which; by what they wait for.

        To an endpoint that does nothing but fail one message goes ahead now and then: receivers
        that hang would otherwise take up the places of all. What cannot be signed waits for
        whoever lost the key to find it.
        """
        held: dict[str, dict[UUID, float]] = defaultdict(dict)
        asked: set[UUID] = set()
        for row in rows:
            endpoint = self._by_row.get(row.pk)
            if endpoint is None or not (seconds := self._wait(endpoint)):
                continue
            if endpoint.pk in asked or not self._may_probe(endpoint, seconds):
                held[f"endpoint:{endpoint.pk}"][row.pk] = seconds
            asked.add(endpoint.pk)
        return held

    def secrets(self, row: Notification) -> tuple[str, ...]:
        """What to sign it with; nothing where its endpoint is disabled."""
        endpoint = self._by_row.get(row.pk)
        return self._secrets.get(endpoint.pk, ()) if endpoint else ()

    def learn(self, rows: Sequence[Notification], outcomes: Sequence[Outcome]) -> None:
        """Note who fails and who works again, and disable who is gone; in their transaction."""
        answers: dict[Endpoint, list[Outcome]] = defaultdict(list)
        for row, outcome in zip(rows, outcomes, strict=True):
            endpoint = self._by_row.get(row.pk)
            if endpoint and endpoint.url and _is_answer(outcome):
                answers[endpoint].append(outcome)
        for endpoint in sorted(answers, key=lambda e: e.pk):
            self._judge(endpoint, answers[endpoint])

    def _judge(self, endpoint: Endpoint, outcomes: Sequence[Outcome]) -> None:
        since = endpoint.failing_since
        if any(outcome.code == GONE for outcome in outcomes):
            self._disable(endpoint, DisabledReason.GONE)
        elif any(outcome.kind is AttemptOutcome.ACCEPTED for outcome in outcomes):
            if since:
                endpoints.mark_working(endpoint)
                endpoint.failing_since = None
        elif since is None:
            endpoints.mark_failing(endpoint)
            endpoint.failing_since = datetime.now(UTC)
        elif datetime.now(UTC) - since > FAILING_MAX:
            self._disable(endpoint, DisabledReason.FAILING)

    def _disable(self, endpoint: Endpoint, reason: DisabledReason) -> None:
        self._secrets[endpoint.pk] = ()
        if endpoints.disable(endpoint, reason):
            logger.warning("endpoint %s is disabled: %s", endpoint.pk, reason)

    def _wait(self, endpoint: Endpoint) -> float:
        """Seconds to leave it alone for: as long again as it has been failing, within bounds."""
        if endpoint.pk in self._lost:
            return UNREADABLE_SECONDS
        if endpoint.failing_since is None or not endpoint.is_active:
            return 0.0
        failing = (datetime.now(UTC) - endpoint.failing_since).total_seconds()
        return min(max(failing, PROBE_SECONDS_MIN), PROBE_SECONDS_MAX)

    def _may_probe(self, endpoint: Endpoint, seconds: float) -> bool:
        return endpoint.pk not in self._lost and endpoints.take_probe(endpoint, seconds)

    def _read(self, endpoint: Endpoint) -> None:
        try:
            self._secrets[endpoint.pk] = endpoints.live_secrets(endpoint)
        except Unreadable as error:
            self._lost.add(endpoint.pk)
            logger.error("the secret of endpoint %s cannot be read: %s", endpoint.pk, error)


def _endpoints(rows: Sequence[Notification]) -> dict[UUID, Endpoint]:
    """The endpoint of each row: by its URL, or else its tenant's default."""
    tenants = {row.tenant_id: row.tenant for row in rows}
    asked = Q(url="") | Q(url__in={row.to for row in rows})
    found = Endpoint.objects.filter(asked, tenant__in=tenants).select_related("tenant")
    by_url = {(e.tenant_id, e.url): e for e in found}
    for row in rows:
        default = (row.tenant_id, "")
        if (row.tenant_id, row.to) not in by_url and default not in by_url:
            by_url[default] = endpoints.default_of(row.tenant)
    return {
        row.pk: by_url.get((row.tenant_id, row.to)) or by_url[row.tenant_id, ""] for row in rows
    }


def _is_answer(outcome: Outcome) -> bool:
    return outcome.kind is not AttemptOutcome.ABANDONED and outcome.code not in OUR_OWN
