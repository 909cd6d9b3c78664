"""Who knows is asked, who does not is left alone, and nothing is sent twice for it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from notifications import notify
from notifications.enums import AttemptOutcome, State, Status
from notifications.messages import Message, Outcome, Pending
from notifications.models import Notification
from notifications.pipeline import reconcile as reconciling
from notifications.pipeline.reconcile import reconcile
from notifications.providers.registry import get_provider
from notifications.providers.simulated import SimulatedProvider
from tests.providers.http_server import RESET, Answer, Request, Server
from tests.providers.ses_server import SES, patient
from tests.providers.test_ses import ACCESS, FROM

from .factories import attempt, fresh, sms

pytestmark = pytest.mark.django_db(transaction=True)

SIMULATED = "notifications.providers.simulated.SimulatedProvider"


class Odd(SimulatedProvider):
    """Fails when it is asked about what was dropped, and knows nothing of the rest."""

    asked: list[str] = []

    def look_up(self, message: Message, began: datetime, note: str = "") -> Outcome | None:
        self.asked.append(message.key)
        if message.metadata["simulate"] == "drop":
            raise OSError(message.to)
        return None


@pytest.fixture(autouse=True)
def asked(settings: LazySettings) -> list[str]:
    use(settings, SIMULATED)
    Odd.asked.clear()
    return Odd.asked


def use(settings: LazySettings, backend: str, **options: Any) -> None:
    known = {"LOOKS_UP": True, **options}
    settings.NOTIFICATIONS = {"PROVIDERS": {"simulated": {"BACKEND": backend, "OPTIONS": known}}}


def unknown(simulate: str, ago: timedelta = timedelta(minutes=2)) -> Notification:
    """One whose attempt ended in the dark so long ago."""
    row = sms(simulate)
    attempt(row)
    assert fresh(row).status == Status.UNKNOWN
    Notification.objects.filter(pk=row.pk).update(dispatched_at=timezone.now() - ago)
    return row


def test_what_the_provider_has_is_sent() -> None:
    row = unknown("timeout")
    assert reconcile() == 1
    assert fresh(row).status == Status.SENT
    assert fresh(row).provider_message_id == f"sim-{row.pk}-1"
    assert row.attempts.get().outcome == AttemptOutcome.ACCEPTED


def test_what_the_provider_never_had_is_tried_again() -> None:
    row = unknown("drop,deliver")
    assert reconcile() == 1
    assert fresh(row).status == Status.RETRYING
    attempt(row)
    assert fresh(row).status == Status.DELIVERED
    assert not fresh(row).duplicate_risk


def test_who_wanted_it_cancelled_gets_that() -> None:
    row = unknown("drop")
    Notification.objects.request_cancel([row.pk])
    reconcile()
    assert fresh(row).status == Status.CANCELLED


@pytest.mark.parametrize("ago", [timedelta(seconds=30), timedelta(hours=73)])
def test_what_is_too_young_or_too_old_is_not_asked_about(ago: timedelta) -> None:
    row = unknown("timeout", ago)
    assert reconcile() == 0
    assert fresh(row).status == Status.UNKNOWN


def test_who_knows_nothing_or_fails_is_asked_again_later(
    settings: LazySettings, asked: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    rows = [unknown("drop"), unknown("timeout")]
    use(settings, f"{__name__}.Odd")
    assert reconcile() == reconcile() == 0
    assert sorted(asked) == sorted(str(row.pk) for row in rows), "each of them once"
    assert "OSError" in caplog.text
    assert rows[0].to not in caplog.text
    Notification.objects.update(due_at=timezone.now())
    reconcile()
    assert len(asked) == 4


def test_a_round_goes_on_for_a_moment_only(
    settings: LazySettings, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        unknown("timeout")
    use(settings, f"{__name__}.Odd")
    monkeypatch.setattr(reconciling, "BUDGET_SECONDS", 0.0)
    reconcile()
    assert asked == []


def test_without_a_provider_to_ask_it_costs_nothing(settings: LazySettings) -> None:
    unknown("timeout")
    use(settings, SIMULATED, LOOKS_UP=False)
    with CaptureQueriesContext(connection) as queries:
        assert reconcile() == 0
    assert not queries.captured_queries


# A provider that keeps no id of ours


AGO = timedelta(minutes=2)
TWILIO = {"ACCOUNT_SID": "AC" + "0" * 32, "AUTH_TOKEN": "hush", "FROM": "+15005550006"}


class Twilio:
    """Takes a message and hangs up; `loses` so many of them first."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.loses = 0

    def answer(self, request: Request) -> Answer | str:
        if not request.body:
            return Answer(200, json.dumps({"messages": self.messages}).encode())
        if self.loses > 0:
            self.loses -= 1
        else:
            self._take(parse_qs(request.body.decode()))
        return RESET

    def _take(self, form: dict[str, list[str]]) -> None:
        self.messages.append(
            {
                "sid": f"SM{len(self.messages)}",
                "status": "delivered",
                "direction": "outbound-api",
                "to": form["To"][0],
                "from": form["From"][0],
                "body": form["Body"][0],
                "date_created": format_datetime(datetime.now(UTC) - AGO),
            }
        )


@pytest.fixture
def twilio(settings: LazySettings) -> Iterator[Twilio]:
    twilio = Twilio()
    with Server(twilio.answer) as server:
        backend = "notifications.providers.twilio.TwilioProvider"
        options = {**TWILIO, "BASE_URL": server.url}
        settings.NOTIFICATIONS = {
            "CHANNELS": {"sms": {"PROVIDERS": ["twilio"]}},
            "PROVIDERS": {"twilio": {"BACKEND": backend, "OPTIONS": options}},
        }
        get_provider("twilio")  # its package may take longer to load than a turn lasts
        yield twilio


