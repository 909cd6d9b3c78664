"""Named sets of rows, and every move of a notification's state.

A move is one `UPDATE` guarded by the state and, where a worker moves, by its lease token; it
runs on the database's clock, and the number of rows says who won. No other module writes a
state. The methods return what moved and never raise for what did not.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connections, models, router
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Now

from . import prepared
from .columns import Among, Column, Found, InState, Slot
from .enums import NOT_ARRIVED, UNPROVEN, Channel, ReceiptState, State, Status, SuppressionReason
from .labels import phrase
from .lifecycle import IN_FLIGHT, INDEXED, MOVES, UNSENT, WAITING, Move, states_of
from .settlements import PROVEN, Settlement, settle

if TYPE_CHECKING:
    from .models import (  # noqa: F401 - types only
        APIKey,
        Digest,
        Endpoint,
        Notification,
        Preference,
        QueueBacklog,
        Suppression,
        Template,
        TemplateVersion,
        Tenant,
        Worker,
    )


CLAIMED = (
    "id",
    "tenant_id",
    "template_version_id",
    "channel",
    "priority",
    "to",
    "content",
    "metadata",
    "category",
    "created_at",
    "send_at",
    "trace",
    "wait_reason",
    "wait_scope",
    "attempt_count",
    "uncounted_attempts",
    "abandon_count",
    "was_ambiguous",
    "provider",
)
"""What an attempt needs of its notification, in the order of the model's fields."""

TENANT = ("id", "name", "has_suppressions", "has_preferences")

BESIDE = (
    "tenant__name",
    "tenant__has_suppressions",
    "tenant__has_preferences",
    "template_version__template__is_transactional",
)
"""What a claim reads of its rows' tenants and templates."""


class Literal(models.Value):
    """A state written into the SQL, where `Value` passes a parameter."""

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return f"'{State(self.value)}'", []


class Number(models.Value):
    """A number written into the SQL, for the same reason."""

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return str(int(self.value)), []


class Empty(models.Value):
    """An empty text written into the SQL, as in the condition of an index."""

    def __init__(self) -> None:
        super().__init__("")

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return "''", []


class Clock(models.Func):
    """The database's clock at this very moment, not at the start of the statement.

    `Now()` is cheaper and can use an index; a guard that may have waited for a row lock must
    not be judged by the time at which it began to wait.
    """

    template = "CLOCK_TIMESTAMP()"
    output_field = models.DateTimeField()

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return Now().as_sqlite(compiler, connection, **context)


