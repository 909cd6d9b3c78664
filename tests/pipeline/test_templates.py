"""Templates on their way into notifications: what it costs, and from Python."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from notifications import notify, notify_many
from notifications.exceptions import InvalidNotification
from notifications.models import Notification, Template, TemplateVersion, Tenant
from notifications.pipeline import templates
from notifications.pipeline.template_store import put
from notifications.template_validation import parse_template
from notifications.validation import parse_notification

from .factories import tenant

pytestmark = pytest.mark.django_db

TO = {"channel": "sms", "to": "+14155550123"}


def made(body: str = "Hello {{ name }}", name: str = "hello", owner: Tenant | None = None) -> Any:
    draft = parse_template({"channel": "sms", "body": body})
    return put(owner or tenant("shop"), name, draft)[0]


def drafts(count: int, **more: Any) -> list[Any]:
    item = {**TO, "template": "hello", "context": {"name": "Ada"}, **more}
    return [parse_notification(item) for _ in range(count)]


def test_it_takes_a_template_by_name() -> None:
    made()
    row = notify("sms", to=TO["to"], template="hello", context={"name": "Ada"}, tenant="shop")
    assert (row.template, row.content) == ("hello", {"body": "Hello Ada"})
    rows = notify_many(
        [{**TO, "template": "hello", "context": {"name": n}} for n in "ab"], tenant="shop"
    )
    assert [Notification.objects.get(pk=row.pk).content["body"] for row in rows] == [
        "Hello a",
        "Hello b",
    ]


def test_many_are_stored_all_or_none_of_templates_too() -> None:
    made()
    items = [{**TO, "template": "hello", "context": {"name": "Ada"}}, {**TO, "template": "hello"}]
    with pytest.raises(InvalidNotification, match="name"):
        notify_many(items, tenant="shop")
    assert not Notification.objects.exists()


@pytest.mark.parametrize("value", [object(), {1, 2}, b"x", float("nan")])
def test_a_context_is_plain_json(value: Any) -> None:
    made("{{ name }}")
    with pytest.raises(InvalidNotification, match="context"):
        notify("sms", to=TO["to"], template="hello", context={"name": value}, tenant="shop")


def test_a_model_instance_shows_nothing_of_itself() -> None:
    made("{{ name.pk }}")
    shop = tenant("shop")
    with pytest.raises(InvalidNotification, match="no JSON"):
        notify("sms", to=TO["to"], template="hello", context={"name": shop}, tenant="shop")


def test_what_the_caller_changes_afterwards_changes_nothing() -> None:
    context = {"name": {"first": "Ada"}}
    draft = parse_notification({**TO, "template": "hello", "context": context})
    context["name"]["first"] = "Bob"
    assert draft.context == {"name": {"first": "Ada"}}


@pytest.mark.parametrize("count", [1, 100])
def test_a_call_looks_its_templates_up_in_one_query(count: int) -> None:
    version, shop = made(f"{count} in one query: {{{{ name }}}}"), tenant("shop")
    with CaptureQueriesContext(connection) as cold:
        templates.resolve(shop, drafts(count))
    with CaptureQueriesContext(connection) as warm:
        found = templates.resolve(shop, drafts(count))
    assert (len(cold), len(warm)) == (2, 1)
    assert "content" not in warm[0]["sql"]
    assert {draft.content["body"] for draft in found.drafts} == {f"{count} in one query: Ada"}
    assert {draft.template_version_id for draft in found.drafts} == {version.pk}


def test_without_a_template_there_is_no_query() -> None:
    shop = tenant("shop")
    with CaptureQueriesContext(connection) as captured:
        templates.resolve(shop, [parse_notification({**TO, "body": "Hello"})])
    assert not captured.captured_queries


def test_a_new_version_is_used_at_once() -> None:
    shop = made("Old {{ name }}").template.tenant
    templates.resolve(shop, drafts(1))
    made("New {{ name }}")
    assert templates.resolve(shop, drafts(1)).drafts[0].content == {"body": "New Ada"}


def test_the_compiled_are_kept_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "COMPILED_MAX", 3)
    for number in range(5):
        shop = made(f"Number {number} of few").template.tenant
        assert not templates.resolve(shop, drafts(1)).errors
        assert len(templates._kept) <= 3


def test_a_template_that_can_no_longer_be_read_is_refused() -> None:
    version = made("Good once")
    TemplateVersion.objects.update(content={"body": "{{ from of old }}"})
    [error] = templates.resolve(version.template.tenant, drafts(1)).errors.values()
    assert error.errors[0].code == "unusable_template"


def test_a_call_is_limited_in_what_it_comes_to(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = made("{% if name %}" + "x" * 100 + "{% endif %}").template.tenant
    for name, limit in (("CALL_BYTES_MAX", 250), ("CALL_STEPS_MAX", 5)):
        with monkeypatch.context() as patch:
            patch.setattr(templates, name, limit)
            found = templates.resolve(shop, drafts(4))
        assert list(found.errors) == [3]
        assert found.errors[3].errors[0].code == "too_large"


def test_a_call_is_limited_in_how_many_templates_it_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = made().template.tenant
    made(name="other")
    monkeypatch.setattr(templates, "TEMPLATES_MAX", 1)
    found = templates.resolve(shop, [*drafts(1), *drafts(1, template="other"), *drafts(1)])
    assert list(found.errors) == [1]
    assert found.errors[1].errors[0].code == "too_many_templates"


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_ten_at_once_make_ten_versions() -> None:
    shop = tenant("shop")
    start = threading.Barrier(10)

    def write(number: int) -> int:
        start.wait()
        try:
            return int(made(f"Version {number}", owner=shop).number)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as pool:
        numbers = sorted(pool.map(write, range(10)))
    assert numbers == list(range(1, 11))
    assert Template.objects.get().version == 10


def test_versions_are_numbered_and_go_back_to_what_was_said_before() -> None:
    assert [made(text).number for text in ("a", "b", "b", "a")] == [1, 2, 2, 3]
    assert TemplateVersion.objects.count() == 3
