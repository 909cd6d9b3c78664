"""The safety net: everything due gets a message in the end."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, connections
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications.enums import Channel, Priority, State
from notifications.exceptions import BrokerUnavailable
from notifications.gates import forget_gates
from notifications.lifecycle import FRESH, TRIED
from notifications.models import Notification, Pause, RateBucket, RateLimit
from notifications.pipeline import backlog, dispatch, policy
from notifications.pipeline import owing as owing_module
from notifications.pipeline.deliver import deliver
from notifications.pipeline.dispatch import Flow, Round, dispatch_due, dispatch_round

from .factories import copies, sms, tenant

pytestmark = pytest.mark.django_db

Published = list[tuple[Priority, list[UUID]]]


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Iterator[Published]:
    """What dispatch would have put on the broker, where somebody has taken it at once.

    In its first round it has room for a single full message.
    """
    monkeypatch.setattr(backlog, "MESSAGES", 1)
    messages: Published = []

    def publish(channel: Channel, priority: Priority, ids: Sequence[UUID]) -> None:
        messages.append((priority, list(ids)))

    monkeypatch.setattr(dispatch, "publish", publish)
    monkeypatch.setattr(dispatch, "waiting_messages", lambda *_: 0)
    forget()
    yield messages
    forget()


def forget() -> None:
    policy.forget()
    dispatch.forget_flows()
    forget_gates()


def ids_of(published: Published) -> list[UUID]:
    return [id for _, ids in published for id in ids]


def owe(*rows: Notification) -> None:
    Notification.objects.filter(pk__in=[row.pk for row in rows]).update(publish_at=Now())


def test_what_the_relay_has_taken_is_left_alone_for_a_while(published: Published) -> None:
    sms()
    assert dispatch_due() == 0
    assert published == []


def test_what_is_owed_is_published_once_until_the_hint_is_old(published: Published) -> None:
    row = sms()
    owe(row)
    assert (dispatch_due(), dispatch_due()) == (1, 0)
    assert published == [(Priority.NORMAL, [row.pk])]
    owe(row)
    assert dispatch_due() == 1


def test_the_urgent_go_first(published: Published) -> None:
    rows = [sms(priority=p) for p in ("bulk", "normal", "urgent")]
    owe(*rows)
    dispatch_due()
    assert [priority for priority, _ in published] == [0, 1, 2]


def test_what_is_scheduled_waits_for_its_time(published: Published) -> None:
    row = sms(send_at=timezone.now() + timezone.timedelta(hours=1))
    assert dispatch_due() == 0
    owe(row)
    assert dispatch_due() == 1


@pytest.mark.parametrize(
    ("scope", "subject"), [("channel", "sms"), ("provider", "simulated"), ("tenant", "default")]
)
def test_what_is_paused_is_not_published(published: Published, scope: str, subject: str) -> None:
    owe(sms())
    Pause.objects.create(scope=scope, subject=subject)
    policy.forget()
    assert dispatch_due() == 0
    Pause.objects.all().delete()
    policy.forget()
    assert dispatch_due() == 1


def test_tenants_take_turns(published: Published, settings: Any) -> None:
    settings.NOTIFICATIONS = {"BATCH_SIZE": 10}
    many = [sms(tenant=tenant("many")) for _ in range(30)]
    few = [sms(tenant=tenant("few")) for _ in range(3)]
    owe(*many, *few)
    dispatch_due()
    released = ids_of(published)
    assert len(released) == 10
    assert {row.pk for row in few} <= set(released[:6])


def test_the_room_that_one_tenant_leaves_goes_to_the_others(
    published: Published, settings: Any
) -> None:
    settings.NOTIFICATIONS = {"BATCH_SIZE": 20}
    owe(*[sms(tenant=tenant("many")) for _ in range(30)], sms(tenant=tenant("few")))
    assert dispatch_due() == 20


def test_retries_and_first_attempts_have_half_of_the_room_each(
    published: Published, settings: Any
) -> None:
    settings.NOTIFICATIONS = {"BATCH_SIZE": 10}
    tried, fresh = [sms() for _ in range(20)], [sms() for _ in range(20)]
    owe(*tried, *fresh)
    Notification.objects.filter(pk__in=[row.pk for row in tried]).update(
        state=State.RETRY_WAIT, publish_at=Now() - timedelta(hours=1)
    )
    dispatch_due()
    released = set(ids_of(published))
    assert len(released & {row.pk for row in tried}) == 5
    assert len(released & {row.pk for row in fresh}) == 5


@pytest.mark.parametrize("few", [State.QUEUED, State.RETRY_WAIT])
def test_what_either_half_leaves_goes_to_the_other(
    published: Published, settings: Any, few: State
) -> None:
    settings.NOTIFICATIONS = {"BATCH_SIZE": 10}
    rows = [sms() for _ in range(20)]
    owe(*rows)
    [many] = {State.QUEUED, State.RETRY_WAIT} - {few}
    Notification.objects.update(state=many)
    Notification.objects.filter(pk__in=[row.pk for row in rows[:2]]).update(state=few)
    assert dispatch_due() == 10
    assert len(set(ids_of(published))) == 10
    assert {row.pk for row in rows[:2]} <= set(ids_of(published))


def test_where_one_may_go_at_a_time_both_kinds_have_their_turn(published: Published) -> None:
    RateLimit.objects.create(scope="channel", subject="sms", rates="1/m")
    tried, fresh = sms(), sms()
    owe(tried, fresh)
    Notification.objects.filter(pk=tried.pk).update(state=State.RETRY_WAIT)
    dispatch_due()
    forget_gates()
    RateBucket.objects.all().delete()
    dispatch_due()
    assert set(ids_of(published)) == {tried.pk, fresh.pk}


@pytest.mark.parametrize(("scope", "subject"), [("channel", "sms"), ("provider", "simulated")])
def test_no_more_is_released_than_the_limit_lets_go(
    published: Published, scope: str, subject: str
) -> None:
    RateLimit.objects.create(scope=scope, subject=subject, rates="5/s")
    owe(*[sms() for _ in range(12)])
    assert dispatch_due() == 5
    assert dispatch_due() <= 1  # of the same second


def test_several_providers_let_go_what_they_do_together(
    published: Published, settings: Any
) -> None:
    simulated = "notifications.providers.simulated.SimulatedProvider"
    settings.NOTIFICATIONS = {
        "CHANNELS": {"sms": {"PROVIDERS": ["one", "two"]}},
        "PROVIDERS": {
            "one": {"BACKEND": simulated, "RATE_LIMIT": "3/s"},
            "two": {"BACKEND": simulated, "RATE_LIMIT": "4/s, 100/d"},
        },
    }
    owe(*[sms() for _ in range(12)])
    assert dispatch_due() == 7


def test_a_channel_goes_on_while_one_of_its_providers_is_open(
    published: Published, settings: Any
) -> None:
    simulated = {"BACKEND": "notifications.providers.simulated.SimulatedProvider"}
    settings.NOTIFICATIONS = {
        "CHANNELS": {"sms": {"PROVIDERS": ["one", "two"]}},
        "PROVIDERS": {"one": simulated, "two": simulated},
    }
    owe(sms())
    Pause.objects.create(scope="provider", subject="one")
    policy.forget()
    assert dispatch_due() == 1
    owe(sms())
    Pause.objects.create(scope="provider", subject="two")
    policy.forget()
    assert dispatch_due() == 0


def test_a_tenant_at_its_limit_holds_up_no_other(published: Published) -> None:
    RateLimit.objects.create(scope="tenant", subject="limited", rates="5/s")
    owe(*[sms(tenant=tenant("limited")) for _ in range(30)])
    free = [sms(tenant=tenant("free")) for _ in range(30)]
    owe(*free)
    assert dispatch_due() == 35
    assert {row.pk for row in free} <= set(ids_of(published))


def test_nothing_is_released_for_a_tenant_whose_day_is_spent(published: Published) -> None:
    RateLimit.objects.create(scope="tenant", subject="daily", rates="3/d")
    rows = [sms(tenant=tenant("daily")) for _ in range(6)]
    assert deliver(Channel.SMS, [row.pk for row in rows]).settled == 3
    owe(*rows)
    assert dispatch_round() == Round(0, is_more=False)


def test_a_day_that_is_not_spent_holds_nothing_up(published: Published) -> None:
    RateLimit.objects.create(scope="tenant", subject="daily", rates="3/d")
    for _ in range(3):  # released and lost, each time: that is not what the day's limit counts
        owe(*(sms(tenant=tenant("daily")) for _ in range(2)))
        assert dispatch_due() == 2


def test_what_still_waits_in_the_broker_takes_up_room(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    owe(*[sms() for _ in range(120)])
    monkeypatch.setattr(dispatch, "waiting_messages", lambda *_: 1000)
    assert dispatch_round() == Round(0, is_more=True)
    monkeypatch.setattr(dispatch, "waiting_messages", lambda *_: 0)
    assert 0 < dispatch_due() < 120


@pytest.mark.parametrize("fails", ["publish", "waiting_messages"])
def test_a_broker_that_is_away_leaves_everything_owed(
    published: Published, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def fail(*_: object) -> None:
        raise BrokerUnavailable("ConnectionRefusedError")

    monkeypatch.setattr(dispatch, fails, fail)
    owe(sms(), sms())
    with pytest.raises(BrokerUnavailable):
        dispatch_due()
    time.sleep(0.002)  # SQLite's clock counts milliseconds
    assert Notification.objects.owed(FRESH).count() == 2


@pytest.mark.django_db(transaction=True)
def test_dispatchers_at_once_release_nothing_twice(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where each believes that the others are dead, and has the queue for itself."""
    monkeypatch.setattr(backlog, "HOLD_SECONDS", 0)
    owe(*[sms() for _ in range(60)])
    assert sum(race_to_dispatch(4)) == len(ids_of(published)) == len(set(ids_of(published))) == 60