class APIKeyQuerySet(models.QuerySet["APIKey"]):
    def live(self) -> "APIKeyQuerySet":
        """Keys that open the door now: not revoked, not expired."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=Now()), revoked_at=None)


class EndpointQuerySet(models.QuerySet["Endpoint"]):
    def registered(self, tenant: "Tenant") -> "EndpointQuerySet":
        """Those of `tenant` that have a URL: all but its default."""
        return self.filter(tenant=tenant).exclude(url="")


class TemplateQuerySet(models.QuerySet["Template"]):
    def live(self) -> "TemplateQuerySet":
        """Templates that can be used: not archived."""
        return self.filter(archived_at=None)


class TemplateVersionQuerySet(models.QuerySet["TemplateVersion"]):
    def current(self) -> "TemplateVersionQuerySet":
        """The versions in use, each with its template."""
        in_use = self.filter(number=F("template__version"), template__archived_at=None)
        return in_use.select_related("template")


class WorkerQuerySet(models.QuerySet["Worker"]):
    def seen_within(self, seconds: float) -> "WorkerQuerySet":
        return self.filter(seen_at__gt=Now() - timedelta(seconds=seconds))


class QueueBacklogQuerySet(models.QuerySet["QueueBacklog"]):
    def lock(self) -> "QueueBacklogQuerySet":
        """Lock the rows until the transaction ends, passing over what others have locked."""
        skip = connections[self.db].features.has_select_for_update_skip_locked
        return self.select_for_update(skip_locked=skip)


class SuppressionQuerySet(models.QuerySet["Suppression"]):
    def live(self) -> "SuppressionQuerySet":
        """Those that hold now."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=Now()))

    def on(
        self, recipients: Sequence[str], tenant_id: int | None
    ) -> "list[tuple[int, str, str, SuppressionReason]]":
        """Tenant, channel, recipient and reason of what holds for any of the folded `recipients`.

        Without a `tenant_id` those of all tenants.
        """
        using = router.db_for_write(self.model)
        build = self._build_on if tenant_id is None else self._build_on_tenant
        values = {"recipient": recipients, "tenant": tenant_id}
        key = "suppressed", tenant_id is None
        found = prepared.select(using, key, values, len(recipients), build)
        return [(row[0], row[1], row[2], SuppressionReason(row[3])) for row in found]

    def _build_on(self, count: int) -> "models.QuerySet[Suppression, Any]":
        recipients = Column("recipient", models.CharField(max_length=2048), count)
        live = self.model._default_manager.using(router.db_for_write(self.model)).live()
        found = live.filter(Among(recipients, "recipient"))
        return found.values_list("tenant_id", "channel", "recipient", "reason")

    def _build_on_tenant(self, count: int) -> "models.QuerySet[Suppression, Any]":
        # As a sum it is no reason to look for all of the tenant: to old statistics a list that has
        # just been imported is empty, and so seems faster to read than the index of recipients.
        found = self._build_on(count).alias(owner=F("tenant_id") + 0)
        return found.filter(owner=Slot("tenant", models.BigIntegerField()))


class PreferenceQuerySet(models.QuerySet["Preference"]):
    def on(self, recipients: Sequence[str], tenant_id: int | None) -> "list[Preference]":
        """Those of any of the folded `recipients`; without a `tenant_id` those of all tenants."""
        using = router.db_for_write(self.model)
        build = self._build_on if tenant_id is None else self._build_on_tenant
        values = {"recipient": recipients, "tenant": tenant_id}
        key = "preferred", tenant_id is None
        found = prepared.select(using, key, values, len(recipients), build)
        return [self.model.from_db(using, PREFERRED, row) for row in found]

    def _build_on(self, count: int) -> "models.QuerySet[Preference, Any]":
        recipients = Column("recipient", models.CharField(max_length=2048), count)
        rows = self.model._default_manager.using(router.db_for_write(self.model))
        return rows.filter(Among(recipients, "recipient")).values_list(*PREFERRED)

    def _build_on_tenant(self, count: int) -> "models.QuerySet[Preference, Any]":
        # As a sum, for the same reason as with suppressions.
        found = self._build_on(count).alias(owner=F("tenant_id") + 0)
        return found.filter(owner=Slot("tenant", models.BigIntegerField()))


PREFERRED = (
    "id",
    "tenant_id",
    "channel",
    "recipient",
    "opt_outs",
    "quiet_from",
    "quiet_until",
    "time_zone",
)
"""What is looked up of preferences, in the order of the model's fields."""


class DigestQuerySet(models.QuerySet["Digest"]):
    def open(self) -> "DigestQuerySet":
        """Those that can be joined."""
        return self.filter(is_open=True)

    def due(self) -> "DigestQuerySet":
        """Those that are to be closed now."""
        return self.filter(closed_at__isnull=True, closes_at__lte=Now())

    def lock(self, *, wait: bool) -> "DigestQuerySet":
        """Lock the rows one after the other; those that others hold are waited for or passed over.

        Whoever had to wait gets the rows as they are then, and only those that are still meant.
        """
        features = connections[self.db].features
        skip = not wait and features.has_select_for_update_skip_locked
        # Notifications that refer to it are stored meanwhile: a key is not what is changed.
        partly = features.has_select_for_no_key_update
        return self.select_for_update(skip_locked=skip, no_key=partly)


