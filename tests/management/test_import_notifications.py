"""`manage.py import_notifications`: thin over `pipeline.importing`, told in words."""

import logging
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from notifications.models import Batch, Notification, Tenant
from notifications.observability.formats import EVENTS

pytestmark = pytest.mark.django_db


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("Phone,body\n+14155550123,Hello\nnobody,Hello\n")
    return path


def run(path: Path, *arguments: str) -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    words = ("--channel", "sms", "--map", "Phone=to", *arguments)
    call_command("import_notifications", str(path), *words, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_it_tells_what_became_of_the_rows_and_where_the_bad_ones_are(file: Path) -> None:
    out, err = run(file)
    assert "1 accepted, 0 there already, 1 rejected, of 2 rows." in out
    assert f"GET /batches/{Batch.objects.get().pk}" in out
    rejects = file.with_name("rows.rejected.csv")
    assert str(rejects) in err
    assert (
        rejects.read_text().splitlines()[0]
        == '"Phone","body","import_line","import_field","import_reason"'
    )
    out, _ = run(file)
    assert "0 accepted, 1 there already, 1 rejected" in out
    assert Notification.objects.get().tenant.name == "default"


def test_without_bad_rows_there_is_no_file_of_them(file: Path) -> None:
    file.write_text("Phone,body\n+14155550123,Hello\n")
    _, err = run(file, "--rejects", str(file.with_name("bad.csv")))
    assert err == ""
    assert [path.name for path in file.parent.glob("*.csv")] == ["rows.csv"]


def test_a_dry_run_stores_nothing(file: Path) -> None:
    out, _ = run(file, "--dry-run")
    assert "Would be: 1 accepted" in out
    assert "GET" not in out
    assert not Notification.objects.exists()


def test_a_tenant_an_encoding_and_a_delimiter_are_taken(file: Path) -> None:
    shop = Tenant.objects.create(name="shop")
    file.write_bytes("Phone|body\n+14155550123|Grüße\n".encode("cp1252"))
    run(file, "--tenant", "shop", "--encoding", "cp1252", "--delimiter", "|", "--rate", "100/s")
    row = Notification.objects.get()
    assert (row.tenant, row.content) == (shop, {"body": "Grüße"})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--tenant", "shpo"), "There is no tenant 'shpo'"),
        (("--map", "Phone"), "write COLUMN=FIELD"),
        (("--rate", "fast"), "write 100/s"),
        (("--delimiter", "::"), "one character"),
        (("--encoding", "klingon"), "no encoding 'klingon'"),
        (("--map", "Mobile=to"), "the file has no column Mobile"),
    ],
)
def test_what_was_mistyped_is_pointed_out(
    file: Path, arguments: tuple[str, ...], words: str
) -> None:
    with pytest.raises(CommandError, match=words):
        run(file, *arguments)
    assert not Notification.objects.exists()


def test_a_tenant_that_is_switched_off_takes_nothing(file: Path) -> None:
    Tenant.objects.create(name="shop", is_active=False)
    with pytest.raises(CommandError, match="switched off"):
        run(file, "--tenant", "shop")
    assert not Notification.objects.exists()


def test_a_file_that_is_not_there_or_would_be_overwritten_is_refused(file: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        run(file.with_name("none.csv"))
    with pytest.raises(CommandError, match="would overwrite"):
        run(file, "--rejects", str(file))
    assert "nobody" in file.read_text()


@pytest.mark.django_db(transaction=True)
def test_where_a_bar_is_shown_no_row_has_a_line_of_its_own(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, EVENTS)
    run(file)
    assert [record.name for record in caplog.records] == [EVENTS]
    file.write_text("Phone,body\n+14155550124,Hello\n")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    run(file)
    assert len(caplog.records) == 1