@pytest.mark.django_db(transaction=True)
def test_one_dispatcher_at_a_time_fills_a_queue(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two would lock each other's rows for a moment, and who then gets the message passes over."""
    owe(*[sms() for _ in range(20)])
    at_it, most = [0], [0]

    def waiting_messages(queue: str) -> int:
        at_it[0] += 1
        most.append(at_it[0])
        time.sleep(0.05)
        return 0

    def publish(channel: Channel, priority: Priority, ids: Sequence[UUID]) -> None:
        published.append((priority, list(ids)))
        at_it[0] -= 1

    monkeypatch.setattr(dispatch, "waiting_messages", waiting_messages)
    monkeypatch.setattr(dispatch, "publish", publish)
    assert sorted(race_to_dispatch(4)) == [0, 0, 0, 20]
    assert max(most) == 1


def race_to_dispatch(count: int) -> list[int]:
    """How many each of `count` dispatchers releases, that have seen the same rows waiting."""
    fresh, tried = owing_module.owing()
    [lane], start = fresh, threading.Barrier(count)

    def race(flow: Flow) -> int:
        start.wait()
        try:
            return flow.dispatch(fresh[lane], tried[lane], workers=4).released
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:  # a flow of its own is what each process has
        return list(pool.map(race, [Flow(lane) for _ in range(count)]))


def test_an_idle_round_is_one_statement(published: Published) -> None:
    Notification.objects.filter(pk=sms().pk).update(state=State.SENT)
    sms(send_at=timezone.now() + timezone.timedelta(hours=1))
    with CaptureQueriesContext(connection) as captured:
        dispatch_due()
    assert len(captured) == 1


def test_no_query_of_a_tick_reads_what_is_finished(published: Published) -> None:
    """By the databases' own plans: SQLite and PostgreSQL miss an index for different reasons."""
    objects, lane = Notification.objects, {"channel": "sms", "priority": 1, "tenant": tenant().pk}
    queries = {
        "notifications_owed_idx": objects.owed(FRESH).filter(**lane).order_by("publish_at"),
        "notifications_owed_again_idx": objects.owed(TRIED).filter(**lane).order_by("publish_at"),
        "notifications_leases_idx": objects.lapsed(State.LEASED, 5),
        "notifications_expiring_idx": objects.overdue(),
    }
    fill(10_000, State.SENT)
    analyze()
    for index, query in queries.items():
        assert index in query.explain(), index


@pytest.mark.parametrize("is_known", [True, False], ids=["analyzed", "stale"])
def test_a_round_costs_what_it_releases_and_not_what_waits(
    published: Published, is_known: bool
) -> None:
    """A backlog of one tenant and a long schedule of another are stepped over, not read."""
    analyze()
    fill(20_000, State.QUEUED, tenant("many"))
    fill(5_000, State.SCHEDULED, tenant("later"), publish_at=timezone.now() + timedelta(days=1))
    owe(sms(tenant=tenant("few")))
    if is_known:
        analyze()
    with CaptureQueriesContext(connection) as captured:
        assert dispatch_due() == 100
    assert {row["tenant__name"] for row in hinted().values("tenant__name")} == {"few", "many"}
    assert len(captured) < 60
    assert rows_read(owing_module._sql(owing_module.OWED)) < 100


def test_late_messages_are_looked_for_without_reading_what_waits(published: Published) -> None:
    now = timezone.now()
    late, soon = now - timedelta(minutes=1), now + timedelta(seconds=20)
    fill(5_000, State.QUEUED, tenant("many"), publish_at=soon, due_at=late)
    fill(5_000, State.QUEUED, tenant("held"), due_at=late)
    analyze()
    assert owing_module.late(30, 5) == {owing_module.Lane(Priority.NORMAL, Channel.SMS)}
    assert owing_module.late(10, 5) == owing_module.late(30, 90) == set()
    assert rows_read(owing_module._late_sql(30, 5)) < 100


def hinted() -> Any:
    return Notification.objects.filter(state=State.QUEUED, publish_at__gt=Now())


def rows_read(sql: str) -> int:
    """How many rows a statement looks at; SQLite does not tell, but for reading a whole table."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}", [])
            plan = [row[3] for row in cursor.fetchall()]
            assert not [step for step in plan if step.startswith("SCAN n")], plan
            return 0
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}")
        [[[plan]]] = [cursor.fetchall()]
        return sum(_rows(plan[0]["Plan"]))


def _rows(node: dict[str, Any]) -> Iterator[int]:
    if node.get("Relation Name") == "notifications_notification":
        yield (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    for child in node.get("Plans", ()):
        yield from _rows(child)


def fill(count: int, state: State, of: Any = None, **fields: Any) -> None:
    row = sms()
    fields = {"publish_at": timezone.now(), "tenant": of or row.tenant} | fields
    Notification.objects.filter(pk=row.pk).update(state=state, **fields)
    copies(row, count - 1)


def analyze() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE notifications_notification")
