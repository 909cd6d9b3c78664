"""Uploaded files: imported in turns, to the end, whoever dies over it."""

import csv
import hashlib
import io
import multiprocessing
import time
import tracemalloc
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, connections
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from notifications.enums import ImportPart, JobState
from notifications.models import Batch, Import, ImportChunk, Notification
from notifications.pipeline import background, chunks, importing, uploads
from notifications.pipeline.import_plan import Plan
from notifications.pipeline.importing import import_csv
from notifications.pipeline.prune import prune
from notifications.tasks import import_upload
from tests.processes import wait_until

from .factories import tenant

pytestmark = pytest.mark.django_db

HEADER = "channel,to,body\n"
SMS = f"{HEADER}sms,+14155550123,Hello\nsms,+14155550124,World\n"


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """What workers were asked for; the tests are the worker."""
    found: list[UUID] = []
    monkeypatch.setattr(uploads, "request_import", found.append)
    return found


def rows(count: int) -> str:
    return HEADER + "".join(f"sms,+14155550123,Hello {n}\n" for n in range(count))


def begin(text: str | bytes, *, dry_run: bool = False, of: str = "shop", **options: Any) -> Import:
    data = text.encode() if isinstance(text, str) else text
    return uploads.start(
        tenant(of), "rows.csv", io.BytesIO(data), options, dry_run=dry_run, by="ada"
    )


def run(upload: Import, turns: int = 1) -> Import:
    for _ in range(turns):
        uploads.run(upload.pk)
    upload.refresh_from_db()
    return upload


def counts(upload: Import) -> tuple[int, int, int, int]:
    return upload.rows, upload.accepted, upload.replayed, upload.rejected


def rejects(upload: Import) -> list[dict[str, str]]:
    text = b"".join(uploads.rejects_of(upload)).decode("utf-8", "surrogateescape")
    return list(csv.DictReader(io.StringIO(text)))


def expire_the_lease() -> None:
    Import.objects.update(lease_until=Now() - timedelta(seconds=1))


# The bytes


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 7)


def test_a_stored_file_reads_like_the_one_that_was_uploaded(small_chunks: None) -> None:
    data = bytes(range(256)) * 2
    upload = begin(data)
    assert (upload.size, upload.digest) == (512, hashlib.sha256(data).hexdigest())
    file = chunks.opened(upload)
    assert file.read() == data
    for at, count in ((0, 3), (6, 2), (500, 100), (13, 40), (7, 7), (600, 1)):
        assert file.seek(at) == at
        assert file.read(count) == data[at : at + count]
    assert file.seek(-5, io.SEEK_END) == 507
    assert file.read() == data[-5:]


def test_a_row_may_lie_across_chunks_and_is_read_whole(small_chunks: None) -> None:
    upload = run(begin(f"\ufeff{HEADER}sms,+14155550123,Grüße 😀\n"))
    assert counts(upload) == (1, 1, 0, 0)
    assert Notification.objects.get().content == {"body": "Grüße 😀"}


# The rows


def test_rows_become_notifications_of_one_batch_and_the_file_is_gone(asked: list[UUID]) -> None:
    upload = begin(SMS)
    with_callbacks(asked, upload)
    run(upload)
    assert (upload.state, counts(upload)) == (JobState.DONE, (2, 2, 0, 0))
    assert (uploads.share_done(upload), upload.read_bytes) == (1, len(SMS))
    bodies = list(Notification.objects.order_by("pk").values_list("content__body", flat=True))
    assert bodies == ["Hello", "World"]
    batch = uploads.stored_in(upload)
    assert batch is not None
    assert batch.notification_set.count() == 2
    assert not ImportChunk.objects.exists()


def with_callbacks(asked: list[UUID], upload: Import) -> None:
    """In a test's transaction nothing is committed: the message is sent as if it were."""
    for _, callback, _ in connection.run_on_commit:
        callback()
    assert asked == [upload.pk]


