"""What an e-mail may have beside its text, over HTTP: taken, stored, sent, and refused by place."""

import json
from base64 import b64encode
from typing import Any

import pytest

from notifications import notify
from notifications.enums import State
from notifications.exceptions import IdempotencyConflict, InvalidNotification
from notifications.models import Attachment, Notification, Tenant
from notifications.pipeline.prune import prune
from notifications.validation import parse_notification

from .conftest import API, EMAIL, stored

pytestmark = pytest.mark.django_db

PDF = {"filename": "a.pdf", "content": b64encode(b"%PDF").decode()}
LOGO = {"filename": "logo.png", "content": b64encode(b"PNG").decode(), "content_id": "logo"}


@pytest.fixture
def shop(tenant: Tenant) -> Tenant:
    Tenant.objects.filter(pk=tenant.pk).update(senders="orders@example.com\n@shop.example")
    return tenant


def wrong(api: API, **fields: Any) -> list[tuple[str, str]]:
    response = api.post("/notify", EMAIL | fields)
    assert response.status_code == 400, response.content
    return [(error["pointer"], error["code"]) for error in response.json()["errors"]]


def test_attachments_are_stored_beside_the_row_and_described_in_it(api: API) -> None:
    assert api.post("/notify", EMAIL | {"attachments": [PDF, LOGO]}).status_code == 202
    row = Notification.objects.get()
    assert [bytes(file.data) for file in row.attachments.all()] == [b"%PDF", b"PNG"]
    pdf, logo = row.content["attachments"]
    assert (pdf["filename"], pdf["content_type"], pdf["size"]) == ("a.pdf", "application/pdf", 4)
    assert (logo["content_id"], "content_id" in pdf) == ("logo", False)
    assert PDF["content"] not in str(row.content)


def test_who_it_names_is_shown_as_it_was_given_and_its_files_without_their_bytes(
    api: API, shop: Tenant
) -> None:
    named = {
        "from": "Orders <orders@example.com>",
        "reply_to": ["Help <help@shop.example>"],
        "cc": ["bob@example.org"],
        "bcc": ["eve@example.org"],
    }
    first = api.post("/notify", EMAIL | named | {"attachments": [PDF, LOGO]}).json()
    body = api.get(f"/notifications/{first['id']}").json()
    assert {name: body[name] for name in named} == named
    assert body["attachments"] == [
        {"filename": "a.pdf", "content_type": "application/pdf", "size": 4, "content_id": None},
        {"filename": "logo.png", "content_type": "image/png", "size": 3, "content_id": "logo"},
    ]
    assert not {"from", "attachments"} & first.keys()
    bare = api.get(f"/notifications/{api.post('/notify', EMAIL).json()['id']}").json()
    assert [bare[name] for name in (*named, "attachments")] == [None, [], [], [], []]


def test_attachments_belong_to_what_a_key_stands_for(api: API) -> None:
    keyed = EMAIL | {"idempotency_key": "k", "attachments": [PDF]}
    assert [api.post("/notify", keyed).status_code for _ in range(2)] == [202, 200]
    other = {**PDF, "content": b64encode(b"%PNG").decode()}
    assert api.post("/notify", keyed | {"attachments": [other]}).status_code == 422
    assert api.post("/notify", keyed | {"attachments": []}).status_code == 422
    assert Attachment.objects.count() == 1


def test_a_batch_takes_them_and_tells_what_is_wrong_with_each(api: API) -> None:
    bad = {**PDF, "content": "not base64!"}
    items = [EMAIL | {"attachments": [PDF]}, EMAIL | {"attachments": [PDF, bad]}, EMAIL]
    results = api.post("/notify/batch", {"notifications": items}).json()["results"]
    assert [result["outcome"] for result in results] == ["accepted", "rejected", "accepted"]
    [error] = results[1]["errors"]
    assert (error["pointer"], error["code"]) == ("/attachments/1/content", "invalid_base64")
    assert Attachment.objects.get().notification_id == Notification.objects.earliest("pk").pk


@pytest.mark.parametrize(
    ("file", "place", "code"),
    [
        ("a.pdf", "", "invalid_type"),
        ({"content": ""}, "/filename", "required"),
        ({"filename": "a.pdf"}, "/content", "required"),
        ({**PDF, "size": 4}, "/size", "unknown_field"),
        ({**PDF, "content": "JVBE\nRg=="}, "/content", "invalid_base64"),
        ({**PDF, "content": "é"}, "/content", "invalid_base64"),
        ({**PDF, "content": 7}, "/content", "invalid_type"),
        ({**PDF, "filename": "a\r\nBcc: b.pdf"}, "/filename", "invalid_filename"),
        ({**PDF, "filename": "../a.pdf"}, "/filename", "invalid_filename"),
        ({**PDF, "filename": ""}, "/filename", "invalid_filename"),
        ({**PDF, "content_type": "a/b; c=\r\nd"}, "/content_type", "invalid_content_type"),
        ({**PDF, "content_type": "multipart/mixed"}, "/content_type", "invalid_content_type"),
        ({**PDF, "content_id": "a>\r\n"}, "/content_id", "invalid_content_id"),
    ],
)
def test_an_unusable_attachment_is_refused_by_its_place(
    api: API, file: Any, place: str, code: str
) -> None:
    assert wrong(api, attachments=[PDF, file]) == [(f"/attachments/1{place}", code)]