def test_what_twilio_has_under_an_id_of_its_own_is_found(twilio: Twilio) -> None:
    row = unknown("")
    assert reconcile() == 1
    assert (fresh(row).status, fresh(row).provider_message_id) == (Status.DELIVERED, "SM0")
    assert row.receipts.get().event_id == "SM0:delivered"


def test_what_twilio_does_not_show_stays_unknown(twilio: Twilio) -> None:
    twilio.loses = 1
    row = unknown("")
    assert reconcile() == 0
    assert fresh(row).status == Status.UNKNOWN


def test_of_two_that_are_alike_none_is_said_to_be_there(twilio: Twilio) -> None:
    """One of them is: but nobody can tell which."""
    twilio.loses = 1
    rows = [unknown(""), unknown("")]
    assert reconcile() == 0
    assert {fresh(row).status for row in rows} == {Status.UNKNOWN}


def test_what_is_another_s_is_not_taken_for_it(twilio: Twilio) -> None:
    row = unknown("")
    twin = sms("")
    Notification.objects.filter(pk=twin.pk).update(
        state=State.SENT, provider="twilio", provider_message_id="SM0"
    )
    assert reconcile() == 0
    assert fresh(row).status == Status.UNKNOWN


# A provider that takes its time


class Slow(SimulatedProvider):
    """Needs as many questions as `needs` before it knows, and counts them in its note."""

    needs = 3
    notes: list[str] = []

    def look_up(
        self, message: Message, began: datetime, note: str = ""
    ) -> Outcome | Pending | None:
        self.notes.append(note)
        if len(note) < self.needs:
            return Pending(note + "x", 30.0)
        return (
            super().look_up(message, began) if message.metadata["simulate"] == "timeout" else None
        )


@pytest.fixture
def slow(settings: LazySettings) -> list[str]:
    use(settings, f"{__name__}.Slow")
    Slow.notes.clear()
    return Slow.notes


def noted() -> str:
    return Notification.objects.values_list("look_up_note", flat=True).get()


def wait(seconds: int) -> None:
    for row in Notification.objects.all():
        Notification.objects.update(due_at=row.due_at - timedelta(seconds=seconds))


def test_what_takes_its_time_is_gone_on_with_soon(slow: list[str]) -> None:
    row = unknown("timeout")
    for _ in range(3):
        assert reconcile() == reconcile() == 0
        wait(31)
    assert reconcile() == 1
    assert slow == ["", "x", "xx", "xxx"]
    assert fresh(row).status == Status.SENT


def test_what_came_to_nothing_begins_anew_and_later(slow: list[str]) -> None:
    row = unknown("drop")
    for _ in range(4):
        reconcile()
        wait(31)
    assert (noted(), len(slow)) == ("", 4)
    assert reconcile() == 0, "it is not asked again as soon"
    wait(600)
    reconcile()
    assert slow[4:] == [""]
    assert fresh(row).status == Status.UNKNOWN


def test_a_note_is_of_one_attempt(slow: list[str]) -> None:
    row = unknown("timeout")
    reconcile()
    assert noted() == "x"
    Notification.objects.requeue([row.pk], {Status.UNKNOWN})
    attempt(row)
    assert (fresh(row).status, noted()) == (Status.UNKNOWN, "")


def test_what_has_been_settled_meanwhile_is_left_alone(slow: list[str]) -> None:
    row = unknown("timeout")
    before = fresh(row)
    Notification.objects.filter(pk=row.pk).update(state=State.SENT)
    Notification.objects.go_on_asking(before, "x", 30.0)
    assert (noted(), fresh(row).due_at) == ("", before.due_at)


@pytest.fixture
def ses(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[SES]:
    patient(monkeypatch)
    monkeypatch.setattr(reconciling, "BUDGET_SECONDS", 60.0)
    ses = SES()
    options = {**ACCESS, "FROM": FROM, "ENDPOINT_URL": ses.server.url, "MESSAGE_INSIGHTS": True}
    backend = "notifications.providers.ses.SESProvider"
    with ses.server:
        settings.NOTIFICATIONS = {
            "CHANNELS": {"email": {"PROVIDERS": ["ses"]}},
            "PROVIDERS": {"ses": {"BACKEND": backend, "OPTIONS": options}},
        }
        get_provider("ses")  # boto3 may take longer for it than a turn lasts
        yield ses


def lost() -> Notification:
    """An e-mail whose answer was lost two minutes ago."""
    row = notify("email", to="ada@example.com", subject="Hello", body="Hello")
    attempt(row)
    assert fresh(row).status == Status.UNKNOWN
    Notification.objects.filter(pk=row.pk).update(dispatched_at=timezone.now() - AGO)
    return row


def test_what_ses_has_is_found_by_our_id_in_a_later_round(ses: SES) -> None:
    rows = [lost(), lost()]
    ses.statuses = ["CREATED", "CREATED", "PROCESSING", "PROCESSING", "COMPLETED"]
    for _ in range(3):
        reconcile()
        assert {fresh(row).status for row in rows} == {Status.UNKNOWN}
        wait(61)
    reconcile()
    found = {mail.tags["notification-id"]: mail.id for mail in ses.mails}
    for row in rows:
        assert fresh(row).status == Status.DELIVERED
        assert fresh(row).provider_message_id == found[str(row.pk)]
    assert len(ses.exports()) == 2


def test_what_ses_does_not_show_is_not_taken_for_another_s(ses: SES) -> None:
    taken = lost()
    ses.keeps = False
    row = lost()
    for _ in range(2):
        reconcile()
        wait(61)
    assert (fresh(taken).status, fresh(row).status) == (Status.DELIVERED, Status.UNKNOWN)
    assert fresh(row).look_up_note == ""
