"""The dashboard as it is served: what it says, to whom, and what it costs."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications.enums import Scope, State
from notifications.models import (
    MinuteCount,
    Notification,
    Pause,
    ProviderCircuit,
    RateBucket,
    Worker,
)
from notifications.pipeline import policy, switches
from tests.pipeline.factories import tenant

DASHBOARD = "/admin/notifications/dashboard/"
SIMULATED = "notifications.providers.simulated.SimulatedProvider"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh_policy() -> Iterator[None]:
    policy.forget()
    yield
    policy.forget()


@pytest.fixture
def worker() -> None:
    Worker.objects.create(name="celery@one", seen_at=Now())


def read(client: Client, **query: Any) -> str:
    return text_of(client.get(DASHBOARD, query).content.decode())


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page))


def make(count: int, state: State = State.QUEUED, **values: Any) -> None:
    base = {"channel": "sms", "to": "+14155550123", "content": {}, "fingerprint": "0" * 64}
    Notification.objects.bulk_create(
        Notification(**{**base, "tenant": tenant("shop"), "state": state, **values})
        for _ in range(count)
    )


def count(what: str, label: str, times: int, channel: str = "sms", ago: int = 2) -> None:
    minute = timezone.now().replace(second=0, microsecond=0) - timedelta(minutes=ago)
    MinuteCount.objects.create(minute=minute, what=what, channel=channel, label=label, count=times)


@pytest.mark.usefixtures("worker")
def test_with_nothing_yet_it_says_that_all_is_well_and_how_to_begin(admin_client: Client) -> None:
    page = read(admin_client)
    assert "All is well" in page
    assert "manage.py notify email" in page
    assert "Nothing waits: all that was accepted has come to its end." in page
    assert "No limits are set." in page


def test_without_a_worker_it_says_first_that_nothing_is_sent(admin_client: Client) -> None:
    page = read(admin_client)
    assert "1 problem" in page
    assert "No worker has been seen in the last minute: nothing is sent." in page
    assert "celery -A project worker" in page


@pytest.mark.usefixtures("worker")
def test_an_open_circuit_is_a_problem_with_its_reason_and_time(
    admin_client: Client, settings: Any
) -> None:
    settings.NOTIFICATIONS = {"PROVIDERS": {"simulated": {"BACKEND": SIMULATED, "CIRCUIT": {}}}}
    since = timezone.now() - timedelta(minutes=5)
    ProviderCircuit.objects.create(
        provider="simulated",
        state="open",
        reason="failures",
        since=since.timestamp(),
        until=since.timestamp() + 3600,
    )
    page = read(admin_client)
    assert "The circuit of simulated is open (failures): it is not asked." in page
    assert since.strftime("%H:%M:%S") in page


@pytest.mark.usefixtures("worker")
def test_what_is_late_for_want_of_workers_is_a_problem(admin_client: Client) -> None:
    make(3, due_at=Now() - timedelta(minutes=10))
    page = read(admin_client)
    assert "SMS, normal: the oldest is due for 10 min." in page
    assert "3 SMS: due, waiting for a worker" in page


@pytest.mark.usefixtures("worker")
def test_a_pause_is_named_with_its_reason_and_those_who_wait(admin_client: Client) -> None:
    make(3)
    switches.pause(Scope.PROVIDER, "simulated", "it is down")
    policy.forget()
    page = admin_client.get(DASHBOARD).content.decode()
    assert "Provider simulated is paused: it is down; 3 wait." in text_of(page)
    assert "/dashboard/resume/?scope=provider&amp;subject=simulated" in page


@pytest.mark.usefixtures("worker")
def test_a_drain_says_when_nothing_is_in_flight_any_more(admin_client: Client) -> None:
    lease = {"lease_token": "0" * 32, "lease_until": Now() + timedelta(minutes=1)}
    make(2, State.DISPATCHING, **lease)
    switches.drain("new database")
    policy.forget()
    assert "Draining: all channels are paused, 2 still in flight." in read(admin_client)
    Notification.objects.update(state=State.SENT)
    assert "Drained: all channels are paused, and nothing is with a provider." in read(admin_client)


@pytest.mark.usefixtures("worker")
def test_it_forecasts_when_the_backlog_is_done(admin_client: Client) -> None:
    make(30)
    for ago in range(1, 6):
        count("attempt", "simulated:accepted", 60, ago=ago)
    assert re.search(r"SMS: 30 to go, done in about (29|3\d) s", read(admin_client))
    for ago in range(1, 6):
        count("accepted", "normal", 600, ago=ago)
    assert re.search(r"SMS: 30 to go, grows by \d+/min", read(admin_client))


@pytest.mark.usefixtures("worker")
def test_errors_latency_and_shares_are_told_by_provider(admin_client: Client) -> None:
    count("attempt", "simulated:accepted", 60)
    count("attempt", "simulated:transient", 40)
    count("error", "simulated:connect_timeout", 40)
    count("wait", "0", 60)
    page = read(admin_client)
    assert "40% of the attempts at simulated failed in the last 15 minutes." in page
    assert re.search(r"40\s*connect_timeout\s*simulated\s*SMS", page)
    assert "60.0%" in page
    assert re.search(r"SMS\s*≤ 1.0 s\s*≤ 1.0 s\s*≤ 1.0 s", page)


@pytest.mark.usefixtures("worker")
def test_a_limit_tells_how_full_it_is(admin_client: Client, settings: Any) -> None:
    settings.NOTIFICATIONS = {"CHANNELS": {"sms": {"RATE_LIMIT": "1000/d"}}}
    RateBucket.objects.create(key="channel:sms:1000/d", arrival=timezone.now().timestamp() + 43200)
    page = admin_client.get(DASHBOARD).content.decode()
    assert re.search(r'<meter [^>]*value="50" aria-label="sms: used"', page)


@pytest.mark.usefixtures("worker")
def test_a_chart_has_the_same_numbers_as_its_table(admin_client: Client) -> None:
    count("accepted", "normal", 17)
    page = admin_client.get(DASHBOARD).content.decode()
    figure = page.partition('data-chart="accepted"')[2].partition("</figure>")[0]
    assert figure.count('data-values="0.0,17.0,0.0"') == 1
    assert re.search(r"<td>0</td><td>17</td><td>0</td>", figure)
    assert "SMS: 0 now, 17 at most" in figure


@pytest.mark.parametrize("hours", ["1", "6", "24", "7", "-1", "x", "٣", "9" * 50, ""])
def test_any_range_is_answered(admin_client: Client, hours: str) -> None:
    shown = hours if hours in ("1", "6", "24") else "1"
    page = admin_client.get(DASHBOARD, {"hours": hours}).content.decode()
    assert f'aria-current="true">{shown} h' in page


def test_the_live_part_is_what_the_page_has_of_it(admin_client: Client) -> None:
    page = admin_client.get(DASHBOARD).content.decode()
    [url] = re.findall(r'data-url="([^"]+)"', page)
    live = admin_client.get(url).content.decode()
    assert "<html" not in live
    parts = re.findall(r'data-part="([^"]+)"', live)
    assert parts == re.findall(r'data-part="([^"]+)"', page)
    assert len(set(parts)) == len(parts)


def test_it_has_a_permission_of_its_own(staff: Callable[..., Client]) -> None:
    client = staff("view_notification", "view_worker")
    for url in (DASHBOARD, f"{DASHBOARD}live/"):
        assert client.get(url).status_code == 403
    assert "/notifications/dashboard/" not in client.get("/admin/").content.decode()


def test_whoever_may_only_look_is_offered_no_switch(staff: Callable[..., Client]) -> None:
    Pause.objects.create(scope="provider", subject="simulated")
    client = staff("view_dashboard")
    page = client.get(DASHBOARD).content.decode()
    assert "paused" in page
    for switch in ("pause", "resume", "drain", "limit"):
        assert f"/dashboard/{switch}/" not in page
    assert "/notifications/dashboard/" in client.get("/admin/").content.decode()


def test_nobody_gets_in_without_logging_in(client: Client) -> None:
    assert client.get(DASHBOARD).status_code == 302


@pytest.mark.usefixtures("worker")
def test_it_takes_at_most_15_queries(admin_client: Client) -> None:
    make(30)
    make(30, State.RETRY_WAIT)
    count("accepted", "normal", 5)
    switches.pause(Scope.PROVIDER, "simulated", "x")
    policy.forget()
    with CaptureQueriesContext(connection) as queries:
        admin_client.get(DASHBOARD)
    assert len(queries) <= 15, "\n".join(q["sql"][:150] for q in queries)


def test_nothing_on_the_page_is_a_script_or_style_within_it(admin_client: Client) -> None:
    page = admin_client.get(DASHBOARD).content.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert not re.search(r"<[^>]* (style|on\w+)=", page)


@pytest.mark.parametrize("words", [[], ["--all"]])
def test_having_no_table_it_does_not_keep_the_others_from_being_dumped(words: list[str]) -> None:
    tenant()
    out = StringIO()
    call_command("dumpdata", "notifications", *words, stdout=out)
    assert "notifications.tenant" in {each["model"] for each in json.loads(out.getvalue())}