def test_the_same_file_sends_nothing_twice_whoever_read_it_before() -> None:
    import_csv(io.BytesIO(SMS.encode()), Plan(tenant("shop")), io.StringIO())
    assert counts(run(begin(SMS))) == (2, 0, 2, 0)
    run(begin(SMS, of="other"))
    again = io.BytesIO(SMS.encode())
    done = import_csv(again, Plan(tenant("other")), io.StringIO())
    assert (done.accepted, done.replayed) == (0, 2)
    assert (Notification.objects.count(), Batch.objects.count()) == (4, 2)


def test_it_is_read_as_the_options_say() -> None:
    text = "Phone;Text;x\n+14155550123;Grüße;1\n".encode("cp1252")
    how = {
        "columns": {"Phone": "to", "Text": "body", "x": ""},
        "defaults": {"channel": "sms", "priority": "bulk"},
        "encoding": "cp1252",
        "delimiter": ";",
    }
    assert counts(run(begin(text, **how))) == (1, 1, 0, 0)
    row = Notification.objects.get()
    assert (row.content, row.get_priority_display()) == ({"body": "Grüße"}, "bulk")


def test_rejected_rows_are_kept_with_line_field_and_reason_and_are_no_formulas() -> None:
    upload = run(begin(f'{SMS}sms,=cmd,"@x"\nsms\n'.encode() + b"sms,\xff,x\n"))
    assert counts(upload) == (5, 2, 0, 3)
    first, second, third = rejects(upload)
    assert (first["to"], first["body"]) == ("'=cmd", "'@x")
    assert (first["import_line"], first["import_field"]) == ("4", "to")
    assert "not a number" in first["import_reason"]
    assert "1 cells instead of 3" in second["body"] or "1 cells" in str(second)
    assert "not in utf-8; say what it is in" in third["import_reason"]
    assert upload.first_rejects[0] == ["4", "to", first["import_reason"]]
    assert len(upload.first_rejects) == 3


def test_what_was_rejected_is_imported_again_when_mended() -> None:
    upload = run(begin(f"{HEADER}sms,+1,Hello\n"))
    text = b"".join(uploads.rejects_of(upload)).decode()
    mended = run(begin(text.replace("'+1", "'+14155550123")))
    assert counts(mended) == (1, 1, 0, 0)


def test_only_the_first_rejects_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "AT_ONCE", 10)
    upload = run(begin(HEADER + "sms,nobody,x\n" * 35))
    assert (upload.rejected, len(upload.first_rejects)) == (35, uploads.SHOWN)
    lines = [row["import_line"] for row in rejects(upload)]
    assert lines == [str(line) for line in range(2, 37)]


# The check before


def test_a_dry_run_stores_nothing_and_is_followed_by_the_import_of_the_same_bytes() -> None:
    upload = run(begin(f"{SMS}sms,nobody,x\n", dry_run=True))
    assert (upload.state, counts(upload)) == (JobState.DONE, (3, 2, 0, 1))
    assert not Notification.objects.exists()
    assert not Batch.objects.exists()
    assert uploads.confirm(upload)
    assert not uploads.confirm(upload), "twice, as from two windows"
    run(upload)
    assert (upload.dry_run, upload.state, counts(upload)) == (False, JobState.DONE, (3, 2, 0, 1))
    assert len(rejects(upload)) == 1
    assert Notification.objects.count() == 2
    assert not uploads.confirm(upload)


def test_a_file_is_discarded_unless_it_is_being_read() -> None:
    upload = begin(SMS, dry_run=True)
    assert not uploads.discard(upload)
    run(upload)
    assert uploads.discard(upload)
    assert not uploads.has_file(upload)
    assert not uploads.confirm(upload)


# Turns, and who dies over them


