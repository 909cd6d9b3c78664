"""Files uploaded in the admin: who may, what is refused and why, and what is shown of it."""

import csv
import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils.translation import override

from notifications.enums import JobState
from notifications.models import Import, Notification, Tenant
from notifications.pipeline import uploads
from notifications.pipeline.template_store import put
from notifications.template_validation import parse_template
from tests.pipeline.factories import tenant

LIST = "/admin/notifications/import/"
ADD = f"{LIST}add/"
SMS = b"channel,to,body\nsms,+14155550123,Hello\nsms,+14155550124,World\n"
BAD = SMS + b"sms,=nobody,x\n"

VIEWS = ("stop", "go-on", "confirm", "discard", "rejects")

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "request_import", lambda id: None)


def post(client: Client, data: bytes = SMS, **values: Any) -> Any:
    file = SimpleUploadedFile("rows.csv", data, content_type="text/csv")
    values = {"tenant": tenant("shop").pk, "file": file, **values}
    return client.post(ADD, {name: value for name, value in values.items() if value is not None})


def page_of(client: Client, upload: Import) -> str:
    return str(client.get(f"{LIST}{upload.pk}/change/").content.decode())


def do(client: Client, upload: Import, what: str) -> Any:
    return client.post(f"{LIST}{upload.pk}/{what}/", follow=True)


def history() -> list[str]:
    return [str(entry) for entry in LogEntry.objects.values_list("change_message", flat=True)]


def test_an_uploaded_file_is_checked_shown_and_imported_without_another_upload(
    admin_client: Client,
) -> None:
    answer = post(admin_client, BAD, dry_run="on")
    upload = Import.objects.get()
    assert answer["Location"] == f"{LIST}{upload.pk}/change/"
    assert "Running, 0 %" in page_of(admin_client, upload)
    uploads.run(upload.pk)
    page = page_of(admin_client, upload)
    assert "Check of rows.csv" in page
    assert re.search(r"<dt>would be accepted</dt><dd>2</dd>", page)
    assert re.search(r'<th scope="row">4</th><td>to</td><td>to: [^<]+</td>', page)
    assert not Notification.objects.exists()
    assert "Import it for real" in page
    assert "It has begun" in do(admin_client, upload, "confirm").content.decode()
    uploads.run(upload.pk)
    page = page_of(admin_client, upload)
    assert "Done, 100 %" in page
    assert re.search(r"<dt>accepted</dt><dd>2</dd>", page)
    assert "Import it for real" not in page
    assert Notification.objects.count() == 2
    [batch] = re.findall(r'href="(/admin/notifications/batch/[^"]+)"', page)
    assert admin_client.get(batch).status_code == 200
    [rows] = re.findall(r'href="(/admin/notifications/notification/\?[^"]+)"', page)
    assert "2 notifications" in admin_client.get(rows).content.decode()
    assert history() == ["Begun for real.", "Uploaded to be checked."]
    assert "100 %" in admin_client.get(LIST).content.decode()


def test_the_same_file_again_sends_nothing_twice(admin_client: Client) -> None:
    for _ in range(2):
        post(admin_client)
        uploads.run(Import.objects.latest("pk").pk)
    assert Notification.objects.count() == 2
    assert [row.replayed for row in Import.objects.order_by("pk")] == [0, 2]
    assert history() == ["Uploaded to be imported."] * 2


def test_the_options_are_those_of_the_command(admin_client: Client) -> None:
    put(tenant("shop"), "hello", parse_template({"channel": "sms", "body": "{{ name }}"}))
    answer = post(
        admin_client,
        "Phone;name;x\n+14155550123;Zoë;1\n".encode("cp1252"),
        channel="sms",
        template="hello",
        priority="bulk",
        columns="Phone=to\r\n\r\nx=\r\n",
        rate="100/s",
        encoding="cp1252",
        delimiter=";",
    )
    assert answer.status_code == 302, answer.context["form"].errors
    upload = Import.objects.get()
    uploads.run(upload.pk)
    row = Notification.objects.get()
    assert (row.content, row.get_priority_display()) == ({"body": "Zoë"}, "bulk")
    assert "template hello, priority bulk, rate 100/s, encoding cp1252" in page_of(
        admin_client, upload
    )


