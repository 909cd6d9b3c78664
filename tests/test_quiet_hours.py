"""Quiet hours by the clock on the wall, whatever that does."""

from datetime import UTC, datetime, time, timedelta

import pytest

from notifications import quiet_hours
from notifications.quiet_hours import QuietHours

BERLIN, KOLKATA, LORD_HOWE, TOKYO, CAIRO = (
    "Europe/Berlin",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Asia/Tokyo",
    "Africa/Cairo",
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def hours(start: str, end: str, zone: str) -> QuietHours:
    return QuietHours(time.fromisoformat(start), time.fromisoformat(end), zone)


@pytest.mark.parametrize(
    ("start", "end", "zone", "now", "until"),
    [
        # within a day, and over midnight
        ("12:00", "13:30", "UTC", "2030-01-31T11:59:59Z", None),
        ("12:00", "13:30", "UTC", "2030-01-31T12:00:00Z", "2030-01-31T13:30:00Z"),
        ("12:00", "13:30", "UTC", "2030-01-31T13:29:59Z", "2030-01-31T13:30:00Z"),
        ("12:00", "13:30", "UTC", "2030-01-31T13:30:00Z", None),
        ("22:00", "07:00", "UTC", "2030-01-31T23:00:00Z", "2030-02-01T07:00:00Z"),
        ("22:00", "07:00", "UTC", "2030-02-01T06:59:59Z", "2030-02-01T07:00:00Z"),
        ("22:00", "07:00", "UTC", "2030-02-01T07:00:00Z", None),
        ("22:00", "00:00", "UTC", "2030-01-31T23:59:59Z", "2030-02-01T00:00:00Z"),
        ("00:00", "07:00", "UTC", "2030-12-31T23:59:59Z", None),
        ("00:00", "07:00", "UTC", "2031-01-01T00:00:00Z", "2031-01-01T07:00:00Z"),
        # another day there than here, half hours, no summer time
        ("22:00", "07:00", TOKYO, "2030-01-31T13:00:00Z", "2030-01-31T22:00:00Z"),
        ("22:00", "07:00", TOKYO, "2030-07-31T13:00:00Z", "2030-07-31T22:00:00Z"),
        ("22:00", "07:00", TOKYO, "2030-01-31T22:00:00Z", None),
        ("22:00", "07:00", KOLKATA, "2030-01-31T16:29:59Z", None),
        ("22:00", "07:00", KOLKATA, "2030-01-31T16:30:00Z", "2030-02-01T01:30:00Z"),
        ("22:00", "07:00", "America/New_York", "2030-02-01T04:00:00Z", "2030-02-01T12:00:00Z"),
        # Berlin, where the clock goes from 2 to 3 on 2030-03-31 and from 3 to 2 on 2030-10-27
        ("22:00", "07:00", BERLIN, "2030-03-30T20:59:59Z", None),
        ("22:00", "07:00", BERLIN, "2030-03-30T21:00:00Z", "2030-03-31T05:00:00Z"),
        ("22:00", "07:00", BERLIN, "2030-03-31T05:00:00Z", None),
        ("22:00", "07:00", BERLIN, "2030-10-26T20:00:00Z", "2030-10-27T06:00:00Z"),
        ("22:00", "07:00", BERLIN, "2030-10-27T05:59:59Z", "2030-10-27T06:00:00Z"),
        ("22:00", "07:00", BERLIN, "2030-10-27T06:00:00Z", None),
        # a time that is skipped: 2:30 is read as 3:30 at the end, as 1:30 at the start
        ("22:00", "02:30", BERLIN, "2030-03-31T01:29:59Z", "2030-03-31T01:30:00Z"),
        ("22:00", "02:30", BERLIN, "2030-03-31T01:30:00Z", None),
        ("02:30", "07:00", BERLIN, "2030-03-31T00:29:59Z", None),
        ("02:30", "07:00", BERLIN, "2030-03-31T00:30:00Z", "2030-03-31T05:00:00Z"),
        # one that comes twice: until the second one, from the first one on
        ("22:00", "02:30", BERLIN, "2030-10-27T00:45:00Z", "2030-10-27T01:30:00Z"),
        ("22:00", "02:30", BERLIN, "2030-10-27T01:30:00Z", None),
        ("02:30", "07:00", BERLIN, "2030-10-27T00:29:59Z", None),
        ("02:30", "07:00", BERLIN, "2030-10-27T00:30:00Z", "2030-10-27T06:00:00Z"),
        # half an hour of summer time, and a clock that is put forward at midnight
        ("22:00", "02:15", LORD_HOWE, "2030-10-05T15:20:00Z", "2030-10-05T15:45:00Z"),
        ("00:30", "06:00", CAIRO, "2030-04-25T21:30:00Z", "2030-04-26T03:00:00Z"),
    ],
)
def test_quiet_is_what_the_clock_of_the_recipient_says(
    start: str, end: str, zone: str, now: str, until: str | None
) -> None:
    assert hours(start, end, zone).until(at(now)) == (until and at(until))


@pytest.mark.parametrize("zone", [BERLIN, LORD_HOWE, CAIRO, "America/New_York", KOLKATA, "UTC"])
@pytest.mark.parametrize(("start", "end"), [("22:00", "07:00"), ("02:30", "02:15")])
def test_through_a_year_the_end_is_never_quiet_and_never_far(
    zone: str, start: str, end: str
) -> None:
    quiet, now, waits = hours(start, end, zone), at("2030-01-01T00:17:00Z"), []
    while now < at("2031-01-01T00:00:00Z"):
        until = quiet.until(now)
        if until is not None:
            assert now < until <= now + timedelta(hours=25)
            waits.append(until)
            assert quiet.until(until) is None or quiet.until(until) > until
        now += timedelta(minutes=97)
    assert waits


def test_a_zone_that_this_host_does_not_know_is_read_as_utc() -> None:
    assert hours("22:00", "07:00", "Mars/Base").until(at("2030-01-31T23:00:00Z")) == at(
        "2030-02-01T07:00:00Z"
    )


def test_the_names_of_zones_are_known() -> None:
    assert {BERLIN, KOLKATA, "UTC"} <= quiet_hours.zones()