def test_a_turn_ends_and_the_next_one_begins_with_the_next_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importing, "AT_ONCE", 10)
    monkeypatch.setattr(uploads, "TURN_SECONDS", 0)
    upload = run(begin(rows(600)))
    assert not upload.rows
    monkeypatch.setattr(uploads, "TURN_SECONDS", 60)
    answers = iter([False, True])
    uploads.run(upload.pk, stop=lambda: next(answers))
    upload.refresh_from_db()
    assert (upload.state, upload.rows, upload.lease_token) == (JobState.RUNNING, 10, None)
    assert 0 < uploads.share_done(upload) < 1
    import_upload(str(upload.pk))
    assert counts(run(upload)) == (600, 600, 0, 0)


class Killed(BaseException):
    pass


def test_what_a_slice_did_is_undone_with_it_and_nothing_is_counted_twice(
    monkeypatch: pytest.MonkeyPatch, asked: list[UUID]
) -> None:
    monkeypatch.setattr(importing, "AT_ONCE", 10)
    upload, slices = begin(rows(25) + "sms,nobody,x\n" * 10), []
    count = uploads._count

    def die_in_the_third(upload: Import, results: Any) -> int:
        slices.append(results)
        if len(slices) == 3:
            raise Killed
        return count(upload, results)

    monkeypatch.setattr(uploads, "_count", die_in_the_third)
    with pytest.raises(Killed):
        uploads.run(upload.pk)
    upload.refresh_from_db()
    assert (upload.rows, Notification.objects.count()) == (20, 20)
    run(upload)  # a message that came twice: the lease is still the dead one's
    assert upload.rows == 20
    expire_the_lease()
    uploads.resume()
    uploads.resume()
    assert asked == [upload.pk], "no more than one worker is asked"
    run(upload)
    assert (upload.state, counts(upload)) == (JobState.DONE, (35, 25, 0, 10))
    assert len(rejects(upload)) == 10


def test_it_can_be_stopped_and_taken_up_again() -> None:
    upload = begin(SMS)
    assert uploads.stop(upload)
    assert counts(run(upload)) == (0, 0, 0, 0)
    assert not uploads.stop(upload)
    assert uploads.go_on(upload)
    assert counts(run(upload)) == (2, 2, 0, 0)


def test_a_rate_is_kept_without_holding_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    upload = begin(rows(30), rate="10/s")
    begun = time.monotonic()
    run(upload, turns=3)
    assert time.monotonic() - begun < 20, "nobody sleeps over it"
    assert upload.accepted < 30
    seconds = 0
    while upload.state == JobState.RUNNING:
        Import.objects.update(due_at=Now() - timedelta(milliseconds=1))  # as if it had gone by
        run(upload)
        seconds += 1
    assert counts(upload) == (30, 30, 0, 0)
    assert seconds >= 2
    begun = time.monotonic()
    assert counts(run(begin(rows(30), rate="10/s"), turns=1)) == (30, 0, 30, 0)


def test_a_tenant_that_is_switched_off_stops_it_and_it_goes_on_when_it_is_back() -> None:
    upload = begin(SMS)
    upload.tenant.is_active = False
    upload.tenant.save()
    run(upload)
    assert (upload.state, upload.error) == (JobState.STOPPED, "its tenant is switched off")
    upload.tenant.is_active = True
    upload.tenant.save()
    assert uploads.go_on(upload)
    run(upload)
    assert (counts(upload), upload.error) == ((2, 2, 0, 0), "")