class NotificationQuerySet(models.QuerySet["Notification"]):
    # Named sets

    def with_template(self) -> "NotificationQuerySet":
        """Each row with the name of its template."""
        named = self.select_related("template_version__template")
        return named.defer("template_version__content")

    def of_template(self, tenant: "Tenant", name: str) -> "NotificationQuerySet":
        """What was made from any version of a template of `tenant`.

        The versions are looked up first: by their ids, PostgreSQL knows from its statistics
        whether to go through the newest rows or through those of the template.
        """
        versions: Any = self.model._meta.get_field("template_version").related_model
        found = versions.objects.filter(template__tenant=tenant, template__name=name)
        return self.filter(template_version__in=list(found.values_list("pk", flat=True)))

    def by_lane(self) -> "NotificationQuerySet":
        """The same rows; what is rare of a channel or priority is found by PostgreSQL's indexes.

        Each group of states has one that begins with both, but for the few in flight.
        """
        groups = (Q(state__in=sorted(group)) for group in INDEXED)
        return self.filter(reduce(or_, groups), channel__in=sorted(Channel.values))

    def with_status(self, *statuses: Status) -> "NotificationQuerySet":
        pairs = [pair for status in statuses for pair in states_of(status)]
        receipts: dict[State, set[ReceiptState]] = defaultdict(set)
        for state, receipt in pairs:
            receipts[state].add(receipt)
        whole = [s for s, found in receipts.items() if len(found) == len(ReceiptState)]
        query = Q(state__in=whole)
        for state, found in receipts.items():
            if state not in whole:
                query |= Q(state=state, receipt_state__in=sorted(found))
        return self._near(set(statuses), receipts).filter(query)

    def _near(
        self, statuses: Collection[Status], states: Collection[State]
    ) -> "NotificationQuerySet":
        """Not much more than what has one of `statuses`, where an index knows the few that do."""
        if states and UNSENT.issuperset(states):
            return self.in_states(UNSENT)
        if statuses == {Status.SCHEDULED}:
            return self.in_states(states)
        if statuses == {Status.UNDELIVERED}:
            return self._told(NOT_ARRIVED)
        if statuses == {Status.SENT}:
            return self.in_states({State.SENT})._told(UNPROVEN)
        return self

    def _told(self, kinds: Collection[ReceiptState]) -> "NotificationQuerySet":
        return self.filter(receipt_state__in=[Number(kind) for kind in sorted(kinds)])

    def in_states(self, states: Collection[State]) -> "NotificationQuerySet":
        """Rows in one of `states`, said as the conditions of the partial indexes say it.

        SQLite takes such an index only for a query that repeats its condition word for word.
        With parameters it read the whole table: beside a million finished rows 2.3 s for each
        lane of the dispatcher, 1 ms with literals (measured, 2026-11).
        """
        return self.filter(state__in=[Literal(state.value) for state in sorted(states)])

    def due(self, states: Collection[State] = WAITING) -> "NotificationQuerySet":
        """What may be claimed now; FRESH and TRIED, of which either has an index, or both."""
        return self.in_states(states)._claimable()

    def _claimable(self) -> "NotificationQuerySet":
        return self.unexpired().filter(due_at__lte=Now(), cancel_requested=False)

    def unexpired(self) -> "NotificationQuerySet":
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=Now()))

    def overdue(self) -> "NotificationQuerySet":
        """Not sent in time: waiting or merely leased, past `expires_at`."""
        start, _ = MOVES[Move.EXPIRE]
        return self.in_states(start).filter(expires_at__lte=Now())

    def cancellable(self) -> "NotificationQuerySet":
        """What provably has not been sent and still would be."""
        start, _ = MOVES[Move.CANCEL]
        return self.filter(state__in=sorted(start))

    def owed(self, states: Collection[State]) -> "NotificationQuerySet":
        """What the dispatcher owes a message: due, and no live message is believed to exist.

        `states` are FRESH, TRIED or both: the first two have an index each.
        """
        return self.in_states(states).filter(publish_at__lte=Now())

    def gathered_in(self, digests: Collection[UUID]) -> "NotificationQuerySet":
        """What waits in these digests."""
        return self.filter(InState([State.IN_DIGEST]), digest__in=digests)

    def lapsed(self, state: State, grace: float) -> "NotificationQuerySet":
        """In flight in `state` although the lease ran out more than `grace` seconds ago."""
        past = Now() - timedelta(seconds=grace)
        return self.in_states(IN_FLIGHT).filter(state=state, lease_until__lt=past)

    def with_message_id(self) -> "NotificationQuerySet":
        """What a provider has given an id, said as the condition of that index says it."""
        return self.filter(provider_message_id__gt=Empty())

    def taken_as(self, provider: str, message_ids: Collection[str]) -> "NotificationQuerySet":
        """What `provider` took under these ids of its own."""
        named = self.with_message_id().filter(provider_message_id__in=message_ids)
        return named.filter(provider=provider)

    def tried_by(self, provider: str, ids: Collection[UUID]) -> "NotificationQuerySet":
        """Those of `ids` that `provider` has been given, or is given now."""
        attempts = self.model._meta.get_field("attempts").related_model
        by_it = attempts._default_manager.filter(notification=models.OuterRef("pk"))
        before = models.Exists(by_it.filter(provider=provider))
        return self.filter(Q(provider=provider) | before, pk__in=ids)

    def lock_in_order(self) -> "NotificationQuerySet":
        """Lock the rows, one after the other, waiting for those that others hold."""
        partly = connections[self.db].features.has_select_for_no_key_update
        return self.order_by("pk").select_for_update(no_key=partly)

    # Moves of workers

    def claim(self, ids: Sequence[UUID], token: UUID, lease_seconds: float) -> "list[Notification]":
        """Lease what is due of `ids`; call inside a transaction. What others hold is skipped.

        The rows have what an attempt needs; their other fields are read when they are asked for.
        """
        using = router.db_for_write(self.model)
        found = prepared.select(using, "due", {"id": ids}, len(ids), self._build_due)
        claimed = self._instances(using, found)
        values = {
            "id": [row.pk for row in claimed],
            "token": token,
            "lease": timedelta(seconds=lease_seconds),
        }
        if claimed:
            prepared.update(using, Move.CLAIM, values, len(claimed), self._build_claim)
        return claimed

    def claim_few(
        self, ids: Sequence[UUID], token: UUID, lease_seconds: float
    ) -> "list[Notification]":
        """As `claim`, in one statement and outside of any transaction; PostgreSQL only."""
        using = router.db_for_write(self.model)
        values = {"id": ids, "token": token, "lease": timedelta(seconds=lease_seconds)}
        found = prepared.take(
            using, "claim few", values, len(ids), self._build_due, self._build_claim_found
        )
        return self._instances(using, found)

    def lock(self) -> "NotificationQuerySet":
        """Lock the rows until the transaction ends, passing over what others have locked."""
        skip = connections[self.db].features.has_select_for_update_skip_locked
        return self.select_for_update(skip_locked=skip, of=("self",) if skip else ())

    def release(
        self,
        ids: Collection[UUID],
        token: UUID,
        delays: Mapping[UUID, float] | None = None,
        reason: str = "",
        scope: str = "",
    ) -> int:
        """Give leased rows back, unsent and free of charge; `delays` snoozes them (seconds).

        They keep the token without a lease: that tells them from those that the rescuer took away.
        """
        due_at = Now() + _by_id(delays) if delays else Now()
        return self._move(Move.RELEASE, ids, token).update(
            state=_back_in_line(),
            due_at=due_at,
            publish_at=due_at,
            lease_until=None,
            wait_reason=reason,
            wait_scope=scope[:100],
        )

    def mark_dispatching(
        self, ids: Sequence[UUID], token: UUID, provider: str, margin: float
    ) -> set[UUID]:
        """Commit the intent to send; from here on the provider may have it.

        Refused are rows whose lease has less than `margin` seconds left, that have expired, or
        whose cancellation was asked for. Returns the ids that may be sent.
        """
        using = router.db_for_write(self.model)
        margin_span = timedelta(seconds=margin)
        values = {"id": ids, "token": token, "provider": provider, "margin": margin_span}
        if prepared.update(using, "mark", values, len(ids), self._build_mark) == len(ids):
            return set(ids)
        held = self.filter(InState([State.DISPATCHING]), pk__in=ids, lease_token=token)
        return set(held.values_list("pk", flat=True))

    def settle(self, token: UUID, items: Sequence[Settlement]) -> int:
        """Write what attempts came to, one statement for each way to go; how many moved."""
        return settle(self._whole(), router.db_for_write(self.model), token, items)

    def _build_due(self, count: int) -> "models.QuerySet[Notification, Any]":
        ids = Column("id", models.UUIDField(), count)
        due = self._whole().filter(Among(ids), InState(WAITING))._claimable()
        return due.lock().values_list(*CLAIMED, *BESIDE)

    def _instances(self, using: str, found: Sequence[Sequence[Any]]) -> "list[Notification]":
        tenant: Any = self.model._meta.get_field("tenant")
        tenants: dict[int, Tenant] = {}
        rows = []
        for *values, name, suppresses, prefers, is_transactional in found:
            row = self.model.from_db(using, CLAIMED, values)
            row.__dict__["is_transactional"] = is_transactional is not False and not row.category
            if row.tenant_id not in tenants:
                identity = (row.tenant_id, name, suppresses, prefers)
                tenants[row.tenant_id] = tenant.related_model.from_db(using, TENANT, identity)
            tenant.set_cached_value(row, tenants[row.tenant_id])
            rows.append(row)
        return rows

    def _build_claim(self, count: int) -> "tuple[NotificationQuerySet, dict[str, Any]]":
        return self._claiming(Among(Column("id", models.UUIDField(), count)))

    def _build_claim_found(self, count: int) -> "tuple[NotificationQuerySet, dict[str, Any]]":
        return self._claiming(Found())

    def _claiming(self, which: models.Func) -> "tuple[NotificationQuerySet, dict[str, Any]]":
        start, _ = MOVES[Move.CLAIM]
        until = Now() + Slot("lease", models.DurationField())
        return self._whole().filter(which, InState(start)), {
            "state": State.LEASED,
            "lease_token": Slot("token", models.UUIDField()),
            "lease_until": until,
            "publish_at": until,
        }

    def _build_mark(self, count: int) -> "tuple[NotificationQuerySet, dict[str, Any]]":
        start, _ = MOVES[Move.MARK]
        marked = self._whole().filter(
            Among(Column("id", models.UUIDField(), count)),
            InState(start),
            Q(expires_at=None) | Q(expires_at__gt=Clock()),
            lease_token=Slot("token", models.UUIDField()),
            lease_until__gt=Clock() + Slot("margin", models.DurationField()),
            cancel_requested=False,
        )
        return marked, {
            "state": State.DISPATCHING,
            "attempt_count": F("attempt_count") + 1,
            "provider": Slot("provider", models.CharField()),
            "dispatched_at": Clock(),
            "wait_reason": "",
            "wait_scope": "",
        }

    def _whole(self) -> "NotificationQuerySet":
        """The whole table, whatever this set is narrowed to."""
        return type(self)(self.model, using=router.db_for_write(self.model))

    def settled_under(self, token: UUID, ids: Collection[UUID]) -> set[UUID]:
        """Those of `ids` that the holder of `token` has settled and nobody has taken since."""
        held = self.filter(pk__in=ids, lease_token=token).exclude(state__in=sorted(IN_FLIGHT))
        return set(held.values_list("pk", flat=True))

    def suppress(self, ids: Collection[UUID], token: UUID, code: str, detail: str) -> set[UUID]:
        """End leased rows whose recipients nothing is sent to; which of them."""
        moved = self._move(Move.SUPPRESS, ids, token).update(
            state=State.SUPPRESSED, settled_at=Now(), error_code=code, error_detail=detail
        )
        if moved == len(ids):
            return set(ids)
        ended = self.filter(pk__in=ids, lease_token=token, state=State.SUPPRESSED)
        return set(ended.values_list("pk", flat=True))

    # Moves of digests

    def digest(self, ids: Collection[UUID]) -> int:
        """End what another notification says along with others."""
        return self._move(Move.DIGEST, ids).update(state=State.DIGESTED, settled_at=Now())

    def disband(self, ids: Collection[UUID]) -> int:
        """Send by themselves what was waiting in a digest."""
        return self._move(Move.DISBAND, ids).update(
            state=State.QUEUED, due_at=Now(), publish_at=Now()
        )

    # Moves of the rescuer

    def return_lapsed(self, ids: Collection[UUID]) -> int:
        """Put leased rows of a worker that is gone back in line; nothing of them was sent."""
        return self._move(Move.RELEASE, ids).update(
            state=_back_in_line(),
            due_at=Now(),
            publish_at=Now(),
            abandon_count=F("abandon_count") + 1,
        )

    def poison(self, ids: Collection[UUID]) -> int:
        """Fail rows whose worker died too often before sending them."""
        return self._move(Move.POISON, ids).update(
            state=State.FAILED,
            settled_at=Now(),
            error_code="poison",
            error_detail=phrase("the worker that held it died too often before sending it"),
        )

    def expire(self, ids: Collection[UUID]) -> int:
        return self._move(Move.EXPIRE, ids).update(
            state=State.EXPIRED,
            settled_at=Now(),
            error_code="expired",
            error_detail=phrase("expires_at passed before it was sent"),
        )

    def ask_about(
        self, providers: Collection[str], after: float, again: float, until: float, most: int
    ) -> "list[Notification]":
        """Unknown rows to ask their providers about; nobody else takes them for `again` seconds.

        Those whose attempt began `after` to `until` seconds ago. Call inside a transaction.
        """
        unknown = self.in_states({State.UNKNOWN}).filter(
            provider__in=providers,
            due_at__lte=Now(),
            dispatched_at__lt=Now() - timedelta(seconds=after),
            dispatched_at__gt=Now() - timedelta(seconds=until),
        )
        rows = list(unknown.order_by("due_at").lock().select_related("tenant")[:most])
        later = Now() + timedelta(seconds=again)
        self.filter(pk__in=[row.pk for row in rows]).update(due_at=later)
        return rows

    def go_on_asking(self, row: "Notification", note: str, seconds: float) -> None:
        """Ask about a row that still is unknown in so many seconds, with what is noted."""
        later = Now() + timedelta(seconds=seconds)
        unknown = self.in_states({State.UNKNOWN}).filter(pk=row.pk, lease_token=row.lease_token)
        unknown.update(look_up_note=note[:255], due_at=later)

    # Moves of control and of receipts

    def cancel(self, ids: Collection[UUID]) -> int:
        """Cancel what provably has not been sent."""
        return self._move(Move.CANCEL, ids).update(state=State.CANCELLED, settled_at=Now())

    def request_cancel(self, ids: Collection[UUID]) -> int:
        """Ask that what is in flight, or may have been sent, is not tried again."""
        maybe_sent = (State.DISPATCHING, State.UNKNOWN)
        return self.filter(pk__in=ids, state__in=maybe_sent).update(cancel_requested=True)

    def requeue(self, ids: Collection[UUID], statuses: Collection[Status]) -> int:
        """Start a new cycle of attempts for what has one of `statuses`, at its `send_at` or now."""
        is_early = Q(send_at__gt=Now())
        due_at = Case(When(is_early, then=F("send_at")), default=Now())
        return (
            self._move(Move.REQUEUE, ids)
            .with_status(*statuses)
            .update(
                state=Case(
                    When(is_early, then=Value(State.SCHEDULED.value)),
                    default=Value(State.QUEUED.value),
                ),
                receipt_state=ReceiptState.NONE,
                duplicate_risk=Case(
                    When(state=State.UNKNOWN, then=True), default=F("duplicate_risk")
                ),
                due_at=due_at,
                publish_at=due_at,
                uncounted_attempts=F("attempt_count"),
                expires_at=Case(When(expires_at__lte=Now(), then=None), default=F("expires_at")),
                cancel_requested=False,
                abandon_count=0,
                sent_at=None,
                settled_at=None,
                error_code="",
                error_detail="",
            )
        )

    def raise_receipt(self, ids: Collection[UUID], kind: ReceiptState) -> "list[Notification]":
        """Let a receipt speak where it outranks what earlier ones said; which rows rose by it.

        One that proves that the provider is done with the message also ends all trying (EVIDENCE)
        and stamps the end of what was sent; any other at least proves that an unknown one was
        sent. Call inside a transaction.
        """
        outranked = self.filter(pk__in=ids, receipt_state__lt=kind.floor)
        rising = list(outranked.select_for_update().only("id", "channel", "state", "settled_at"))
        values: dict[str, Any] = {"receipt_state": kind}
        if kind in PROVEN:
            start, _ = MOVES[Move.EVIDENCE]
            known = Q(state__in=sorted(start | {State.SENT}))
            values |= {
                "state": Case(When(known, then=Value(State.SENT.value)), default=F("state")),
                "sent_at": _now_where(known & Q(sent_at=None), "sent_at"),
                "settled_at": _now_where(known, "settled_at"),
            }
        else:
            unknown = Q(state=State.UNKNOWN)
            values |= {
                "state": Case(When(unknown, then=Value(State.SENT.value)), default=F("state")),
                "sent_at": _now_where(unknown & Q(sent_at=None), "sent_at"),
            }
        self.filter(pk__in=[row.pk for row in rising]).update(**values)
        return rising

    # The dispatcher's mark

    def hint(self, ids: Collection[UUID], seconds: float) -> int:
        """Note that a message is on its way, so that none is owed for `seconds`."""
        if not ids:
            return 0
        values = {"id": list(ids), "later": timedelta(seconds=seconds)}
        using = router.db_for_write(self.model)
        return prepared.update(using, "hint", values, len(ids), self._build_hint)

    def _build_hint(self, count: int) -> "tuple[NotificationQuerySet, dict[str, Any]]":
        ids = Column("id", models.UUIDField(), count)
        return self._whole().filter(Among(ids), InState(WAITING)), {
            "publish_at": Now() + Slot("later", models.DurationField())
        }

    def _move(
        self, move: Move, ids: Collection[UUID], token: UUID | None = None
    ) -> "NotificationQuerySet":
        start, _ = MOVES[move]
        rows = self.filter(InState(start), pk__in=ids)
        return rows if token is None else rows.filter(lease_token=token)


def _now_where(condition: Q, name: str) -> Case:
    """The database's time in the rows that `condition` is true of; the others keep theirs."""
    now = When(condition, then=Now())
    return Case(now, default=F(name), output_field=models.DateTimeField())


def _back_in_line() -> Case:
    return Case(
        When(attempt_count__gt=0, then=Value(State.RETRY_WAIT.value)),
        default=Value(State.QUEUED.value),
    )


def _by_id(delays: Mapping[UUID, float]) -> Any:
    """The delay of the row at hand."""
    if len(set(delays.values())) == 1:
        return timedelta(seconds=next(iter(delays.values())))
    return Case(*(When(pk=id, then=Value(timedelta(seconds=d))) for id, d in delays.items()))
