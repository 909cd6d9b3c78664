"""Joining races with joining, with closing, and with second thoughts."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from django.db import connections
from django.db.models.functions import Now

from notifications import notify, notify_many
from notifications.enums import Channel, State
from notifications.exceptions import NotPossible
from notifications.messages import TemplateDraft
from notifications.models import Digest, Notification, Tenant
from notifications.pipeline import digests
from notifications.pipeline.control import cancel
from notifications.pipeline.template_store import put

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

TO = ("+14155550123", "+14155550124")
JOINERS, EACH = 6, 24


@pytest.fixture
def tenant() -> Tenant:
    tenant = Tenant.objects.create(name="shop")
    lines = "{% for item in items %}{{ item.body }} {% endfor %}"
    put(tenant, "lines", TemplateDraft(Channel.SMS, {"body": lines}))
    return tenant


def item(body: str, to: str = TO[0], **more: Any) -> dict[str, Any]:
    rule = {"key": "k", "template": "lines", "window": 1, "max_count": 12, **more}
    return {"channel": "sms", "to": to, "body": body, "digest": rule}


def at_once(*acts: Callable[[], object]) -> list[Any]:
    """Each in a thread of its own, from the same moment on; what they return."""
    start = threading.Barrier(len(acts))

    def run(act: Callable[[], object]) -> object:
        start.wait()
        try:
            return act()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [future.result() for future in [pool.submit(run, act) for act in acts]]


def close_all() -> None:
    Digest.objects.filter(closed_at=None).update(closes_at=Now())
    while digests.close_due():
        pass


def said() -> Counter[str]:
    """How often each body is said, by what sends digests or by the row itself."""
    sending = Notification.objects.filter(state=State.QUEUED)
    return Counter(word for row in sending for word in row.content["body"].split())


@pytest.mark.parametrize("sliding", [False, True])
def test_whoever_joins_while_others_close_is_said_exactly_once(
    sliding: bool, tenant: Tenant
) -> None:
    done = threading.Event()
    left = threading.Semaphore(0)

    def some(body: str, *, alone: bool) -> None:
        if alone:
            notify(tenant=tenant, **item(body, random.choice(TO), sliding=sliding))
        else:
            pair = [item(f"{body}-{i}", to, sliding=sliding) for i, to in enumerate(TO)]
            notify_many(random.sample(pair, 2), tenant=tenant)

    def join(number: int) -> Callable[[], None]:
        def act() -> None:
            try:
                for n in range(EACH):
                    some(f"{number}-{n}", alone=bool(n % 4))
            finally:
                left.release()

        return act

    def close() -> None:
        while not done.wait(0.01):
            for id in Digest.objects.filter(closed_at=None).values_list("pk", flat=True):
                Digest.objects.filter(pk=id, closed_at=None).update(closes_at=Now())
            digests.close_due()

    def wait() -> None:
        for _ in range(JOINERS):
            left.acquire(timeout=20)
        done.set()

    at_once(*(join(number) for number in range(JOINERS)), close, close, wait)
    close_all()
    bodies = {f"{j}-{n}" for j in range(JOINERS) for n in range(EACH) if n % 4}
    bodies |= {f"{j}-{n}-{i}" for j in range(JOINERS) for n in range(0, EACH, 4) for i in (0, 1)}
    assert said() == Counter(bodies)
    assert not Notification.objects.filter(state=State.IN_DIGEST).exists()
    assert all(d.count <= 12 for d in Digest.objects.all())
    assert Digest.objects.count() > 4, "some were closed while others joined"


def test_many_open_one_together(tenant: Tenant) -> None:
    for round in range(6):
        acts = [
            lambda n=n, key=f"k{round}": notify(tenant=tenant, **item(str(n), key=key))
            for n in range(8)
        ]
        at_once(*acts)
    assert Digest.objects.count() == 6
    assert {digest.count for digest in Digest.objects.all()} == {8}


def test_many_close_one_together(tenant: Tenant) -> None:
    for n in range(20):
        for body in "ab":
            notify(tenant=tenant, **item(f"{n}-{body}", key=f"k{n}"))
    Digest.objects.update(closes_at=Now())
    at_once(*(close_all for _ in range(6)))
    assert said() == Counter(f"{n}-{body}" for n in range(20) for body in "ab")
    assert Notification.objects.filter(state=State.QUEUED).count() == 20
    assert not Digest.objects.filter(notification=None).exists()


def test_the_same_key_at_once_joins_once(tenant: Tenant) -> None:
    for n in range(10):
        acts = [
            lambda n=n: notify(tenant=tenant, idempotency_key=f"key-{n}", **item(f"x{n}"))
            for _ in range(6)
        ]
        assert len({row.pk for row in at_once(*acts)}) == 1
    close_all()
    assert said() == Counter(f"x{n}" for n in range(10))


def test_what_is_cancelled_while_it_is_closed_is_said_or_cancelled(tenant: Tenant) -> None:
    for n in range(15):
        rows = [notify(tenant=tenant, **item(f"{n}-{i}", key=f"k{n}")) for i in range(4)]
        Digest.objects.update(closes_at=Now())

        def second_thoughts(rows: list[Notification] = rows) -> list[UUID]:
            cancelled = []
            for row in rows[1:3]:
                with suppress(NotPossible):
                    cancelled.append(cancel(row).pk)
            return cancelled

        [cancelled, _, _] = at_once(second_thoughts, digests.close_due, digests.close_due)
        close_all()
        counts = said()
        for row in rows:
            assert counts[row.content["body"]] == (0 if row.pk in cancelled else 1)