def test_what_nobody_foresaw_stops_it_and_tells_nothing_personal(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise KeyError("ada@example.com")

    upload = begin(SMS)
    monkeypatch.setattr(uploads, "_count", fail)
    run(upload)
    assert (upload.state, upload.lease_token) == (JobState.STOPPED, None)
    assert upload.error == "KeyError, see the log of the worker"
    assert "KeyError" in caplog.text
    assert "ada@" not in caplog.text
    assert not Notification.objects.exists()


def test_a_file_that_ends_within_a_character_stops_it_with_the_reason() -> None:
    upload = run(begin(SMS.encode("utf-16")[:-1]))
    assert upload.state == JobState.STOPPED
    assert "not in utf-16" in upload.error


def test_a_slice_takes_few_statements_however_long_it_is() -> None:
    upload = begin(rows(400))
    with CaptureQueriesContext(connection) as queries:
        run(upload)
    assert upload.rows == 400
    assert len(queries) < 45


ROWS, KILLED_AT = 400, (50, 200)


def import_slowly(id: UUID) -> None:
    """In a process of its own; slow enough to be killed in the middle of it."""
    count = uploads._count

    def slowly(upload: Import, results: Any) -> int:
        time.sleep(0.05)
        return count(upload, results)

    uploads._count = slowly
    uploads.run(id)


@pytest.mark.django_db(transaction=True)
def test_killed_again_and_again_it_loses_no_row_and_counts_none_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importing, "AT_ONCE", 20)
    upload, context = begin(rows(ROWS) + "sms,nobody,x\n"), multiprocessing.get_context("fork")
    for least in KILLED_AT:
        connections.close_all()  # a child must not inherit one
        child = context.Process(target=import_slowly, args=(upload.pk,))
        child.start()
        wait_until(lambda least=least: Notification.objects.count() >= least, 30)
        child.kill()
        child.join()
        assert Notification.objects.count() < ROWS, "it was to be killed before its end"
        expire_the_lease()
        uploads.resume()
    run(upload)
    assert (upload.state, counts(upload)) == (JobState.DONE, (ROWS + 1, ROWS, 0, 1))
    bodies = sorted(row["body"] for row in Notification.objects.values_list("content", flat=True))
    assert bodies == sorted(f"Hello {n}" for n in range(ROWS))
    assert len(rejects(upload)) == 1


# What is kept


class _Long(io.RawIOBase):
    """So many rows of 64 KiB each, every second of them bad; none is there before it is read."""

    def __init__(self, count: int) -> None:
        good, bad = (f"{to},Hello,{'x' * 2**16}\n".encode() for to in ("ada@example.com", "nobody"))
        self._parts: Iterator[bytes] = iter([b"to,body,x\n", *([good, bad] * (count // 2))])

    def read(self, size: int = -1) -> bytes:
        found = b""
        while len(found) < size and (part := next(self._parts, b"")):
            found += part
        return found


def test_forty_mebibytes_take_little_memory() -> None:
    options = {"defaults": {"channel": "email", "subject": "Hello"}, "columns": {"x": ""}}
    file: Any = _Long(640)
    tracemalloc.start()
    try:
        upload = uploads.start(tenant("shop"), "x.csv", file, options, dry_run=True, by="ada")
        while upload.state == JobState.RUNNING:
            run(upload)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert upload.size > 40 * 2**20
    assert counts(upload) == (640, 320, 0, 320)
    assert most < 20 * 2**20, f"{most / 2**20:.0f} MiB"


def test_what_is_old_goes_and_an_idle_file_before_it() -> None:
    old = run(begin(SMS, dry_run=True))
    fresh, running = run(begin(SMS, dry_run=True)), begin(SMS)
    ended = Now() - timedelta(days=uploads.FILE_DAYS + 1)
    Import.objects.exclude(pk=fresh.pk).update(finished_at=ended)
    prune()
    assert [uploads.has_file(row) for row in (old, fresh, running)] == [False, True, True]
    ancient = UUID(int=(old.pk.int >> 80) - 100 * 86_400_000 << 80 | uuid4().int >> 49)
    Import.objects.filter(pk=fresh.pk).delete()
    ImportChunk.objects.filter(upload=old).delete()
    Import.objects.filter(pk=old.pk).update(id=ancient)
    assert prune().imports == 1
    assert list(Import.objects.all()) == [running]
    assert not ImportChunk.objects.exclude(upload=running).exists()


def test_the_parts_are_told_apart() -> None:
    upload = run(begin(f"{SMS}sms,nobody,x\n", dry_run=True))
    assert set(upload.chunks.values_list("part", flat=True)) == set(ImportPart)
    assert background.LEASE_SECONDS > uploads.TURN_SECONDS
