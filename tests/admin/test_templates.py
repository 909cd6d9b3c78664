"""Templates in the admin: written as over the API, shown without harm."""

import html
import re
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from notifications.models import Notification, Template, TemplateVersion, Tenant

LIST = "/admin/notifications/template/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def fields() -> dict[str, str]:
    tenant = Tenant.objects.create(name="shop")
    return {
        "tenant": str(tenant.pk),
        "name": "hello",
        "channel": "email",
        "is_transactional": "on",
        "subject": "Hello {{ name }}",
        "body": "",
        "html": "<p>Hello\r\n{{ name }}</p>",
    }


def add(client: Client, fields: dict[str, str]) -> Any:
    return client.post(f"{LIST}add/", fields, follow=True)


def change(client: Client, fields: dict[str, str]) -> Any:
    inline = {f"versions-{name}_FORMS": "0" for name in ("TOTAL", "INITIAL", "MIN_NUM", "MAX_NUM")}
    address = reverse("admin:notifications_template_change", args=[Template.objects.get().pk])
    return client.post(address, {**fields, **inline}, follow=True)


def preview(client: Client, context: str, query: str = "") -> str:
    address = reverse("admin:notifications_template_preview", args=[Template.objects.get().pk])
    response = client.post(f"{address}{query}", {"context": context})
    assert response.status_code == 200
    return str(response.content.decode())


def test_what_is_saved_is_a_version(admin_client: Client, fields: dict[str, str]) -> None:
    add(admin_client, fields)
    version = TemplateVersion.objects.get()
    assert version.content == {"subject": "Hello {{ name }}", "html": "<p>Hello\n{{ name }}</p>"}
    shown = change(admin_client, fields)
    assert "was changed successfully" in shown.content.decode()
    assert TemplateVersion.objects.count() == 1
    change(admin_client, {**fields, "subject": "Hi"})
    template = Template.objects.get()
    assert (template.version, template.versions.count()) == (2, 2)
    change(admin_client, {**fields, "subject": "Hi", "is_transactional": ""})
    template.refresh_from_db()
    assert (template.version, template.is_transactional) == (2, False)


def test_what_is_wrong_stands_beside_its_field(
    admin_client: Client, fields: dict[str, str]
) -> None:
    wrong = {**fields, "name": "Hello!", "subject": "{{ x", "html": "<p\n a={{ x }}>"}
    errors = add(admin_client, wrong).context["adminform"].form.errors
    assert set(errors) == {"name", "subject", "html"}
    assert errors["html"][0].startswith("line 2: ")
    assert not Template.objects.exists()


def test_a_name_that_is_taken_is_refused(admin_client: Client, fields: dict[str, str]) -> None:
    add(admin_client, fields)
    assert add(admin_client, fields).context["adminform"].form.errors
    assert TemplateVersion.objects.count() == 1


def test_archived_is_out_of_use_until_it_is_saved_again(
    admin_client: Client, fields: dict[str, str]
) -> None:
    add(admin_client, fields)
    data = {"action": "archive", ACTION_CHECKBOX_NAME: [str(Template.objects.get().pk)]}
    assert "1 template archived" in admin_client.post(LIST, data, follow=True).content.decode()
    assert not Template.objects.live().exists()
    change(admin_client, fields)
    assert Template.objects.live().exists()
    delete = reverse("admin:notifications_template_delete", args=[Template.objects.get().pk])
    assert admin_client.post(delete, {"post": "yes"}).status_code == 403


def test_a_preview_is_shown_in_a_frame_that_can_do_nothing(
    admin_client: Client, fields: dict[str, str]
) -> None:
    add(admin_client, {**fields, "html": "<img src='{{ pixel }}'><p>{{ name }}</p>"})
    page = preview(admin_client, '{"name": "<b>Ada</b>", "pixel": "https://example.com/p.gif"}')
    [(sandbox, document)] = re.findall(r'<iframe[^>]* sandbox(\S*) srcdoc="([^"]*)">', page)
    assert sandbox == ""
    shown = html.unescape(document)
    assert shown.startswith('<meta http-equiv="Content-Security-Policy" content="default-src')
    assert "img-src data:" in shown
    assert shown.endswith("<img src='https://example.com/p.gif'><p>&lt;b&gt;Ada&lt;/b&gt;</p>")
    assert "<pre>Hello &lt;b&gt;Ada&lt;/b&gt;</pre>" in page
    assert not Notification.objects.exists()


def test_a_preview_tells_what_is_missing(admin_client: Client, fields: dict[str, str]) -> None:
    add(admin_client, fields)
    assert "the template also needs: name" in preview(admin_client, "{}")
    for context in ("", "[]", "{", "[" * 99_999, '{"name": NaN', '"\\ud800"'):
        assert "must be" in preview(admin_client, context)


def test_every_version_can_be_looked_at(admin_client: Client, fields: dict[str, str]) -> None:
    add(admin_client, fields)
    change(admin_client, {**fields, "subject": "Later"})
    assert "Hello Ada" in preview(admin_client, '{"name": "Ada"}', "?version=1")
    address = reverse("admin:notifications_template_preview", args=[Template.objects.get().pk])
    for number in ("3", "x", "-1", "9" * 30):
        assert admin_client.get(f"{address}?version={number}").status_code == 404


def test_only_who_may_see_templates_sees_a_preview(
    client: Client, admin_client: Client, fields: dict[str, str]
) -> None:
    add(admin_client, fields)
    address = reverse("admin:notifications_template_preview", args=[Template.objects.get().pk])
    user = User.objects.create_user("staff", is_staff=True)
    other = Client()
    other.force_login(user)
    assert other.get(address).status_code in (403, 404)
    user.user_permissions.set(Permission.objects.filter(codename="view_template"))
    assert other.get(address).status_code == 200
    page = other.get(address.replace("preview", "change")).content.decode()
    assert "<pre>Hello {{ name }}</pre>" in page
    assert "<textarea" not in page
    assert Client().get(address).status_code == 302
