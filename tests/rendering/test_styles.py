"""Styles in their elements; and nothing that would hold a process up, or end it."""

import time
from pathlib import Path

import pytest

from notifications.enums import Channel
from notifications.messages import TemplateDraft
from notifications.models import Tenant
from notifications.pipeline.template_store import put
from notifications.pipeline.templates import preview
from notifications.rendering import Allowance, inline_styles, styles

RED = "<style>p {color: red} @media (max-width: 1px) {p {color: blue}}</style>"


def document(css: str, body: str) -> str:
    return f"<html><head><style>{css}</style></head><body>{body}</body></html>"


def test_a_rule_is_written_into_its_elements_and_what_cannot_be_stays() -> None:
    inlined = inline_styles(f"{RED}<p>Tea &amp; &lt;cup&gt;</p>")
    assert '<p style="color: red;">Tea &amp; &lt;cup&gt;</p>' in inlined
    assert "@media" in inlined


@pytest.mark.parametrize("html", ["", "<p>Tea</p>", '<p style="a: b">Tea'])
def test_without_a_style_not_a_character_changes(html: str) -> None:
    assert inline_styles(html) == html


def test_without_the_package_not_a_character_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(styles, "css_inline", None)
    assert inline_styles(f"{RED}<p>Tea") == f"{RED}<p>Tea"


def test_nothing_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "x.css"
    file.write_text("p {color: blue}")
    for url in (file, f"file://{file}", "http://127.0.0.1:1/x.css"):
        link = f'<link rel="stylesheet" href="{url}">'
        assert "color" not in inline_styles(link + document(f"@import '{url}';", "<p>Tea"))


BOMBS = {
    # Read by recursion, this ends the process: 20,000 were enough.
    "deep": document("a {b: c}", "<div>" * 40_000),
    "deep, closed by others": document("a {b: c}", "<div></p>" * 25_000),
    "deep, in tables": document("a {b: c}", "<div><table><tr><td></div>" * 9_000),
    "opened anew": document("a {b: c}", "".join(f"<b a={n}>" for n in range(99)) + "<p>x" * 9_000),
    "many rules": document("*{a:b}" * 20_000, "<p>" * 40_000),
    "long rules": document(f"p{{{'a:bbbbbbbbbb;' * 9_000}}}", "<p>x" * 20_000),
    "long rules, few": document(f"p{{{'a:bbbbbbbbbb;' * 900}}}", "<p>x" * 1_000),
    "not closed": "<style>" + "p{" * 60_000,
    "styles that never end": "<style>" * 30_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_no_document_takes_long_or_grows(name: str) -> None:
    started = time.thread_time()
    assert len(inline_styles(BOMBS[name])) <= max(len(BOMBS[name]), 256 * 1024)
    assert time.thread_time() - started < 10


def test_a_call_is_charged_for_the_time_it_takes() -> None:
    allowance = Allowance(2_000_000, 1)
    inline_styles(BOMBS["long rules, few"], allowance)
    assert allowance.steps < 2_000_000


def test_usual_documents_are_not_too_much() -> None:
    rows = "<tr><td class=a><p>Tea<td>7" * 300
    assert not styles.is_too_much(document("td.a {padding: 4px} " * 400, f"<table>{rows}</table>"))


@pytest.mark.django_db
def test_a_template_is_inlined_with_what_it_was_filled_with() -> None:
    html = f"{RED}{{% for item in items %}}<p>{{{{ item }}}}</p>{{% endfor %}}"
    draft = TemplateDraft(Channel.EMAIL, {"subject": "Hello", "html": html}, True)
    version, _ = put(Tenant.objects.create(name="shop"), "hello", draft)
    content = preview(version, {"items": ["Tea", "<b>"]})
    assert content["subject"] == "Hello"
    assert content["html"].count('style="color: red;"') == 2
    assert "&lt;b&gt;" in content["html"]
