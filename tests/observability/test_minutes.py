"""What the dashboard draws: counted by signals, summed over minutes, read by steps."""

import threading
from collections.abc import Mapping
from datetime import timedelta

import pytest
from django.utils import timezone

from notifications.enums import Counted
from notifications.models import MinuteCount
from notifications.observability import minutes
from notifications.observability.minutes import Key, Recorder, bucket_of, percentile
from tests.pipeline.factories import attempt, sms, tenant

pytestmark = pytest.mark.django_db


def counted() -> Mapping[tuple[str, str], int]:
    minutes.recorder.flush()
    return {(p.what, p.label): p.times for p in minutes.read(1, 3600 * 24 * 365)}


@pytest.mark.django_db(transaction=True)
def test_what_happens_to_a_notification_is_counted() -> None:
    shop = tenant()
    attempt(sms("deliver", tenant=shop.name))
    row = sms("transient,deliver", tenant=shop.name)
    attempt(row)
    attempt(row)
    attempt(sms("reject", tenant=shop.name))
    found = counted()
    assert found["accepted", "normal"] == 3
    assert found["attempt", "simulated:accepted"] == 2
    assert found["attempt", "simulated:transient"] == 1
    assert found["attempt", "simulated:permanent"] == 1
    assert found["retry", "simulated"] == 1
    assert found["settled", "delivered"] == 2
    assert found["settled", "failed"] == 1
    assert sum(count for (what, _), count in found.items() if what == "wait") == 2
    assert sum(count for (what, _), count in found.items() if what == "error") == 2


def test_counts_of_one_minute_add_up_whoever_wrote_them() -> None:
    key = Key(Counted.ACCEPTED.value, "sms", "normal")
    for _ in range(3):
        recorder = Recorder()
        recorder.add({key: 5})
        recorder.flush()
    rows = MinuteCount.objects.all()
    assert sum(row.count for row in rows) == 15
    assert len(rows) <= 2  # more than one where a minute ended in between
    assert all(row.minute.second == 0 for row in rows)


def test_writing_takes_one_statement_however_much_there_is(
    django_assert_num_queries: object,
) -> None:
    recorder = Recorder()
    recorder.add({Key("error", "sms", f"p:{i}"): 1 for i in range(500)})
    with django_assert_num_queries(3):  # type: ignore[operator]  # with its savepoint
        recorder.flush()
    assert MinuteCount.objects.count() == 500


def test_what_the_database_did_not_take_is_written_the_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorder = Recorder()
    recorder.add({Key("error", "sms", "x"): 1})
    monkeypatch.setattr(minutes, "UPSERT", "INSERT INTO nowhere {table} {rows}")
    recorder.flush()
    monkeypatch.undo()
    recorder.flush()
    assert MinuteCount.objects.get().count == 1


@pytest.mark.django_db(transaction=True)
def test_the_thread_writes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minutes, "is_automatic", True)
    monkeypatch.setattr(minutes, "FLUSH_SECONDS", 0.01)
    written = threading.Event()
    write = minutes._write
    monkeypatch.setattr(minutes, "_write", lambda counts: (write(counts), written.set()))
    Recorder().add({Key("error", "sms", "x"): 7})
    assert written.wait(20)
    assert MinuteCount.objects.get().count == 7


def test_steps_sum_up_the_minutes_in_them() -> None:
    began = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    for minute in range(60):
        MinuteCount.objects.create(
            minute=began + timedelta(minutes=minute),
            what="accepted",
            channel="sms",
            label="normal",
            count=1,
        )
    points = minutes.read(3, 1200)
    assert sorted(p.at - began.timestamp() for p in points) == [0, 1200, 2400]
    assert {p.times for p in points} == {20}


def test_what_is_older_than_the_charts_is_deleted() -> None:
    now = timezone.now()
    for age in (timedelta(hours=1), minutes.KEEP + timedelta(hours=1)):
        MinuteCount.objects.create(minute=now - age, what="error", channel="", label="", count=1)
    assert minutes.prune() == 1
    assert MinuteCount.objects.get().minute == now - timedelta(hours=1)


@pytest.mark.parametrize("seconds", [0.009, 0.5, 1, 3, 60, 86400])
def test_a_bucket_ends_at_most_1_4_times_above_what_falls_into_it(seconds: float) -> None:
    bound = percentile({bucket_of(seconds): 1}, 50)
    assert bound is not None
    assert seconds * 0.999 <= bound <= seconds * 1.42


def test_percentiles_are_taken_over_all_buckets() -> None:
    buckets = {bucket_of(1): 50, bucket_of(4): 45, bucket_of(64): 5}
    assert [percentile(buckets, p) for p in (50, 95, 99)] == [1, 4, 64]
    assert percentile({}, 50) is None