def test_there_are_limits_to_attachments(api: API, settings: Any) -> None:
    assert wrong(api, attachments=[PDF] * 21) == [("/attachments", "too_many")]
    settings.NOTIFICATIONS = {"MAIL": {"MAX_BYTES": 7}}
    assert wrong(api, attachments=[PDF] * 2) == [("/attachments", "too_large")]
    assert api.post("/notify", EMAIL | {"attachments": [PDF]}).status_code == 202


@pytest.mark.parametrize(
    "sender", ["orders@example.com", "Shop <ORDERS@example.com>", '"A, B" <any@shop.example>']
)
def test_a_sender_of_the_tenant_may_be_named(api: API, shop: Tenant, sender: str) -> None:
    assert api.post("/notify", EMAIL | {"from": sender}).status_code == 202


@pytest.mark.parametrize(
    ("sender", "code"),
    [
        ("other@example.com", "sender_not_allowed"),
        ("any@sub.shop.example", "sender_not_allowed"),
        ("orders@example.com <other@example.com>", "sender_not_allowed"),
        ("a@notshop.example", "sender_not_allowed"),
        ("orders@example.com, other@example.com", "invalid_email"),
        ("boss@bank.example <orders@example.com>", "invalid_name"),
        ("Shop\r\nBcc: eve@example.org <orders@example.com>", "invalid_name"),
        ("<orders@example.com> <other@example.com>", "invalid_email"),
        ("", "invalid_email"),
        (7, "invalid_type"),
    ],
)
def test_nobody_else_may_be_named(api: API, shop: Tenant, sender: Any, code: str) -> None:
    codes = {found for _, found in wrong(api, **{"from": sender})}
    assert codes & {code, "invalid_name"}
    batch = {"notifications": [EMAIL | {"from": sender}]}
    assert api.post("/notify/batch", batch).status_code == 400


def test_without_senders_none_may_be_named(api: API) -> None:
    assert wrong(api, **{"from": "a@example.com"}) == [("/from", "sender_not_allowed")]


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("Message-ID", "<a@b>", "header_not_allowed"),
        ("list-unsubscribe", "<https://a>", "header_not_allowed"),
        ("Bcc", "eve@example.org", "header_not_allowed"),
        ("From", "eve@example.org", "header_not_allowed"),
        ("Content-Type", "text/html", "header_not_allowed"),
        ("X-Notification-ID", "a", "header_not_allowed"),
        ("x-ses-configuration-set", "a", "header_not_allowed"),
        ("X-A\r\nBcc", "a", "invalid_header"),
        ("X-A:", "a", "invalid_header"),
        ("X-A", "a\r\nBcc: eve@example.org", "invalid_header"),
        ("X-A", "a\u2028b", "invalid_header"),
        ("X-A", "x" * 871, "invalid_header"),
        ("X-A", 7, "invalid_type"),
    ],
)
def test_headers_that_are_not_theirs_are_refused(
    api: API, name: str, value: Any, code: str
) -> None:
    [(pointer, found)] = wrong(api, headers={name: value, "X-Fine": "b"})
    assert (found, pointer.startswith("/headers/")) == (code, True)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"cc": "b@example.org"}, [("/cc", "invalid_type")]),
        ({"cc": ["b@example.org", "c"]}, [("/cc/1", "invalid_email")]),
        ({"bcc": ["b@example.org"] * 11}, [("/bcc", "invalid_length")]),
        ({"reply_to": "a@b.example, c@d.example"}, [("/reply_to/0", "invalid_email")]),
        ({"headers": {"X-A": "1", "x-a": "2"}}, [("/headers/x-a", "invalid_header")]),
    ],
)
def test_other_mistakes_have_their_places(api: API, fields: Any, found: Any) -> None:
    assert wrong(api, **fields) == found


def test_they_go_beside_a_template_and_count_for_its_key(api: API) -> None:
    template = {"channel": "email", "subject": "Hi {{ name }}", "body": "b"}
    assert api.request("PUT", "/templates/hi", json.dumps(template)).status_code < 300
    used = {"channel": "email", "to": "ada@example.com", "template": "hi"}
    used |= {"context": {"name": "Ada"}, "idempotency_key": "k", "attachments": [PDF]}
    assert [api.post("/notify", used).status_code for _ in range(2)] == [202, 200]
    row = Notification.objects.get()
    assert (row.content["subject"], len(row.content["attachments"])) == ("Hi Ada", 1)
    assert api.post("/notify", used | {"reply_to": "a@example.com"}).status_code == 422


def test_python_may_name_anybody_and_give_bytes() -> None:
    file = {"filename": "a.bin", "content": bytes(range(256)) * 2000}
    fields = {"subject": "s", "body": "b", "attachments": [file], "idempotency_key": "k"}
    row = notify("email", to="ada@example.com", from_="Any <any@example.net>", **fields)
    assert row.content["from"] == "Any <any@example.net>"
    assert bytes(row.attachments.get().data) == file["content"]
    with pytest.raises(IdempotencyConflict):
        notify("email", to="ada@example.com", **fields)


def test_bytes_are_for_attachments_alone() -> None:
    with pytest.raises(InvalidNotification, match="payload"):
        parse_notification({"channel": "webhook", "to": "https://a.example", "payload": b"x"})


def test_attachments_go_with_their_notification(api: API, tenant: Tenant) -> None:
    long_ago = {"id": "01000000-0000-7000-8000-000000000000", "settled_at": "2020-01-01T00:00Z"}
    old = stored(tenant, state=State.SENT, **long_ago)
    Attachment.objects.create(notification=old, position=0, data=b"x")
    api.post("/notify", EMAIL | {"attachments": [PDF]})
    assert prune().notifications == 1
    assert bytes(Attachment.objects.get().data) == b"%PDF"
