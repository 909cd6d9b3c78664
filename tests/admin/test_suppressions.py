"""The lists of suppressed recipients in the admin."""

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from notifications import notify
from notifications.admin.exchange import export_csv, import_csv
from notifications.admin.words import masked
from notifications.enums import Status
from notifications.models import Suppression, Tenant

LIST = "/admin/notifications/suppression/"
ADD, IMPORT = f"{LIST}add/", f"{LIST}import/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant() -> Tenant:
    return Tenant.objects.create(name="shop")


def listed() -> list[tuple[str, str, str]]:
    found = Suppression.objects.order_by("recipient")
    return list(found.values_list("channel", "recipient", "reason"))


def added(client: Client, tenant: Tenant, **values: str) -> Any:
    data = {"tenant": str(tenant.pk), "channel": "email", "reason": "manual", **values}
    return client.post(ADD, data, follow=True)


def test_one_is_added_found_and_deleted(admin_client: Client, tenant: Tenant) -> None:
    added(admin_client, tenant, recipient="Ada@Example.com")
    assert listed() == [("email", "ada@example.com", "manual")]
    row = notify("email", to="ada@example.com", subject="x", body="x", tenant=tenant.name)
    assert row.status == Status.SUPPRESSED
    for term, found in (("ADA@example.com", 1), ("ada", 0), ("bob@example.com", 0)):
        page = admin_client.get(LIST, {"q": term})
        assert len(page.context["cl"].result_list) == found
    delete = reverse("admin:notifications_suppression_delete", args=[Suppression.objects.get().pk])
    admin_client.post(delete, {"post": "yes"})
    assert listed() == []


def test_what_is_wrong_is_told_beside_its_field(admin_client: Client, tenant: Tenant) -> None:
    page = added(admin_client, tenant, recipient="nobody").content.decode()
    assert "write one address" in page
    assert "is required" in added(admin_client, tenant).content.decode()
    assert listed() == []


def test_what_is_on_the_list_is_found_there(admin_client: Client, tenant: Tenant) -> None:
    for reason in ("complaint", "manual"):
        page = added(admin_client, tenant, recipient="ada@example.com", reason=reason)
        assert page.redirect_chain
    assert listed() == [("email", "ada@example.com", "complaint")]


def test_the_list_shows_nobody_s_whole_address(admin_client: Client, tenant: Tenant) -> None:
    added(admin_client, tenant, recipient="ada@example.com")
    page = admin_client.get(LIST).content.decode()
    assert "a…@example.com" in page
    assert "ada@example.com" not in page


@pytest.mark.parametrize(
    ("recipient", "shown"),
    [
        ("ada@example.com", "a…@example.com"),
        ("+14155550123", "+1415…23"),
        ("https://example.com/hook?key=1", "https://example.com/…"),
    ],
)
def test_enough_is_shown_to_recognise_it(recipient: str, shown: str) -> None:
    assert masked(recipient) == shown


TEXT = """channel,recipient,reason,note
email,Ada@example.com,complaint,"by phone, twice"
sms,'+14155550123,,
email,nobody,,
fax,ada@example.com,,

email,bob@example.com
"""


@pytest.mark.parametrize("as_file", [True, False])
def test_an_import_takes_what_it_can_and_tells_the_rest_by_line(
    admin_client: Client, tenant: Tenant, as_file: bool
) -> None:
    file = SimpleUploadedFile("list.csv", TEXT.encode())
    data = {"tenant": tenant.pk, **({"file": file} if as_file else {"text": TEXT})}
    page = admin_client.post(IMPORT, data).content.decode()
    assert "2 recipients read, 2 of them new, 3 refused." in page
    assert "Line 4: recipient: write one address" in page
    assert "Line 5: channel: must be one of" in page
    assert "Line 7: it has 2 cells instead of 4" in page
    assert listed() == [
        ("sms", "+14155550123", "manual"),
        ("email", "ada@example.com", "complaint"),
    ]


def test_an_import_can_be_repeated(tenant: Tenant) -> None:
    assert [import_csv(tenant, TEXT, timezone.now()).added for _ in range(2)] == [2, 0]
    assert len(listed()) == 2


@pytest.mark.parametrize(
    "text", ["", "ada@example.com", "channel,recipient,why\nemail,a@b.org,x", '"', "\x00"]
)
def test_another_header_is_told(admin_client: Client, tenant: Tenant, text: str) -> None:
    page = admin_client.post(IMPORT, {"tenant": tenant.pk, "text": text}).content.decode()
    assert "errorlist" in page
    assert listed() == []


def test_a_file_that_is_no_text_is_told(admin_client: Client, tenant: Tenant) -> None:
    file = SimpleUploadedFile("list.csv", b"channel,recipient\nemail,\xff")
    page = admin_client.post(IMPORT, {"tenant": tenant.pk, "file": file}).content.decode()
    assert "not UTF-8" in page


def test_what_is_exported_can_be_imported_and_is_no_formula(
    admin_client: Client, tenant: Tenant
) -> None:
    later = timezone.now() + timedelta(days=1)
    notes = ["=1+1", " +1", "-x", "@x", "＝1", "fine", 'quote " and, comma', "'=x"]
    for index, note in enumerate(notes):
        values = {"channel": "sms", "recipient": f"+1415555012{index}", "note": note}
        Suppression.objects.create(tenant=tenant, expires_at=later, **values)
    data = {
        "action": "export_selected",
        ACTION_CHECKBOX_NAME: [str(row.pk) for row in Suppression.objects.all()],
    }
    answer = admin_client.post(LIST, data)
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]  # it streams
    for cells in csv.reader(io.StringIO(text)):
        assert not any(cell.strip().startswith(tuple("=+-@＝")) for cell in cells)
    other = Tenant.objects.create(name="other")
    assert import_csv(other, text, timezone.now()).added == len(notes)
    copied = Suppression.objects.filter(tenant=other).order_by("recipient")
    assert [row.note for row in copied[:5]] == notes[:5]
    assert all(row.expires_at == later for row in copied)


def test_the_header_is_exported_even_without_rows() -> None:
    assert list(export_csv([])) == ['"channel","recipient","reason","note","expires_at"\r\n']


def test_each_thing_takes_its_permission(client: Client, tenant: Tenant) -> None:
    user = User.objects.create_user("staff", is_staff=True)
    client.force_login(user)
    row = Suppression.objects.create(tenant=tenant, channel="email", recipient="ada@example.com")
    delete = reverse("admin:notifications_suppression_delete", args=[row.pk])
    assert [client.get(url).status_code for url in (LIST, ADD, IMPORT, delete)] == [403] * 4
    user.user_permissions.add(Permission.objects.get(codename="view_suppression"))
    page = client.get(LIST)
    assert page.status_code == 200
    assert "Import" not in page.content.decode()
    assert [client.get(url).status_code for url in (ADD, IMPORT, delete)] == [403] * 3
    for codename in ("add_suppression", "delete_suppression"):
        user.user_permissions.add(Permission.objects.get(codename=codename))
    assert [client.get(url).status_code for url in (LIST, ADD, IMPORT, delete)] == [200] * 4