@pytest.mark.parametrize(
    ("data", "values", "said"),
    [
        (b"", {}, "The submitted file is empty"),
        (b"\n\n", {}, "the first line must name the columns"),
        (b"PK\x03\x04\x14\x00\x06\x00", {}, "it is a workbook or an archive, not CSV"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", {}, "it is not in utf-8; say what it is in"),
        ("täg,to\n".encode("cp1252"), {}, "it is not in utf-8; say what it is in"),
        (SMS, {"encoding": "klingon"}, "there is no encoding &#x27;klingon&#x27;"),
        (SMS, {"encoding": "utf-16"}, "it is not in utf-16"),
        (SMS, {"encoding": "undefined"}, "it is not in undefined"),
        (b'"' + b"x" * 140_000, {}, "it is not CSV"),
        (b"channel,to,Text\n", {}, "columns that are no fields: Text; say what they are by"),
        (SMS, {"columns": "Phone"}, "has no =; write COLUMN=FIELD"),
        (SMS, {"columns": "Phone=to"}, "the file has no column Phone"),
        (SMS, {"columns": "to=nowhere"}, "nowhere is no field; known are: "),
        (SMS, {"columns": "to=x\x00"}, "Null characters are not allowed"),
        (SMS, {"rate": "fast"}, "is not a rate; write 100/s"),
        (SMS, {"delimiter": "::"}, "one character, such as ;"),
        (SMS, {"template": "none"}, "This tenant has no template of this name"),
        (SMS, {"tenant": None}, "This field is required"),
        (SMS, {"tenant": "4711"}, "Select a valid choice"),
        (SMS, {"file": None}, "This field is required"),
        (SMS, {"file": "no file"}, "This field is required"),
        (SMS, {"channel": "pigeon"}, "Select a valid choice"),
    ],
)
def test_what_cannot_be_imported_is_refused_with_the_reason(
    admin_client: Client, data: bytes, values: dict[str, Any], said: str
) -> None:
    answer = post(admin_client, data, **values)
    assert answer.status_code == 200
    assert said in answer.content.decode()
    assert not Import.objects.exists()


def test_a_file_that_is_too_large_is_for_the_command(
    admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_BYTES", 2**20)
    page = post(admin_client, SMS + b"\n" * 2**20).content.decode()
    assert "At most 1 MiB can be uploaded; the command import_notifications takes" in page
    assert not Import.objects.exists()


def test_a_tenant_that_is_switched_off_is_not_offered(admin_client: Client) -> None:
    off = Tenant.objects.create(name="off", is_active=False)
    assert "Select a valid choice" in post(admin_client, tenant=off.pk).content.decode()


def test_rejected_rows_are_downloaded_as_they_were_and_that_is_logged(admin_client: Client) -> None:
    post(admin_client, BAD)
    upload = Import.objects.get()
    uploads.run(upload.pk)
    answer: Any = admin_client.get(f"{LIST}{upload.pk}/rejects/")
    assert answer["Content-Disposition"] == 'attachment; filename="rejected.csv"'
    [row] = csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode()))
    assert (row["to"], row["import_line"], row["import_field"]) == ("'=nobody", "4", "to")
    assert row["import_reason"].startswith("to: ")
    assert "Rejected rows downloaded." in history()
    assert "=nobody" not in page_of(admin_client, upload)


def test_it_is_stopped_taken_up_again_and_its_file_deleted_from_its_page(
    admin_client: Client,
) -> None:
    post(admin_client)
    upload = Import.objects.get()
    assert "Go on" in do(admin_client, upload, "stop").content.decode()
    uploads.run(upload.pk)
    assert not Notification.objects.exists()
    admin_client.get(f"{LIST}{upload.pk}/go-on/")
    assert Import.objects.get().state == JobState.STOPPED
    assert "Stop it" in do(admin_client, upload, "go-on").content.decode()
    do(admin_client, upload, "stop")
    page = do(admin_client, upload, "discard").content.decode()
    assert "The file is deleted here" in page
    assert "Go on<" not in page
    do(admin_client, upload, "go-on")
    assert Import.objects.get().state == JobState.STOPPED
    assert sorted(set(history())) == [
        "File deleted.", "Stopped.", "Taken up again.", "Uploaded to be imported."
    ]  # fmt: skip


def test_without_its_permission_nobody_uploads_or_changes_anything(
    staff: Callable[..., Client],
) -> None:
    upload = uploads.start(tenant("shop"), "rows.csv", io.BytesIO(BAD), {}, dry_run=True, by="ada")
    uploads.run(upload.pk)
    client = staff("view_import", "add_job", "view_notification", "export_notification")
    page = page_of(client, upload)
    assert "Rejected rows" in page
    for offered in ("Import it for real", "Delete the file", "Download them all"):
        assert offered not in page
    assert client.get(ADD).status_code == 403
    assert post(client).status_code == 403
    for view in VIEWS:
        for method in (client.get, client.post):
            assert method(f"{LIST}{upload.pk}/{view}/").status_code == 403, view
    assert Import.objects.count() == 1
    assert Import.objects.get().dry_run


def test_with_its_permission_it_takes_no_other(staff: Callable[..., Client]) -> None:
    client = staff("add_import", "view_import")
    post(client, BAD, dry_run="on")
    upload = Import.objects.get()
    uploads.run(upload.pk)
    do(client, upload, "confirm")
    uploads.run(upload.pk)
    assert Notification.objects.count() == 2
    assert {entry.user.get_username() for entry in LogEntry.objects.all()} == {"staff"}
    assert "By" in client.get(LIST).content.decode()


@pytest.fixture
def german() -> Iterator[None]:
    with override("de"):
        yield


def test_the_pages_are_in_german(admin_client: Client, german: None) -> None:
    post(admin_client, BAD, dry_run="on")
    upload = Import.objects.get()
    uploads.run(upload.pk)
    page = page_of(admin_client, upload)
    for text in ("Prüfung von rows.csv", "würden angenommen", "Wirklich einlesen", "Abgewiesene"):
        assert text in page
    form = admin_client.get(ADD).content.decode()
    for text in ("Datei einlesen", "Trennzeichen", "Erst prüfen", "Hochladen"):
        assert text in form
